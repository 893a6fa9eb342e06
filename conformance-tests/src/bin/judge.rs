//! The judge for people: reads the files of a history and prints the verdict.
//!
//! Exit status: 0 clean, 2 something went wrong, 4 a file cannot be read, or the command line.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to a person"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use conformance_tests::judge::{Rules, judge, read_files};

/// What `judge --help` prints.
const HELP: &str = "\
Usage: judge HISTORY.jsonl ...

Judges what the files say together; every writer has a file of its own.

Exit code: 0 when nothing went wrong, 2 when something did, 4 when a file cannot be read.";

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let words: Vec<&str> = paths.iter().filter_map(|path| path.to_str()).collect();
    if words.contains(&"--help") || words.contains(&"-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let option = words.iter().find(|word| word.starts_with('-'));
    if let Some(option) = option {
        eprintln!(
            "judge: there is no option {option:?}; a file of that name is ./{option}\n\n{HELP}"
        );
        return ExitCode::from(4);
    }
    if paths.is_empty() {
        eprintln!("judge: no history to judge\n\n{HELP}");
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
