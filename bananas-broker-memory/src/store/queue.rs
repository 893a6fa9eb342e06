//! The jobs of one queue by state: who is next, who is due, how many there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use bananas_core::{JobId, JobState, Timestamp};
use tokio::sync::Notify;

use super::row::{Place, Row};
use crate::line::Line;

/// The jobs of one queue by state.
#[derive(Debug)]
pub(super) struct QueueJobs {
    pub(super) ready: Line<JobId>,
    /// Ready jobs with a crash behind them, of which few may run at a time.
    pub(super) suspects: Line<JobId>,
    /// Scheduled and retrying jobs by their time.
    pub(super) due: BTreeSet<(Timestamp, JobId)>,
    pub(super) counts: Counts,
    /// Rung when there may be something to take, or something is due earlier than before.
    pub(super) bell: Arc<Notify>,
}

/// How many jobs are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts([u64; JobState::ALL.len()]);

impl QueueJobs {
    pub(super) fn new() -> Self {
        Self {
            ready: Line::new(),
            suspects: Line::new(),
            due: BTreeSet::new(),
            counts: Counts::default(),
            bell: Arc::new(Notify::new()),
        }
    }

    /// Adds a row at its place and says whether the bell should ring.
    pub(super) fn put(&mut self, row: &Row, place: Place) -> bool {
        self.counts.add(place.state);
        let id = row.record.id;
        match place.state {
            JobState::Ready => {
                self.line(place).insert(row.rank(), id);
                true
            }
            JobState::Scheduled | JobState::Retrying => {
                self.due.insert((place.at, id));
                self.due.first() == Some(&(place.at, id))
            }
            JobState::Running
            | JobState::Succeeded
            | JobState::Dead
            | JobState::Cancelled
            | JobState::Expired => false,
        }
    }

    /// Takes a row away from its place.
    pub(super) fn take_out(&mut self, row: &Row, place: Place) {
        self.counts.subtract(place.state);
        match place.state {
            JobState::Ready => self.line(place).remove(row.rank()),
            JobState::Scheduled | JobState::Retrying => {
                self.due.remove(&(place.at, row.record.id));
            }
            JobState::Running
            | JobState::Succeeded
            | JobState::Dead
            | JobState::Cancelled
            | JobState::Expired => {}
        }
    }

    /// The job whose turn it is, and whether it is a suspect.
    pub(super) fn next(&self, suspects_too: bool) -> Option<(JobId, bool)> {
        let innocent = self.ready.first();
        let suspect = suspects_too.then(|| self.suspects.first()).flatten();
        match (innocent, suspect) {
            (Some((mine, _)), Some((theirs, id))) if theirs < mine => Some((id, true)),
            (Some((_, id)), _) => Some((id, false)),
            (None, Some((_, id))) => Some((id, true)),
            (None, None) => None,
        }
    }

    fn line(&mut self, place: Place) -> &mut Line<JobId> {
        if place.suspect {
            &mut self.suspects
        } else {
            &mut self.ready
        }
    }
}

impl Counts {
    pub(super) fn add(&mut self, state: JobState) {
        if let Some(count) = self.0.get_mut(state as usize) {
            *count += 1;
        }
    }

    fn subtract(&mut self, state: JobState) {
        if let Some(count) = self.0.get_mut(state as usize) {
            *count = count.saturating_sub(1);
        }
    }

    pub(crate) fn of(&self, state: JobState) -> u64 {
        self.0.get(state as usize).copied().unwrap_or(0)
    }
}
