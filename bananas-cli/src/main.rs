//! The `bananas` command: run workers, enqueue jobs, look at them.
//!
//! It is a program over the crate `bananas`, with nothing a user's own program could not do.

mod cli;
mod commands;
mod criteria;
mod demo;
mod exit;
mod logging;
mod output;
mod prompt;
mod render;
mod selection;
mod settings;
mod value;
mod wait;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, Globals};
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.globals.json, cli.globals.quiet, cli.globals.color);
    let is_worker = matches!(cli.command, Some(Command::Worker(_)));
    if let Err(message) = logging::start(&cli.globals, is_worker, output.is_coloured()) {
        output.error(message);
        return ExitCode::from(exit::USAGE);
    }
    let ended = run(cli, &output).and_then(|code| output.flush().map(|()| code));
    ended.unwrap_or_else(|error| match exit::code_of(&error) {
        None => ExitCode::SUCCESS,
        Some(code) => {
            output.error(format_args!("{error:#}"));
            ExitCode::from(code)
        }
    })
}

fn run(cli: Cli, output: &Output) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(dispatch(cli.command, &cli.globals, output));
    // A thread that still waits for standard input must not keep the process alive.
    runtime.shutdown_background();
    ended
}

async fn dispatch(
    command: Option<Command>,
    globals: &Globals,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let Some(command) = command else {
        return commands::welcome::run(output);
    };
    match command {
        Command::Worker(args) => commands::worker::run(args, globals).await,
        Command::Enqueue(args) => commands::enqueue::run(*args, globals, output).await,
        Command::Jobs(command) => commands::jobs::run(command, globals, output).await,
        Command::Queues(_) => commands::queues::run(globals, output).await,
        Command::Wait(args) => commands::wait::run(args, globals, output).await,
        Command::Dead(command) => commands::dead::run(command, globals, output).await,
        Command::Config(command) => commands::config::run(command, globals, output),
        Command::Doctor(_) => commands::doctor::run(globals, output).await,
        Command::Fsck(args) => commands::fsck::run(args, globals, output).await,
        Command::Demo(args) => demo::run(args, globals, output).await,
        Command::DemoWorker(args) => demo::run_worker(args).await,
        Command::Completions(args) => commands::completions::run(&args, output),
        Command::ExitCodes => {
            output.line(exit::HELP)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
