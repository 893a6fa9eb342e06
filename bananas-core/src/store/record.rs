//! What the store knows of one job.

use bytes::Bytes;

use crate::{
    AttemptError, Claim, ClaimAnswer, Claimant, ErrorCause, Job, JobId, JobRef, JobSettled,
    JobState, Outcome, Priority, QueueName, Standing, Tags, TaskName, Timestamp, Track, Unique,
};

/// A job to record.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// Its id.
    pub id: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// Its task.
    pub task: TaskName,
    /// Its urgency.
    pub priority: Priority,
    /// What is kept of it.
    pub track: Track,
    /// Its tags.
    pub tags: Tags,
    /// The encoded job.
    pub body: Bytes,
    /// When the client made it.
    pub created_at: Timestamp,
    /// Its state at the start: [`Standing::new`].
    pub standing: Standing,
    /// At most one with this key.
    pub unique: Option<Unique>,
    /// What has happened already, when only the end of a job is recorded (`track = outcome`).
    pub errors: Vec<AttemptError>,
    /// Its result, likewise.
    pub result: Option<Bytes>,
}

/// What the store knows of one job.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// Its task.
    pub task: TaskName,
    /// Its urgency.
    pub priority: Priority,
    /// What is kept of it.
    pub track: Track,
    /// Its tags.
    pub tags: Tags,
    /// The encoded job, as it was recorded.
    pub body: Bytes,
    /// When the client made it.
    pub created_at: Timestamp,
    /// When its last run started.
    pub started_at: Option<Timestamp>,
    /// Where it stands.
    pub standing: Standing,
    /// Failures and crashes, the oldest first, at most [`MAX_ERRORS_KEPT`](crate::MAX_ERRORS_KEPT).
    pub errors: Vec<AttemptError>,
    /// Its result, as JSON.
    pub result: Option<Bytes>,
    /// Why it does not run, in a few words, when it was released with a reason.
    pub note: Option<String>,
}

impl NewRecord {
    /// The record of a job that was just enqueued.
    #[must_use]
    pub fn of(job: &Job, body: Bytes, now: Timestamp) -> Self {
        Self {
            id: job.id,
            queue: job.queue.clone(),
            task: job.task.clone(),
            priority: job.priority,
            track: job.track,
            tags: job.tags.clone(),
            body,
            created_at: job.created_at,
            standing: Standing::new(now, job.run_at, job.expires_at),
            unique: job.unique.clone(),
            errors: Vec::new(),
            result: None,
        }
    }

    /// Its queue and id.
    #[must_use]
    pub fn reference(&self) -> JobRef {
        JobRef {
            queue: self.queue.clone(),
            id: self.id,
        }
    }

    /// The record of a job that nothing has happened to yet.
    #[must_use]
    pub fn into_record(self) -> JobRecord {
        JobRecord {
            id: self.id,
            queue: self.queue,
            task: self.task,
            priority: self.priority,
            track: self.track,
            tags: self.tags,
            body: self.body,
            created_at: self.created_at,
            started_at: None,
            standing: self.standing,
            errors: self.errors,
            result: self.result,
            note: None,
        }
    }
}

impl JobRecord {
    /// Its queue and id.
    #[must_use]
    pub fn reference(&self) -> JobRef {
        JobRef {
            queue: self.queue.clone(),
            id: self.id,
        }
    }

    /// Whether nothing of it is kept: it has ended, and its tracking says to forget it. Dead jobs are kept
    /// whatever the tracking: this record is their dead queue.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.track == Track::None
            && self.standing.state.is_terminal()
            && self.standing.state != JobState::Dead
    }

    /// Records how the run of `epoch` ended: [`Standing::settle`], and the result or error that goes with it.
    pub fn settle(&mut self, epoch: u64, outcome: Outcome, now: Timestamp) -> JobSettled {
        let settled = self.standing.settle(epoch, &outcome, now);
        if matches!(settled, JobSettled::Settled(_)) {
            self.note = None;
            match outcome {
                Outcome::Succeeded { result } => self.result = Some(result),
                Outcome::Retry { error, .. } | Outcome::Dead { error, .. } => {
                    self.push_error(error)
                }
                Outcome::Release { note, .. } => self.note = note,
                Outcome::Cancelled | Outcome::Expired => {}
            }
        }
        settled
    }

    /// Answers a claim: [`Standing::claim`], and the error that goes with a crash found by it.
    pub fn claim(&mut self, claim: &Claim, by: &Claimant, now: Timestamp) -> ClaimAnswer {
        let before = self.standing.clone();
        let answer = self.standing.claim(claim, by, now);
        if self.standing.crashes > before.crashes {
            self.push_crash(&before, now);
        }
        if matches!(answer, ClaimAnswer::Run { .. }) {
            self.started_at = Some(now);
        }
        answer
    }

    /// Its owner is dead: [`Standing::reap`], and the error that goes with it. Answers whether it is to be
    /// published.
    pub fn reap(&mut self, now: Timestamp) -> bool {
        let before = self.standing.clone();
        let publish = self.standing.reap(now);
        self.push_crash(&before, now);
        publish
    }

    fn push_crash(&mut self, before: &Standing, now: Timestamp) {
        let attempt = before.failed_attempts + 1;
        let owner = before
            .owner
            .map_or_else(String::new, |owner| format!(" (owner {owner})"));
        let message = format!("the worker died or lost its lease while running the job{owner}");
        self.push_error(AttemptError::new(
            attempt,
            now,
            ErrorCause::Crashed,
            message,
        ));
    }

    /// Adds an error and drops the oldest beyond the limit.
    pub fn push_error(&mut self, error: AttemptError) {
        self.errors.push(error);
        if self.errors.len() > crate::MAX_ERRORS_KEPT {
            self.errors.remove(0);
        }
    }
}
