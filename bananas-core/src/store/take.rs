//! Taking jobs straight from the store, for engines where the record is the message.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{JobId, OwnerId, Priority, QueueName, Result};

/// A store whose ready records workers can take directly. [`FusedLedger`](crate::FusedLedger) does the rest.
pub trait TakeStore: Send + Sync + fmt::Debug + 'static {
    /// Opens a taker of one queue for one owner.
    fn taker(&self, queue: &QueueName, owner: OwnerId) -> Box<dyn Taker>;
}

/// Takes jobs of one queue for one owner.
#[async_trait]
pub trait Taker: Send + fmt::Debug {
    /// Waits up to `wait` for ready jobs and starts at most `max` of them, of those at most `suspects` with a
    /// crash behind them, in one transaction: [`Standing::start`](crate::Standing::start).
    ///
    /// - **S70** Returns as soon as there is one; empty after `wait`. Jobs of this queue that are due count as
    ///   ready.
    /// - **S71** An owner whose lease is not valid takes nothing: the error is of kind `Closed`.
    /// - **S72** Higher priorities come first; within one, first in, first out.
    /// - **S73** If the future is dropped, what was started comes with the next call.
    async fn take(&mut self, max: usize, suspects: usize, wait: Duration) -> Result<Vec<Taken>>;

    /// Gives back what was started and not returned, using no attempt. May be called twice.
    async fn stop(&mut self) -> Result<()>;
}

/// A job whose run has been started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its id.
    pub id: JobId,
    /// The encoded job.
    pub body: Bytes,
    /// Its urgency.
    pub priority: Priority,
    /// The epoch of the run.
    pub epoch: u64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How often a process died while running it.
    pub crashes: u32,
}
