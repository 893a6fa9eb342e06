//! The argument of one job: from the command line, a file, or standard input.

use std::fs::File;
use std::io::{self, Read};

use bananas::Args;
use bananas::ledger::MAX_MESSAGE;

use crate::exit::usage;
use crate::render::text::one_line;

/// Reads the argument and checks that it is one JSON value.
pub(super) fn read(argument: &str) -> anyhow::Result<Args> {
    if argument == "-" {
        return parse(
            "standard input",
            read_all("standard input", io::stdin().lock())?,
        );
    }
    if let Some(path) = argument.strip_prefix('@') {
        let unreadable = |e| usage(format!("argument file {path:?} cannot be read: {e}"));
        let file = File::open(path).map_err(unreadable)?;
        return parse(path, read_all(path, file)?);
    }
    Args::from_json(argument).map_err(|e| {
        let shown = one_line(argument, 60);
        usage(format!(
            "{e}: {shown}; a text needs its own quotes, as in '\"{}\"'",
            one_line(argument, 20)
        ))
    })
}

fn parse(name: &str, bytes: Vec<u8>) -> anyhow::Result<Args> {
    let text = String::from_utf8(bytes).map_err(|e| {
        usage(format!(
            "{name} is not UTF-8, from byte {} on",
            e.utf8_error().valid_up_to() + 1
        ))
    })?;
    Args::from_json(&text).map_err(|e| usage(format!("{name}: {e}")))
}

/// Reads no more than a job may hold; what is beyond is only counted.
fn read_all(name: &str, mut source: impl Read) -> anyhow::Result<Vec<u8>> {
    let unreadable = |e: io::Error| usage(format!("{name} cannot be read: {e}"));
    let mut bytes = Vec::new();
    let limit = MAX_MESSAGE as u64;
    source
        .by_ref()
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let beyond = io::copy(&mut source, &mut io::sink()).map_err(unreadable)?;
    if beyond > 0 {
        return Err(usage(format!("{name}: {}", too_large(limit + beyond))));
    }
    Ok(bytes)
}

/// Says that an argument is too large, with both sizes.
pub(super) fn too_large(bytes: u64) -> String {
    format!(
        "an argument of {} KiB exceeds the {} KiB limit of a job; \
         store the data elsewhere and enqueue where it is",
        bytes.div_ceil(1024),
        MAX_MESSAGE / 1024
    )
}
