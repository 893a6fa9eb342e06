//! The ledger: what clients and workers talk to.
//!
//! [`SplitLedger`] makes one of any broker and any store. An engine that is both may bring its own, where the
//! record of a job is its message; it obeys the same clauses.
//!
//! - **L1** With `track = full` a job is accepted when its record is durable, whatever the broker does.
//! - **L2** Order of effects: the handler's effect, then the store, then the broker. A crash between two is a
//!   redelivery whose claim finds the truth.
//! - **L3** A retry of an enqueue with the same id is the same job.

mod chore;
mod claimed;
#[cfg(test)]
mod fakes;
mod fused;
mod held;
mod limits;
mod source;
mod split;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use self::chore::{Chore, Tended};
pub use self::claimed::Claimed;
pub use self::fused::FusedLedger;
pub use self::limits::MAX_MESSAGE;
pub use self::source::{Source, SourceSpec};
pub use self::split::{SplitLedger, SplitOptions};

use crate::{
    Capabilities, Counter, Job, JobId, JobIndex, JobSettled, Outcome, Owner, OwnerRow, QueueName,
    Renewed, Result,
};

/// Who a ledger is.
#[derive(Clone, Debug)]
pub struct LedgerInfo {
    /// The backends behind it: `sqlite`, `amqp+redis`.
    pub backend: String,
    /// Where they are, without secrets.
    pub url: String,
    /// What it can do, everything counted.
    pub capabilities: Capabilities,
}

/// The answer to an enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The job: the one enqueued, or the one that was there before.
    pub id: JobId,
    /// Whether a job with this id or unique key was there before.
    pub duplicate: bool,
    /// Whether the broker has it. When not, the store will see to it.
    pub published: bool,
}

/// Accepts jobs, hands them to workers, records what became of them.
///
/// All methods MAY be called concurrently, from any task.
#[async_trait]
pub trait Ledger: Send + Sync + fmt::Debug + 'static {
    /// Who it is and what it can do. Costs nothing.
    fn info(&self) -> &LedgerInfo;

    /// What its client of the broker has counted so far. Costs nothing.
    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }

    /// Creates what the queues need. **L10** Idempotent.
    async fn ensure(&self, queues: &[QueueName]) -> Result<()>;

    /// Accepts jobs; the answers are in the order of the batch. **L11** Each has its own answer.
    /// **L12** If the future is dropped, each job was accepted whole or not at all.
    async fn enqueue(&self, jobs: Vec<Job>) -> Vec<Result<Accepted>>;

    /// Opens a source of claimed jobs. **L20** The owner must have been renewed before.
    async fn open(&self, spec: SourceSpec) -> Result<Box<dyn Source>>;

    /// Records how runs ended; the answers are in order. **L30** At most one end per run counts.
    async fn settle(&self, batch: Vec<(Claimed, Outcome)>) -> Vec<Result<JobSettled>>;

    /// Enlists an owner or renews its lease, and with it the leases of all that it runs. **L40** After `Lost`
    /// the owner may settle nothing.
    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed>;

    /// The owners, and the running jobs of `cancels_of` that somebody asked to cancel.
    async fn owners(&self, cancels_of: Option<&Owner>) -> Result<(Vec<OwnerRow>, Vec<JobId>)>;

    /// Does one bounded page of upkeep. **L50** Any number of workers may do it at once.
    async fn tend(&self, chore: Chore) -> Result<Tended>;

    /// Looking at jobs, where there is a store.
    fn index(&self) -> Option<&dyn JobIndex>;

    /// Finishes what is under way and closes. Closing again is `Ok`.
    async fn close(&self, deadline: Duration) -> Result<()>;
}
