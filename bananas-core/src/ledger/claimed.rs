//! A job that this worker may run now.

use std::sync::Arc;

use crate::{Delivery, Job, OwnerId};

/// A job that this worker may run now; settle it with [`Ledger::settle`](crate::Ledger::settle).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claimed {
    /// The job.
    pub job: Arc<Job>,
    /// Who claimed it.
    pub owner: OwnerId,
    /// The epoch of the claim; grows with every claim of the job.
    pub epoch: u64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How often a process died while running it.
    pub crashes: u32,
    /// The broker's delivery behind it, where there is one.
    pub delivery: Option<Box<Delivery>>,
}

impl Claimed {
    /// A claim without a delivery.
    #[must_use]
    pub fn new(job: Arc<Job>, owner: OwnerId, epoch: u64) -> Self {
        Self {
            job,
            owner,
            epoch,
            attempt: 1,
            crashes: 0,
            delivery: None,
        }
    }

    /// Whether its run may bring the process down again.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.crashes > 0
    }
}
