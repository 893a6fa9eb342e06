//! Logs, on standard error, as text or JSON.

use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use crate::cli::Globals;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The variable with a filter in the syntax of `tracing`: `bananas_worker=debug,info`.
const FILTER: &str = "BANANAS_LOG";

/// Starts logging. A filter that cannot be read is answered with the reason.
///
/// A worker says what it does; other commands only what goes wrong, unless asked for more.
pub(crate) fn start(globals: &Globals, is_worker: bool, colour: bool) -> Result<(), String> {
    let level = match (globals.quiet, globals.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) if !is_worker => LevelFilter::WARN,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let filter = match std::env::var(FILTER) {
        Ok(text) => EnvFilter::try_new(&text)
            .map_err(|e| format!("{FILTER} is {text:?}, which is no log filter: {e}"))?,
        Err(_) => EnvFilter::new(level.to_string()),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match globals.log_format {
        LogFormat::Text => logs.with_ansi(colour).with_target(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    Ok(())
}
