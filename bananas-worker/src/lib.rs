//! Runs Bananas jobs: from the ledger to handlers and back.
//!
//! A user meets [`Worker`], the extractors ([`State`], [`Attempt`], [`JobContext`]) and [`TaskError`] here,
//! re-exported by the crate `bananas`. The worker knows no backend: it works on any
//! [`Ledger`](bananas_core::Ledger).
//!
//! All work for broker and store runs on the isolated thread of [`Env`](bananas_core::Env); handlers run where
//! the user's code runs. A handler that blocks its threads starves neither the lease nor the settling of other
//! jobs.

mod canceller;
mod crew;
mod driver;
mod engine;
mod exec;
mod executor;
mod handler;
mod heartbeat;
mod panic_text;
mod policy;
pub mod process;
mod registry;
mod runs;
mod scheduler;
mod settler;
mod shutdown;
mod source;
mod supervisor;
mod task_error;
mod verdict;
mod worker;

pub use self::handler::{
    Arguments, Attempt, CancelToken, FromJob, FromRef, HandlerReturn, JobContext, Signature, State,
};
pub use self::shutdown::{Shutdown, Signals, shutdown_signal};
pub use self::supervisor::Liveness;
pub use self::task_error::{TaskError, TaskResult};
pub use self::worker::Worker;
