//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use bananas::Track;
use clap::Parser;

use crate::nemesis::Fault;
use crate::target::{Kind, StoreKind};

/// Strikes a broker and its clients under load, and proves after each fault that every worker process runs jobs
/// again. Exit code: 0 when all is well, 1 when a worker was silent for too long, 2 when a job was lost or the
/// history is otherwise wrong, 6 when the run could not be done, 7 when fewer jobs were accepted than `--jobs` asks
/// for, or than 1,000, which is too few to say anything.
#[derive(Debug, Parser)]
#[command(name = "torture", args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) plan: Plan,
}

/// What a process of this program does instead, when this program starts it.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Role {
    /// A worker process of a run.
    #[command(hide = true)]
    Worker(WorkerRole),
}

/// What to do.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Which broker.
    #[arg(long, value_enum, default_value = "redis")]
    pub(crate) broker: Kind,

    /// Which faults, in which order, in each round; those that a broker cannot suffer are left out.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "restart,half-open"
    )]
    pub(crate) faults: Vec<Fault>,

    /// How often each of the faults strikes at least; 10 times when left out, and once with `--jobs`.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,

    /// How many jobs are accepted at least: rounds go on until there are so many.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) jobs: Option<u64>,

    /// How long each job takes; `1ms` where many are wanted.
    #[arg(long, default_value = "50ms", value_parser = humantime::parse_duration)]
    pub(crate) lasts: Duration,

    /// How many worker processes.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) workers: u32,

    /// How many jobs each of them runs at a time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) concurrency: u32,

    /// What the store keeps of the jobs: `full`, or `none` to lean on the broker alone.
    #[arg(long, default_value = "full", value_parser = tracks)]
    pub(crate) track: Track,

    /// Where jobs are recorded: `own`, by the broker's own engine where it can, or `sqlite`, in a file.
    #[arg(long, value_enum, default_value = "own")]
    pub(crate) store: StoreKind,

    /// Decides when and whom faults strike; another one each time when left out.
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// How long a worker process may take to run a job again, and the jobs of one that was killed to be begun by
    /// another. When left out each broker has its own for the first, and the second is 18 s.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) bound: Option<Duration>,

    /// How long to wait for a worker process that missed the bound before the run is given up.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) patience: Duration,

    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,

    /// Keeps the logs and the history in this folder, which is made; otherwise they are kept only when
    /// something was found.
    #[arg(long)]
    pub(crate) keep: Option<PathBuf>,
}

/// What a worker process is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WorkerRole {
    /// What the witness calls it.
    #[arg(long)]
    pub(crate) name: String,
    /// The configuration, as TOML.
    #[arg(long)]
    pub(crate) config: String,
    /// The socket of the witness.
    #[arg(long)]
    pub(crate) witness: PathBuf,
    /// How long each job takes.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) lasts: Duration,
}

impl Plan {
    /// How often each of the faults strikes at least.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds
            .unwrap_or(if self.jobs.is_some() { 1 } else { 10 })
    }
}

fn tracks(text: &str) -> Result<Track, String> {
    match text.parse() {
        Ok(track @ (Track::Full | Track::None)) => Ok(track),
        _ => Err("it is full or none".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_broker_faults_rounds_and_seed() {
        let line = "torture --broker redis --faults restart,half-open --rounds 3 --seed 7 --json";
        let plan = Args::try_parse_from(line.split(' ')).unwrap().plan;
        assert_eq!(plan.faults, [Fault::Restart, Fault::HalfOpen]);
        assert_eq!((plan.rounds(), plan.seed, plan.json), (3, Some(7), true));
        assert!(Args::try_parse_from(["torture", "--track", "outcome"]).is_err());
    }
}
