//! Looking at jobs, and changing them from outside.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Check, Checked, Cursor, JobFilter, JobId, JobPage, JobRecord, JobState, QueueName, Result,
    Timestamp,
};

/// What a person or program asks of a job from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alteration {
    /// Not to run, or not to go on.
    Cancel,
    /// Run again now, with its counts at zero if it had ended.
    Retry,
    /// Forget it; only when it has ended.
    Drop,
}

/// What became of the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Altered {
    /// The job is in this state now.
    Done(JobState),
    /// It is running; its worker was told and will stop it.
    Requested,
    /// The record is gone.
    Dropped,
    /// Its state does not allow it.
    Refused(JobState),
    /// There is no such job.
    Missing,
}

/// How many jobs of a queue are in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCount {
    /// The queue.
    pub queue: QueueName,
    /// The state.
    pub state: JobState,
    /// How many.
    pub jobs: u64,
}

/// Which finished records to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prune {
    /// Succeeded, cancelled and expired jobs that ended before. By default 24 h ago.
    pub finished_before: Timestamp,
    /// Dead jobs that ended before. By default 30 d ago.
    pub dead_before: Timestamp,
    /// At most so many.
    pub max: usize,
}

/// Looking at jobs, and changing them from outside.
#[async_trait]
pub trait JobIndex: Send + Sync + fmt::Debug {
    /// The records with these ids, in order. **S60** What was recorded is found at once.
    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>>;

    /// A page of records, the newest first.
    ///
    /// - **S61** Following the cursors visits every job that was there, and passed the filter, from start to end
    ///   exactly once.
    /// - **S66** A job is shown if and only if [`JobFilter::matches`] says so of its record.
    /// - **S67** A text is looked for as it is: `%`, `_`, `*` and `\` stand for themselves.
    /// - **S68** A call looks at a bounded number of jobs, so that it ends within its deadline whatever the
    ///   filter; then the page is short, and its cursor says where to go on.
    async fn query(&self, filter: &JobFilter, after: Option<Cursor>, max: usize)
    -> Result<JobPage>;

    /// Counts by queue and state. **S62** Exact; combinations without jobs are left out.
    async fn counts(&self) -> Result<Vec<StateCount>>;

    /// Waits until something may have changed, at most `wait`. **S63** A change made after the call began, by
    /// any process, ends it soon.
    async fn watch(&self, wait: Duration) -> Result<()>;

    /// Does what people ask. **S64** Each answer says what became of the wish; a job made `Ready` is
    /// published like any other.
    async fn alter(&self, ids: &[JobId], alteration: Alteration) -> Result<Vec<Altered>>;

    /// Forgets finished records and says how many. **S65** Nothing else is ever forgotten.
    async fn prune(&self, prune: Prune) -> Result<u64>;

    /// Looks at a page of the store for what is wrong in it.
    ///
    /// - **S100** Following the places looks at every record that was there from start to end.
    /// - **S101** Without `repair` nothing is changed; with it no sound record is changed, and a check after it
    ///   finds nothing.
    /// - **S102** A page looks at 1,000 records at most.
    async fn check(&self, check: Check) -> Result<Checked>;
}
