//! What can be said on the command line, to the demo and to its worker processes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// Arguments of `bananas demo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// The folder whose files are digested: one job for each regular file below it
    #[arg(default_value = ".", value_name = "DIR")]
    pub(super) dir: PathBuf,

    /// How many worker processes run the jobs
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) workers: u16,

    /// Include .git, target and node_modules
    #[arg(long)]
    pub(super) all: bool,

    /// A database file to make and to leave behind, instead of one in a temporary folder. On a broker that
    /// records no jobs itself, the records are there
    #[arg(long, value_name = "PATH")]
    pub(super) database: Option<PathBuf>,

    /// Leave the jobs and the logs of the workers behind, to look at them
    #[arg(long)]
    pub(super) keep: bool,

    /// Read every file once more at the end, and compare the digests too
    #[arg(long)]
    pub(super) verify: bool,

    /// The least time that each job takes, such as 20ms; in small folders chosen so that a worker can be caught at work
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) pace: Option<Duration>,
}

/// Arguments of the worker processes that the demo starts. Not for people.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoWorkerArgs {
    /// How many jobs run at once
    #[arg(long)]
    pub(super) concurrency: usize,

    /// The least time that each job takes, in microseconds
    #[arg(long)]
    pub(super) pace_us: u64,
}

/// The words that end the help of `bananas demo`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  bananas demo                     the files below this folder
  bananas demo ~/src --verify      another folder, all digests checked at the end
  bananas demo --keep              then look at the jobs with `bananas jobs list`
  bananas demo --url redis://localhost     on a server, in a namespace of its own that is removed at the end
  bananas demo --json | jq .lost

The jobs are in a database file of the demo, unless the configuration or --url names a broker that is a server.

Exit codes: 0 no job was lost; 1 a job was lost, a digest is wrong, or the demo failed;
2 the folder or the database path cannot be used; 130 interrupted.";
