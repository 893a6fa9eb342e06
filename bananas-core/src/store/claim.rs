//! The question a worker asks before it runs a job, and the answers.

use std::time::Duration;

use crate::{JobRef, OwnerId, Timestamp};

/// Asks for several deliveries whether they may run now.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Who wants to run them. Its lease must be valid.
    pub owner: OwnerId,
    /// At most this many suspects (jobs with a crash behind them) may be answered `Run`.
    pub suspects: usize,
    /// What was delivered.
    pub claims: Vec<Claim>,
}

/// One delivery of one job.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The job.
    pub job: JobRef,
    /// Which published copy of it was delivered.
    pub copy: u32,
    /// How often this copy was delivered, 0 if unknown.
    pub delivery: u32,
    /// Whether a redelivery of this copy proves that its earlier holder lost the lease.
    pub redelivery_proves_lease_lost: bool,
}

/// Whether the delivery may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimAnswer {
    /// Run it now, under this epoch.
    Run {
        /// Grows with every claim; settle with it, pass it on as fencing token.
        epoch: u64,
        /// Which attempt this is, from 1.
        attempt: u32,
        /// How often a process died while running it.
        crashes: u32,
    },
    /// It has ended; acknowledge the delivery.
    Finished,
    /// It was cancelled; acknowledge the delivery.
    Cancelled,
    /// Somebody runs it, or it must wait its turn as a suspect; release the delivery.
    Busy {
        /// When to look again.
        retry_in: Duration,
    },
    /// Its time has not come; the store publishes it then. Acknowledge the delivery.
    NotYet {
        /// When it is due.
        at: Timestamp,
    },
    /// The store has no record of it.
    Missing,
}
