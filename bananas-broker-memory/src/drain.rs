//! Waiting until all work is done: for users' tests.

use std::time::Duration;

use bananas_core::{JobState, Result};

use crate::connection::Memory;
use crate::engine::MemoryEngine;
use crate::error::Error;

/// How many jobs have ended, by the state they ended in. Jobs whose tracking keeps nothing count too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Ended well.
    pub succeeded: u64,
    /// Set aside with their last error.
    pub dead: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Never started, because their time had passed.
    pub expired: u64,
}

/// How many open jobs the error of a drain names.
const NAMED: usize = 5;

impl MemoryEngine {
    /// Waits until no job is ready, running, scheduled or retrying and no message is left, and says how the
    /// jobs ended.
    ///
    /// It runs nothing itself: some worker must. Time passes as the environment says; with
    /// [`ManualEnv`](bananas_core::ManualEnv) the test moves the clock.
    ///
    /// # Errors
    ///
    /// `Timeout` after `deadline`, with some of the jobs that are still open.
    pub async fn drain(&self, deadline: Duration) -> Result<Drained> {
        let memory = &self.memory;
        let until = memory.env.monotonic() + deadline;
        loop {
            // Before looking, so that a change between looking and waiting is noticed.
            let changed = memory.changed.notified();
            if let Some(drained) = memory.drained() {
                return Ok(drained);
            }
            if memory.env.until(until, changed).await.is_err() {
                // The last change may have come together with the deadline.
                return memory
                    .drained()
                    .ok_or_else(|| memory.still_open(deadline).into());
            }
        }
    }
}

impl Memory {
    fn drained(&self) -> Option<Drained> {
        if self.messages.lock().alive() > 0 {
            return None;
        }
        let table = self.jobs.lock();
        let open: u64 = JobState::ALL
            .into_iter()
            .filter(|state| !state.is_terminal())
            .map(|state| table.count(state))
            .sum();
        (open == 0).then(|| Drained {
            succeeded: table.count(JobState::Succeeded),
            dead: table.count(JobState::Dead),
            cancelled: table.count(JobState::Cancelled),
            expired: table.count(JobState::Expired),
        })
    }

    fn still_open(&self, deadline: Duration) -> Error {
        let messages = self.messages.lock().alive();
        let table = self.jobs.lock();
        let jobs: u64 = JobState::ALL
            .into_iter()
            .filter(|state| !state.is_terminal())
            .map(|state| table.count(state))
            .sum();
        let some = table
            .open(NAMED)
            .into_iter()
            .map(|job| format!("{} {} is {}", job.task, job.id, job.standing.state));
        Error::StillOpen {
            jobs,
            messages,
            deadline,
            some: some.collect(),
        }
    }
}
