//! Finding jobs.

use crate::{
    JobId, JobRecord, JobState, QueueName, SearchText, Searched, Tag, TaskName, Timestamp,
};

/// Which jobs; what is empty or `None` does not restrict, and everything else must hold at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobFilter {
    /// In one of these states.
    pub states: Vec<JobState>,
    /// On this queue.
    pub queue: Option<QueueName>,
    /// Of this task.
    pub task: Option<TaskName>,
    /// With all of these tags.
    pub tags: Vec<Tag>,
    /// Created at this time or later.
    pub created_after: Option<Timestamp>,
    /// Created before this time.
    pub created_before: Option<Timestamp>,
    /// Ended at this time or later; a job that has not ended does not pass.
    pub finished_after: Option<Timestamp>,
    /// Ended before this time; a job that has not ended does not pass.
    pub finished_before: Option<Timestamp>,
    /// With this text in it.
    pub text: Option<SearchText>,
}

/// Where a page ended. The newest jobs come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub JobId);

/// One page of jobs, the newest first.
#[derive(Clone, Debug, Default)]
pub struct JobPage {
    /// The jobs. Fewer than asked for, even none, do not mean that there are no more: where few of many match,
    /// a store ends a page after it has looked at enough of them.
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
            && self.tags.iter().all(|tag| job.tags.contains(tag.as_str()))
            && self.is_in_time(job)
            && self
                .text
                .as_ref()
                .is_none_or(|text| text.is_in(&Searched::of(job)))
    }

    fn is_in_time(&self, job: &JobRecord) -> bool {
        let created = Some(job.created_at);
        let finished = job.standing.finished_at;
        is_within(created, self.created_after, self.created_before)
            && is_within(finished, self.finished_after, self.finished_before)
    }
}

/// Whether a time is in a range that has its start and not its end. No time is in no range but the endless one.
fn is_within(at: Option<Timestamp>, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
    from.is_none_or(|from| at.is_some_and(|at| at >= from))
        && to.is_none_or(|to| at.is_some_and(|at| at < to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_start_and_not_its_end() {
        let at = |n| Some(Timestamp::from_micros(n));
        assert!(is_within(at(5), at(5), at(6)));
        assert!(!is_within(at(5), at(4), at(5)));
        assert!(!is_within(at(5), at(6), None));
        assert!(is_within(None, None, None));
        assert!(!is_within(None, at(0), None));
        assert!(!is_within(None, None, at(9)));
    }
}
