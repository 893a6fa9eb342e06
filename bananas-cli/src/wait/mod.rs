//! Waiting until jobs have ended: of these ids, or all of a queue. `bananas wait` and `enqueue --wait` use it.

mod ids;
mod progress;
mod queue;

use std::process::ExitCode;
use std::time::Duration;

use bananas::{App, JobState, Tick};
use serde::Serialize;

pub(crate) use self::ids::{Missing, wait_for_ids};
pub(crate) use self::queue::wait_for_queue;

use crate::exit::{ENDED_BADLY, TIME_RAN_OUT};
use crate::output::Output;
use crate::render::text::count;
use crate::render::time::humane;

/// How long a wait for a change lasts before it looks again all the same.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// While jobs end all the time, looks are at least so far apart.
const PAUSE: Duration = Duration::from_millis(100);

/// How a wait ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    pub(crate) succeeded: u64,
    pub(crate) dead: u64,
    pub(crate) cancelled: u64,
    pub(crate) expired: u64,
    /// Ended, and nothing is kept of how.
    pub(crate) forgotten: u64,
    /// Not ended in time.
    pub(crate) left: u64,
    pub(crate) elapsed_ms: u64,
}

impl Summary {
    /// Counts a job that has ended.
    fn add(&mut self, state: JobState, jobs: u64) {
        match state {
            JobState::Succeeded => self.succeeded += jobs,
            JobState::Dead => self.dead += jobs,
            JobState::Cancelled => self.cancelled += jobs,
            JobState::Expired => self.expired += jobs,
            JobState::Scheduled | JobState::Ready | JobState::Running | JobState::Retrying => {}
        }
    }

    /// How many have ended.
    fn ended(&self) -> u64 {
        self.succeeded + self.dead + self.cancelled + self.expired + self.forgotten
    }

    /// What it means for whoever waited.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.left > 0 {
            ExitCode::from(TIME_RAN_OUT)
        } else if self.dead + self.cancelled + self.expired > 0 {
            ExitCode::from(ENDED_BADLY)
        } else {
            ExitCode::SUCCESS
        }
    }

    /// "3 jobs ended in 4.2 s: 2 succeeded, 1 dead"
    pub(crate) fn text(&self) -> String {
        let parts: Vec<String> = [
            (self.succeeded, "succeeded"),
            (self.dead, "dead"),
            (self.cancelled, "cancelled"),
            (self.expired, "expired"),
            (self.forgotten, "ended without a trace"),
            (self.left, "not ended in time"),
        ]
        .into_iter()
        .filter(|(jobs, _)| *jobs > 0)
        .map(|(jobs, what)| format!("{jobs} {what}"))
        .collect();
        let time = humane(Duration::from_millis(self.elapsed_ms));
        let jobs = count(self.ended(), "job");
        if parts.is_empty() {
            return "nothing to wait for".to_owned();
        }
        format!("{jobs} ended in {time}: {}", parts.join(", "))
    }
}

/// When to give up, and how to wait until then.
#[derive(Debug)]
struct Watch<'a> {
    app: &'a App,
    start: Tick,
    deadline: Option<Tick>,
}

impl<'a> Watch<'a> {
    fn new(app: &'a App, timeout: Option<Duration>) -> Self {
        let start = app.env().monotonic();
        Self {
            app,
            start,
            deadline: timeout.map(|timeout| start + timeout),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        self.app
            .env()
            .monotonic()
            .since(self.start)
            .as_micros()
            .try_into()
            .unwrap_or(u64::MAX)
            / 1_000
    }

    /// Waits until it is worth looking again; false when the time has run out. `look` is how long the last
    /// look took: a wait over very many jobs must not keep the store busy.
    async fn changed(&self, look: Duration) -> anyhow::Result<bool> {
        let env = self.app.env();
        let left = match self.deadline {
            Some(deadline) => deadline.since(env.monotonic()),
            None => Duration::MAX,
        };
        if left.is_zero() {
            return Ok(false);
        }
        crate::settings::index(self.app)?
            .watch(left.min(LOOK_AGAIN))
            .await?;
        env.sleep(PAUSE.max(look * 2).min(left)).await;
        Ok(true)
    }
}

/// Says how it went: as JSON, or as a line.
pub(crate) fn print(summary: &Summary, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        output.json(summary)
    } else {
        output.line(summary.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_has_not_ended_weighs_more_than_a_dead_one() {
        let mut summary = Summary::default();
        assert_eq!(summary.exit_code(), ExitCode::SUCCESS);
        summary.add(JobState::Dead, 1);
        assert_eq!(summary.exit_code(), ExitCode::from(ENDED_BADLY));
        summary.left = 1;
        assert_eq!(summary.exit_code(), ExitCode::from(TIME_RAN_OUT));
    }

    #[test]
    fn a_summary_names_what_there_was() {
        let summary = Summary {
            succeeded: 2,
            dead: 1,
            elapsed_ms: 4_200,
            ..Summary::default()
        };
        assert_eq!(summary.text(), "3 jobs ended in 4.2 s: 2 succeeded, 1 dead");
    }
}
