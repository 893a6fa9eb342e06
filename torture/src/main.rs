//! The program `torture`; `cargo xtask torture` runs it.

use std::process::ExitCode;

use clap::Parser;
use torture::Args;

#[tokio::main]
async fn main() -> ExitCode {
    // What clap answers to a wrong line is 2, which here means that a job was lost.
    match Args::try_parse() {
        Ok(args) => torture::run(args).await,
        Err(e) => {
            let code = if e.use_stderr() { 6 } else { 0 };
            // Whoever closed our output does not want to read it.
            e.print().unwrap_or_default();
            ExitCode::from(code)
        }
    }
}
