//! What a command prints: data to standard output, remarks to standard error.
//!
//! Logs are not its business; `logging.rs` sends them to standard error. What a job or a time looks like is
//! decided in `render`.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::exit::ReaderGone;

/// Where a command's results go, and in which form.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    json: bool,
    terminal: bool,
    colour: bool,
    remarks: Remarks,
}

/// What goes to standard error beside errors and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remarks {
    /// Nothing.
    None,
    /// Lines.
    Lines,
    /// Lines, and bars that move.
    Bars,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Output {
    /// Looks at where standard output and standard error go.
    pub(crate) fn new(json: bool, quiet: bool, color: Color) -> Self {
        let stderr = io::stderr().is_terminal();
        let remarks = match (quiet, stderr) {
            (true, _) => Remarks::None,
            (false, true) => Remarks::Bars,
            (false, false) => Remarks::Lines,
        };
        let colour = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => stderr && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        Self {
            json,
            terminal: io::stdout().is_terminal(),
            colour,
            remarks,
        }
    }

    /// Whether data are to be printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person looks at standard output.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether a progress bar on standard error makes sense.
    pub(crate) fn shows_progress(&self) -> bool {
        self.remarks == Remarks::Bars
    }

    /// Whether what goes to standard error may be coloured.
    pub(crate) fn is_coloured(&self) -> bool {
        self.colour
    }

    /// One line of data.
    pub(crate) fn line(&self, text: impl Display) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").map_err(unless_gone)
    }

    /// One value as one line of JSON.
    pub(crate) fn json<T: Serialize + ?Sized>(&self, value: &T) -> anyhow::Result<()> {
        self.line(serde_json::to_string(value)?)
    }

    /// Rows under a header: with lines between them for people, with nothing but spaces for programs.
    pub(crate) fn table(&self, header: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<()> {
        let mut table = Table::new();
        let style = if self.terminal {
            presets::UTF8_FULL_CONDENSED
        } else {
            presets::NOTHING
        };
        table.load_style(style);
        table.set_header(
            header
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        );
        for row in rows {
            table.add_row(row);
        }
        let text = table.to_string();
        for line in text.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    /// A remark for people, on standard error; nothing with `--quiet`.
    pub(crate) fn note(&self, text: impl Display) {
        if self.remarks != Remarks::None {
            complain(text);
        }
    }

    /// What went wrong, on standard error.
    pub(crate) fn error(&self, text: impl Display) {
        if self.colour {
            complain(format_args!("\u{1b}[1;31merror:\u{1b}[0m {text}"));
        } else {
            complain(format_args!("error: {text}"));
        }
    }

    /// Sends on what the system buffers. Call it before the process ends.
    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        io::stdout().lock().flush().map_err(unless_gone)
    }
}

fn unless_gone(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => ReaderGone.into(),
        _ => anyhow::Error::new(error).context("standard output cannot be written"),
    }
}

/// Writes to standard error. If even that fails there is nobody left to tell.
fn complain(text: impl Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
