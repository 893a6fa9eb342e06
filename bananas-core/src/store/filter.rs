//! Finding jobs.

use crate::{JobId, JobRecord, JobState, QueueName, TaskName};

/// Which jobs; what is empty or `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobFilter {
    /// In one of these states.
    pub states: Vec<JobState>,
    /// On this queue.
    pub queue: Option<QueueName>,
    /// Of this task.
    pub task: Option<TaskName>,
}

/// Where a page ended. The newest jobs come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub JobId);

/// One page of jobs, the newest first.
#[derive(Clone, Debug, Default)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobRecord>,
    /// Where the next page starts, if there is one.
    pub next: Option<Cursor>,
}

impl JobFilter {
    /// Whether a record passes.
    #[must_use]
    pub fn matches(&self, job: &JobRecord) -> bool {
        (self.states.is_empty() || self.states.contains(&job.standing.state))
            && self.queue.as_ref().is_none_or(|queue| *queue == job.queue)
            && self.task.as_ref().is_none_or(|task| *task == job.task)
    }
}
