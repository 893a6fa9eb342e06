//! Owners: worker processes, each start of one being a new owner with a lease of its own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::OwnerId;

/// One start of one process, with what a neighbour on the same host needs to see that it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Unique to this start.
    pub id: OwnerId,
    /// The host's name, for people.
    pub host: String,
    /// Changes with each boot of the host; empty where the system does not say.
    pub boot_id: String,
    /// The process.
    pub pid: u32,
    /// When the process started, in clock ticks since boot, so that a pid used again is told apart.
    pub pid_started: u64,
}

/// An owner as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRow {
    /// The owner.
    pub owner: Owner,
    /// How much of its lease is left; zero when it has lapsed.
    pub left: Duration,
    /// How many jobs it is running.
    pub running: u64,
}

/// The answer to enlisting or renewing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The lease lasts this long from when the request was sent.
    Held {
        /// Its length.
        lease: Duration,
    },
    /// The owner was declared dead: its jobs belong to others now, and it must start again as a new owner.
    Lost,
}

impl Owner {
    /// Whether its process is surely gone, judged from a process on the host with this boot id; `alive` says
    /// whether a process with this pid and start time runs.
    #[must_use]
    pub fn is_surely_gone(&self, boot_id: &str, alive: impl FnOnce(u32, u64) -> bool) -> bool {
        !boot_id.is_empty() && self.boot_id == boot_id && !alive(self.pid, self.pid_started)
    }
}
