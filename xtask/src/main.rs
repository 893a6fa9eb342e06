//! `cargo xtask`: everything a developer runs, by one name.
//!
//! It starts the ordinary tools with the same flags everywhere; what they check is their own business. `tidy`
//! and `brokers` alone are written here.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to the person at the terminal"
)]

mod bench;
mod brokers;
mod command;
mod conformance;
mod nextest;
mod root;
mod step;
mod test;
mod tidy;
mod torture;

use std::process::ExitCode;

use crate::command::{Command, HELP};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::from(2)
        }
    }
}

/// Does what the command line asks for, and answers with the exit code.
fn run() -> anyhow::Result<ExitCode> {
    let command = Command::parse(std::env::args().skip(1))?;
    let root = root::find(&std::env::current_dir()?)?;
    let is_well = match command {
        Command::Help => {
            println!("{HELP}");
            Ok(true)
        }
        Command::Test(scope) => test::run(&root, scope),
        Command::Tidy => tidy::run(&root, None),
        Command::Conformance(answers) => conformance::run(&root, answers),
        Command::Brokers(wish) => brokers::run(&root, wish),
        Command::Bench(arguments) => bench::run(&root, arguments),
        // Its exit codes say more.
        Command::Torture(arguments) => return torture::run(&root, arguments),
    };
    Ok(if is_well? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
