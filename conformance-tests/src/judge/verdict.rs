//! What the judge says: numbers, and for each violation the shortest history that shows it.

use std::collections::BTreeMap;
use std::fmt;

use super::event::{Event, Job};

/// How many findings of one kind are told in full; the numbers count all.
const TOLD: usize = 20;

/// What went wrong. Each of them fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// Accepted, and in the end neither finished nor anywhere.
    Lost,
    /// Ran, was settled or was found, though nobody had enqueued it or the enqueue was refused.
    Unexpected,
    /// Ran again after a settlement that ended it.
    RunAfterEnd,
    /// Ran while an earlier run still held its lease.
    Overlapping,
    /// Ran again without a recorded cause.
    Duplicated,
    /// Ended twice: two settlements that count, where only one can.
    SettledTwice,
    /// The settlement of a run counted although another run had taken over.
    StaleAccepted,
    /// Its runs are counted backwards, or a failed attempt was not counted.
    AttemptNotIncreasing,
    /// A later run has no higher fencing number.
    EpochNotIncreasing,
    /// Ran with another body than the one it was given.
    ValueMismatch,
    /// Started out of order.
    Reordered,
    /// Found at the end where it cannot be, or in two places.
    Misplaced,
}

/// Why a job ran again without having been given back. Each of them is innocent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The lease of the earlier run had lapsed.
    LeaseLapsed,
    /// The process of the earlier run was killed.
    Killed,
    /// Nobody knows whether the earlier settlement was applied.
    UnknownSettlement,
    /// There was a fault in between.
    Fault,
    /// It had been published again after an unknown outcome, or on purpose.
    PublishedAgain,
}

/// How many jobs, runs and settlements there were of what kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs that somebody asked for.
    pub enqueued: u64,
    /// Jobs that were accepted.
    pub accepted: u64,
    /// Jobs that were refused, and never accepted.
    pub refused: u64,
    /// Runs that began.
    pub runs: u64,
    /// Accepted jobs that came to an end.
    pub ok: u64,
    /// Accepted jobs that remain, at a place that is known.
    pub remaining: u64,
    /// Accepted jobs of which nothing is known yet, where the history was cut.
    pub late: u64,
    /// Jobs that a fault beyond the promised durability took.
    pub forgiven: u64,
    /// Jobs with an unknown enqueue that turned out to have been accepted.
    pub recovered: u64,
    /// Runs that did a job's work again: beside the run that was done first, all of the job that began after
    /// that or were done too.
    pub duplicates: u64,
    /// Those of them that took a job over without a cause; each is a violation, too.
    pub unexplained_duplicates: u64,
    /// Runs that followed a retry or a release.
    pub reruns: u64,
    /// Runs that have a cause, by cause.
    pub explained: BTreeMap<Cause, u64>,
    /// Violations, by kind.
    pub violations: BTreeMap<Violation, u64>,
}

/// One violation, and the events that show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What went wrong.
    pub violation: Violation,
    /// With which job.
    pub job: Job,
    /// In words.
    pub text: String,
    /// What happened to the job, and to the other if there are two.
    pub events: Vec<Event>,
}

/// What the judge says of a history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The numbers.
    pub counts: Counts,
    /// The violations, by kind and then by time; at most twenty of each kind.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.counts.violations.is_empty()
    }

    /// How many violations of this kind there are.
    #[must_use]
    pub fn violations(&self, violation: Violation) -> u64 {
        self.counts.violations.get(&violation).copied().unwrap_or(0)
    }

    /// How many runs are explained by this cause.
    #[must_use]
    pub fn explained(&self, cause: Cause) -> u64 {
        self.counts.explained.get(&cause).copied().unwrap_or(0)
    }

    /// Fails a test with the findings as its text.
    ///
    /// # Panics
    ///
    /// When something went wrong.
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }

    /// Counts a run that has a cause.
    pub(super) fn explain(&mut self, cause: Cause) {
        *self.counts.explained.entry(cause).or_default() += 1;
    }

    /// Counts a violation; its story is made only if it will be told.
    pub(super) fn find(&mut self, violation: Violation, story: impl FnOnce() -> Story) {
        let count = self.counts.violations.entry(violation).or_default();
        *count += 1;
        if *count <= TOLD as u64 {
            let Story { job, text, events } = story();
            self.findings.push(Finding {
                violation,
                job,
                text,
                events,
            });
        }
    }

    /// Puts the findings in their order.
    pub(super) fn sort(&mut self) {
        let when = |finding: &Finding| finding.events.first().map(|event| event.at);
        self.findings
            .sort_by_key(|finding| (finding.violation, when(finding), finding.job));
    }
}

/// What there is to tell of a violation.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) job: Job,
    pub(super) text: String,
    pub(super) events: Vec<Event>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lost => "lost",
            Self::Unexpected => "unexpected",
            Self::RunAfterEnd => "run after its end",
            Self::Overlapping => "overlapping",
            Self::Duplicated => "duplicated",
            Self::SettledTwice => "settled twice",
            Self::StaleAccepted => "stale settlement accepted",
            Self::AttemptNotIncreasing => "attempt not increasing",
            Self::EpochNotIncreasing => "epoch not increasing",
            Self::ValueMismatch => "value mismatch",
            Self::Reordered => "reordered",
            Self::Misplaced => "misplaced",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LeaseLapsed => "lease lapsed",
            Self::Killed => "process killed",
            Self::UnknownSettlement => "unknown settlement",
            Self::Fault => "fault",
            Self::PublishedAgain => "published again",
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "jobs: enqueued {}, accepted {}, refused {}, recovered {}",
            self.enqueued, self.accepted, self.refused, self.recovered
        )?;
        writeln!(
            f,
            "ends: ok {}, remaining {}, late {}, forgiven {}",
            self.ok, self.remaining, self.late, self.forgiven
        )?;
        write!(f, "runs: {}, given back {}", self.runs, self.reruns)?;
        if self.duplicates > 0 {
            write!(f, ", duplicates {}", self.duplicates)?;
        }
        for (cause, count) in &self.explained {
            write!(f, ", {cause} {count}")?;
        }
        write!(f, "\nviolations: {}", self.violations.values().sum::<u64>())?;
        for (violation, count) in &self.violations {
            write!(f, ", {violation} {count}")?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: job {} {}", self.violation, self.job, self.text)?;
        for event in &self.events {
            writeln!(f, "  {event}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.counts)?;
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        for (violation, count) in &self.counts.violations {
            if let Some(untold) = count.checked_sub(TOLD as u64).filter(|untold| *untold > 0) {
                writeln!(f, "\n{violation}: {untold} more")?;
            }
        }
        Ok(())
    }
}
