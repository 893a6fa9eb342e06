//! The judge for people: reads the files of a history and prints the verdict.
//!
//! Exit status: 0 clean, 2 something went wrong, 4 a file cannot be read.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to a person"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use conformance_tests::judge::{Rules, judge, read_files};

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        eprintln!("usage: judge HISTORY.jsonl ...\n\nevery writer has a file of its own");
        return ExitCode::from(4);
    }
    let events = match read_files(&paths) {
        Ok(events) => events,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(4);
        }
    };
    let verdict = judge(&events, &Rules::promised(&events));
    print!("{verdict}");
    ExitCode::from(if verdict.is_clean() { 0 } else { 2 })
}
