//! Every number Bananas publishes comes from here: `cargo xtask bench`.
//!
//! Figures of one run are compared with each other; absolute rates belong to the machine they were taken on.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads the clock and prints"
)]

mod broker;
mod cpu;
mod damage;
mod idle;
mod latency;
mod nats;
mod rabbitmq;
mod raw;
mod redis;
mod report;
mod sqs;
mod target;
mod throughput;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::broker::Plan;
use crate::report::Report;
use crate::target::Target;

/// Measures Bananas against the raw limit of each backend, in one run.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// What to measure; everything when left out.
    #[arg(long, value_enum)]
    target: Vec<Target>,

    /// Jobs per throughput figure.
    #[arg(long, default_value_t = 200_000)]
    jobs: u64,

    /// Rounds; the median is printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Seconds of each latency figure, at 50 jobs/s.
    #[arg(long, default_value_t = 10)]
    seconds: u64,

    /// Leaves out latency, wake-up and idle figures.
    #[arg(long)]
    throughput_only: bool,

    /// Prints one JSON object per figure.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// A worker that does nothing, in a process of its own.
    #[command(hide = true)]
    IdleWorker {
        /// The database.
        url: String,
    },
    /// Measures what a job costs a Redis server, which is started for it.
    Redis,
    /// Measures what operations cost a Redis server while many jobs wait; it needs 0.5 GiB per million.
    RedisBacklog {
        /// How many jobs wait, in rising order.
        #[arg(default_values_t = [10_000, 10_000_000])]
        waiting: Vec<u64>,
    },
    /// Measures publishing and consuming on a RabbitMQ server, which is started for it, beside lapin alone.
    Rabbitmq {
        /// On classic queues, and not on quorum queues.
        #[arg(long)]
        classic: bool,
    },
    /// Measures publishing and consuming on an emulator of Amazon SQS, beside the library of AWS alone, and counts
    /// requests. 2,000 jobs at most, for emulators are slow.
    Sqs {
        /// The emulator's endpoint; `cargo xtask brokers up sqs` starts one.
        #[arg(long, env = "BANANAS_TEST_SQS_URL")]
        endpoint: String,
    },
    /// Measures publishing and consuming on a NATS server, which is started for it, beside async-nats alone.
    Nats {
        /// Beside acknowledgements that are not awaited. Ours are.
        #[arg(long)]
        plain_acks: bool,
    },
    /// Measures what damaged records cost the others around them, on SQLite.
    Damage,
    /// Enqueues jobs from a process of its own.
    #[command(hide = true)]
    Producer {
        /// The database.
        url: String,
        /// For so many seconds.
        seconds: u64,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    match &args.command {
        Some(Command::IdleWorker { url }) => return idle::worker(url).await,
        Some(Command::Producer { url, seconds }) => return latency::produce(url, *seconds).await,
        Some(Command::Damage) => {
            return damage::measure(args.jobs, args.rounds, &mut Report::new(args.json)).await;
        }
        Some(Command::Redis) => {
            let jobs = usize::try_from(args.jobs)?;
            return redis::measure(jobs, args.rounds, &mut Report::new(args.json)).await;
        }
        Some(Command::Rabbitmq { classic }) => {
            let plan = Plan::new(usize::try_from(args.jobs)?, args.rounds);
            let kind = rabbitmq::kind(*classic);
            return rabbitmq::measure(kind, plan, &mut Report::new(args.json)).await;
        }
        Some(Command::Sqs { endpoint }) => {
            let jobs = usize::try_from(args.jobs)?.min(2_000);
            let plan = Plan::new(jobs, args.rounds);
            return sqs::measure(endpoint, plan, &mut Report::new(args.json)).await;
        }
        Some(Command::Nats { plain_acks }) => {
            let plan = Plan::new(usize::try_from(args.jobs)?, args.rounds);
            let acks = match plain_acks {
                true => nats::Acks::Plain,
                false => nats::Acks::Confirmed,
            };
            return nats::measure(acks, plan, &mut Report::new(args.json)).await;
        }
        Some(Command::RedisBacklog { waiting }) => {
            let mut report = Report::new(args.json);
            return redis::measure_backlog(waiting, args.rounds, &mut report).await;
        }
        None => {}
    }
    let targets = if args.target.is_empty() {
        Target::ALL.to_vec()
    } else {
        args.target.clone()
    };
    let mut report = Report::new(args.json);
    for target in targets {
        for track in target.tracks() {
            throughput::measure(target, *track, args.jobs, args.rounds, &mut report).await?;
        }
        raw::measure(target, args.jobs, args.rounds, &mut report)?;
        if !args.throughput_only {
            latency::measure(target, args.seconds, &mut report).await?;
            if target.is_sqlite() {
                latency::measure_across_processes(target, args.seconds, &mut report).await?;
                idle::measure(target, args.seconds, &mut report)?;
            }
        }
    }
    Ok(())
}
