//! Long runs: real worker processes under load, a fault again and again, and after each the proof that every
//! single worker process runs jobs again.
//!
//! A consumer that has gone silent is not seen from outside: its process lives, its neighbours do its work. So
//! the witness is told by each process what it runs, and after each fault of the
//! nemesis every process of the fleet has so long to begin a job that
//! was enqueued after it. At the end the independent judge of `conformance-tests` says whether a job was lost.

mod args;
mod audit;
mod campaign;
mod course;
mod fleet;
mod ground;
mod host_clock;
mod load;
mod loss_rate;
mod luck;
mod nemesis;
mod report;
#[path = "../../conformance-tests/tests/sqs_server/mod.rs"]
mod sqs_server;
mod target;
mod witness;
mod work;
mod worker;

use std::process::ExitCode;

pub use self::args::Args;

/// Exit code: a worker process was silent for longer than it may.
const STALLED: u8 = 1;

/// Exit code: a job was lost, or something else was wrong with the history.
const UNSAFE: u8 = 2;

/// Exit code: too few jobs were accepted to say anything.
const TOO_FEW: u8 = 7;

/// Exit code: the run could not be done.
const COULD_NOT_RUN: u8 = 6;

/// Does what the command line says, and answers how that ended.
#[must_use]
#[expect(
    clippy::print_stderr,
    reason = "it talks to the person at the terminal"
)]
pub async fn run(args: Args) -> ExitCode {
    let ended = match args.role {
        Some(role) => worker::run(role).await.map(|()| ExitCode::SUCCESS),
        None => campaign::run(args.plan).await,
    };
    ended.unwrap_or_else(|e| {
        eprintln!("torture: {e:#}");
        ExitCode::from(COULD_NOT_RUN)
    })
}
