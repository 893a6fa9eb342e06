//! The command line as types. What a command does is in `commands`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    completions, config, dead, doctor, enqueue, fsck, jobs, queues, wait, worker,
};
use crate::demo::{self, DemoArgs, DemoWorkerArgs};
use crate::exit;
use crate::logging::LogFormat;
use crate::output::Color;
use crate::value;

const EXAMPLES: &str = "\
Examples:
  bananas demo
  bananas worker
  bananas enqueue hello '{\"name\": \"world\"}' --wait
  bananas jobs list --state dead

`bananas COMMAND --help` shows more of them";

/// Background jobs on the broker you already have.
#[derive(Debug, Parser)]
#[command(
    name = "bananas",
    version,
    disable_help_subcommand = false,
    subcommand_required = false,
    after_help = format!("{EXAMPLES}; `bananas help exit-codes` the exit codes."),
    after_long_help = format!("{EXAMPLES}.\n\n{}", exit::HELP)
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Configuration file; without it `bananas.toml`, if there is one here.
    #[arg(long, global = true, value_name = "PATH", env = "BANANAS_CONFIG", value_parser = value::path())]
    pub(crate) config: Option<PathBuf>,
    /// Where the jobs are: broker and store. Wins over the configuration.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Print data as JSON: one object, or one per line for lists of jobs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How log lines on standard error look.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
    /// Log more; twice for everything. `BANANAS_LOG` takes a whole filter.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Log errors only, and leave remarks out.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// When to colour.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the `exec` tasks of the configuration.
    Worker(worker::WorkerArgs),
    /// Enqueue a job, or one per line of standard input.
    Enqueue(Box<enqueue::EnqueueArgs>),
    /// Look at jobs, run them again, cancel them.
    #[command(subcommand, after_help = jobs::EXAMPLES)]
    Jobs(jobs::JobsCommand),
    /// Show how many jobs each queue has, and who works on them.
    Queues(queues::QueuesArgs),
    /// Wait until jobs have ended.
    Wait(wait::WaitArgs),
    /// Look at dead jobs, run them again, drop them.
    #[command(subcommand, after_help = dead::EXAMPLES)]
    Dead(dead::DeadCommand),
    /// Check the configuration.
    #[command(subcommand, after_help = config::EXAMPLES)]
    Config(config::ConfigCommand),
    /// Ask broker and store whether they keep what they are given.
    Doctor(doctor::DoctorArgs),
    /// Look for damage in the store, and repair it.
    Fsck(fsck::FsckArgs),
    /// Run one job per file of a folder, with a worker killed half-way, and prove that nothing was lost.
    #[command(after_help = demo::EXAMPLES)]
    Demo(DemoArgs),
    /// A worker process of the demo.
    #[command(hide = true)]
    DemoWorker(DemoWorkerArgs),
    /// Write the completions of a shell to standard output.
    Completions(completions::CompletionsArgs),
    /// Show the exit codes.
    #[command(hide = true, name = "exit-codes", after_help = exit::HELP)]
    ExitCodes,
}
