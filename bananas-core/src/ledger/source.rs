//! Where a worker gets its jobs.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Claimed, Owner, QueueName, Result};

/// What to take, for whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceSpec {
    /// The queue.
    pub queue: QueueName,
    /// Who runs the jobs.
    pub owner: Owner,
    /// How long a broker's delivery is ours before it must be extended.
    pub lease: Duration,
    /// How many jobs may be in our hands at once.
    pub credit: u32,
}

impl SourceSpec {
    /// A source with a lease of 15 s and a credit of 100.
    #[must_use]
    pub fn new(queue: QueueName, owner: Owner) -> Self {
        Self {
            queue,
            owner,
            lease: Duration::from_secs(15),
            credit: 100,
        }
    }
}

/// Claimed jobs of one queue.
#[async_trait]
pub trait Source: Send + fmt::Debug {
    /// Waits up to `wait` for jobs and claims at most `max`, of them at most `suspects` that have a crash
    /// behind them.
    ///
    /// - **L21** Returns as soon as there is one; empty after `wait`.
    /// - **L22** No job is claimed by two owners with valid leases.
    /// - **L23** If the future is dropped, nothing is lost: what was claimed comes with the next call.
    /// - **L24** Among ready jobs, higher priorities come first.
    async fn next(&mut self, max: usize, suspects: usize, wait: Duration) -> Result<Vec<Claimed>>;

    /// Stops taking, and gives back what was taken but not returned. May be called twice.
    async fn stop(&mut self) -> Result<()>;
}
