//! How a run ended, and what the store says to that.

use bytes::Bytes;

use crate::{AttemptError, DeadReason, JobRef, JobState, Timestamp};

/// How a run ended. The worker decides; the store only records it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Well, with its result as JSON.
    Succeeded {
        /// One JSON value.
        result: Bytes,
    },
    /// It failed, and another attempt is due.
    Retry {
        /// When.
        run_at: Timestamp,
        /// What went wrong.
        error: AttemptError,
    },
    /// It failed for good.
    Dead {
        /// Why there is no further attempt.
        reason: DeadReason,
        /// What went wrong.
        error: AttemptError,
    },
    /// Given back without using an attempt: shutdown, snooze, a limit, an unknown task.
    Release {
        /// When to run it; `None` means as soon as a worker is free.
        run_at: Option<Timestamp>,
        /// What to show a person who wonders why it does not run.
        note: Option<String>,
    },
    /// Stopped because somebody asked for it.
    Cancelled,
    /// Not started because its time had passed.
    Expired,
}

/// The end of one run.
#[derive(Clone, Debug)]
pub struct JobSettle {
    /// The job.
    pub job: JobRef,
    /// The epoch of the claim.
    pub epoch: u64,
    /// How the run ended.
    pub outcome: Outcome,
}

/// What the store says to an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobSettled {
    /// It is recorded.
    Settled(JobState),
    /// This run was settled before; nothing changed.
    AlreadySettled(JobState),
    /// The run belongs to the past: the job was taken away, and perhaps runs elsewhere.
    Stale {
        /// The job's epoch now.
        epoch: u64,
    },
    /// There is no such record.
    Missing,
}
