//! Upkeep that any worker may do.

use std::time::Duration;

use crate::{OwnerId, Timestamp};

/// One kind of upkeep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chore {
    /// Make due jobs, and those of dead owners, ready.
    Promote,
    /// End the leases of these owners: they are known to be gone, or they leave.
    Retire(Vec<OwnerId>),
    /// Publish again what the broker has lost.
    Republish,
    /// Forget finished records.
    Prune {
        /// How long succeeded, cancelled and expired jobs are kept.
        finished: Duration,
        /// How long dead jobs are kept.
        dead: Duration,
    },
}

/// What a page of upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// How many jobs it moved or removed.
    pub jobs: u64,
    /// Whether there is more to do now.
    pub more: bool,
    /// When there will be more to do, if that is known.
    pub next: Option<Timestamp>,
}
