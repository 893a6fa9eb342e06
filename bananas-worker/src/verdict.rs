//! From the end of a handler to the outcome of the run: the rules, without any I/O.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{AttemptError, DeadReason, Env, ErrorCause, Job, Outcome, Timestamp};

use crate::driver::Ended;
use crate::handler::Failure;
use crate::policy::Policy;
use crate::runs::{Run, Stop};
use crate::task_error::Wish;

/// What is noted on a job that a shutdown gave back.
pub(crate) const RELEASED: &str = "released by shutdown";

/// The first and the longest delay of a job whose task nobody here knows.
const UNKNOWN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// What a verdict needs to know beside the run.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) max_result_bytes: usize,
    /// Asked only when something went wrong.
    pub(crate) env: &'a Arc<dyn Env>,
}

/// Gives a job back without using an attempt, because of a shutdown.
pub(crate) fn released() -> Outcome {
    Outcome::Release {
        run_at: None,
        note: Some(RELEASED.to_owned()),
    }
}

/// Gives back a job whose task has no handler here. The delay is the time it has waited already, so that it
/// doubles with each try, on whatever worker.
pub(crate) fn unknown(job: &Job, now: Timestamp) -> Outcome {
    let (first, longest) = UNKNOWN;
    let since = job
        .run_at
        .map_or(job.created_at, |at| at.max(job.created_at));
    let delay = now.since(since).clamp(first, longest);
    Outcome::Release {
        run_at: Some(now + delay),
        note: Some(format!("no worker for task \"{}\"", job.task)),
    }
}

impl Judge<'_> {
    /// The outcome; `None` when the run must not be settled: it is no longer ours, or it cannot be stopped.
    pub(crate) fn outcome(&self, run: &Run, ended: Ended) -> Option<Outcome> {
        let why = run.why();
        if why == Stop::Fenced || run.tenure.is_over() {
            return None;
        }
        let failure = match ended {
            // What is done is done, whoever asked meanwhile that it not be.
            Ended::Ran(Ok(result)) if result.len() <= self.max_result_bytes => {
                return Some(Outcome::Succeeded { result });
            }
            Ended::Ran(Ok(result)) => Failure::Large(result.len()),
            Ended::Ran(Err(failure)) => failure,
            Ended::Panicked(_) if why == Stop::Cancelled => return Some(Outcome::Cancelled),
            Ended::Panicked(text) => return Some(self.failed(run, ErrorCause::Panicked, text)),
            Ended::Stopped => return self.stopped(run, why),
        };
        Some(self.failure(run, why, failure))
    }

    fn stopped(&self, run: &Run, why: Stop) -> Option<Outcome> {
        match why {
            Stop::Cancelled => Some(Outcome::Cancelled),
            Stop::TimedOut => Some(self.timed_out(run)),
            // A thread that still works on it would work beside the next run of the same job.
            Stop::Shutdown | Stop::No if run.is_busy() => None,
            Stop::Shutdown | Stop::No => Some(released()),
            Stop::Fenced => None,
        }
    }

    fn failure(&self, run: &Run, why: Stop, failure: Failure) -> Outcome {
        match failure {
            Failure::Large(bytes) => self.too_large(run, bytes),
            Failure::Fatal(text) | Failure::Arguments(text) => {
                self.dead(run, DeadReason::Fatal, ErrorCause::Failed, text)
            }
            Failure::Task(_) if why == Stop::Cancelled => Outcome::Cancelled,
            Failure::Task(_) if why == Stop::TimedOut => self.timed_out(run),
            Failure::Task(error) => match error.wish {
                Wish::Fatal => self.dead(
                    run,
                    DeadReason::Fatal,
                    ErrorCause::Failed,
                    error.to_string(),
                ),
                Wish::Snooze(delay) => Outcome::Release {
                    run_at: Some(self.env.now() + delay),
                    note: Some("snoozed".to_owned()),
                },
                // It was told to stop and says that it could not finish: that is no failure.
                Wish::Retry | Wish::RetryAfter(_) if why == Stop::Shutdown => released(),
                Wish::Retry => self.failed(run, ErrorCause::Failed, error.to_string()),
                Wish::RetryAfter(delay) => {
                    self.again(run, delay, ErrorCause::Failed, error.to_string())
                }
            },
        }
    }

    fn timed_out(&self, run: &Run) -> Outcome {
        let timeout = self.policy.timeout(&run.claimed.job);
        let mut text = format!("timed out after {timeout:?}");
        if run.is_busy() {
            text.push_str("; the blocking handler does not look at its cancel token and goes on");
        }
        self.failed(run, ErrorCause::TimedOut, text)
    }

    fn too_large(&self, run: &Run, bytes: usize) -> Outcome {
        let text = format!(
            "the run succeeded, but its result of {bytes} bytes exceeds worker.max_result_bytes, which is {}; \
             store the data elsewhere and return where it is",
            self.max_result_bytes
        );
        self.dead(run, DeadReason::Fatal, ErrorCause::Failed, text)
    }

    /// A failed attempt: the next one by the backoff.
    fn failed(&self, run: &Run, cause: ErrorCause, text: String) -> Outcome {
        let delay = self.policy.delay(run.claimed.attempt, self.env.random());
        self.again(run, delay, cause, text)
    }

    /// A failed attempt: the next one after `delay`, if there is one.
    fn again(&self, run: &Run, delay: Duration, cause: ErrorCause, text: String) -> Outcome {
        if run.claimed.attempt >= self.policy.max_attempts(&run.claimed.job) {
            return self.dead(run, DeadReason::AttemptsUsedUp, cause, text);
        }
        Outcome::Retry {
            run_at: self.env.now() + delay,
            error: AttemptError::new(run.claimed.attempt, self.env.now(), cause, text),
        }
    }

    fn dead(&self, run: &Run, reason: DeadReason, cause: ErrorCause, text: String) -> Outcome {
        Outcome::Dead {
            reason,
            error: AttemptError::new(run.claimed.attempt, self.env.now(), cause, text),
        }
    }
}
