//! The table: every job once, with indexes that agree with it.
//!
//! Rows change in [`Table::change`] only, which moves them in the indexes too; so a job is always in exactly
//! one place, and the counts are exact.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bananas_core::{JobId, JobRecord, JobState, Publication, QueueName, Timestamp};
use tokio::sync::Notify;

use super::batches::Batches;
use super::owners::Owners;
use super::queue::{Counts, QueueJobs};
use super::row::{Place, Row};
use super::uniques::Uniques;

/// All jobs and what belongs to them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Ordered, because ids sort by time: neighbours in time are neighbours in memory, and pages are ranges.
    pub(super) rows: BTreeMap<JobId, Box<Row>>,
    pub(super) index: Index,
    pub(super) batches: Batches,
    pub(super) uniques: Uniques,
    /// Jobs that ended and of which nothing is kept.
    forgotten: Counts,
}

/// Where the rows are, by everything but their id.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) queues: BTreeMap<QueueName, QueueJobs>,
    /// Scheduled and retrying jobs of all queues by their time.
    pub(super) due: BTreeSet<(Timestamp, JobId)>,
    /// Succeeded, cancelled and expired jobs by their end.
    pub(super) ended: BTreeSet<(Timestamp, JobId)>,
    /// Dead jobs by their end.
    pub(super) dead: BTreeSet<(Timestamp, JobId)>,
    pub(super) owners: Owners,
    tickets: u64,
    changed: bool,
    bells: Vec<Arc<Notify>>,
}

impl Table {
    /// Adds a job whose id is new.
    pub(super) fn insert(&mut self, record: JobRecord) {
        let mut row = Box::new(Row {
            record,
            ticket: None,
            batch: None,
        });
        if row.record.is_forgotten() {
            self.forgotten.add(row.record.standing.state);
            self.index.changed = true;
            return;
        }
        self.index.put(&mut row);
        self.rows.insert(row.record.id, row);
    }

    /// Changes a row and whatever of the indexes depends on it. All changes go through here.
    pub(super) fn change<T>(&mut self, id: JobId, change: impl FnOnce(&mut Row) -> T) -> Option<T> {
        let row = self.rows.get_mut(&id)?;
        let before = row.place();
        let answer = change(row);
        if row.place() != before {
            self.index.take_out(row, before);
            if row.record.is_forgotten() {
                self.forgotten.add(row.record.standing.state);
                self.rows.remove(&id);
            } else {
                self.index.put(row);
            }
        }
        self.index.changed = true;
        Some(answer)
    }

    /// Forgets a job altogether.
    pub(super) fn remove(&mut self, id: JobId) {
        if let Some(row) = self.rows.remove(&id) {
            self.index.take_out(&row, row.place());
            self.index.changed = true;
        }
    }

    /// Stamps a ready job with an open batch.
    pub(super) fn stamp(&mut self, id: JobId, publication: &Publication, now: Timestamp) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.batch = Some(publication.id);
            self.batches.open(publication, now);
            self.batches.stamp(publication.id, id);
        }
    }

    /// Sends a ready job to the end of the line.
    pub(super) fn requeue(&mut self, id: JobId) {
        if let Some(row) = self.rows.get_mut(&id) {
            self.index.take_out(row, row.place());
            row.ticket = None;
            self.index.put(row);
        }
    }

    /// Whether something changed, and whom to wake, since the last time it was asked.
    pub(super) fn rung(&mut self) -> (bool, Vec<Arc<Notify>>) {
        let index = &mut self.index;
        (
            std::mem::take(&mut index.changed),
            std::mem::take(&mut index.bells),
        )
    }

    /// How many jobs are in a state; those that ended and were forgotten count too.
    pub(crate) fn count(&self, state: JobState) -> u64 {
        let kept: u64 = self.index.queues.values().map(|q| q.counts.of(state)).sum();
        kept + self.forgotten.of(state)
    }

    /// A few jobs that have not ended, the oldest first.
    pub(crate) fn open(&self, max: usize) -> Vec<&JobRecord> {
        self.rows
            .values()
            .map(|row| &row.record)
            .filter(|record| !record.standing.state.is_terminal())
            .take(max)
            .collect()
    }
}

impl Index {
    /// The jobs of a queue; a queue appears with its first job.
    pub(super) fn queue(&mut self, name: &QueueName) -> &mut QueueJobs {
        self.queues
            .entry(name.clone())
            .or_insert_with(QueueJobs::new)
    }

    fn put(&mut self, row: &mut Row) {
        let place = row.place();
        let id = row.record.id;
        match place.state {
            JobState::Ready => self.draw_ticket(row),
            JobState::Scheduled | JobState::Retrying => {
                row.ticket = None;
                self.due.insert((place.at, id));
            }
            JobState::Running => {
                // A due job may be claimed before it was ever ready.
                self.draw_ticket(row);
                if let Some(owner) = place.owner {
                    self.owners.starts(owner, id);
                }
            }
            JobState::Dead => {
                self.dead.insert((place.at, id));
            }
            JobState::Succeeded | JobState::Cancelled | JobState::Expired => {
                self.ended.insert((place.at, id));
            }
        }
        self.changed = true;
        let queue = self.queue(&row.record.queue);
        if queue.put(row, place) {
            let bell = Arc::clone(&queue.bell);
            if self
                .bells
                .last()
                .is_none_or(|last| !Arc::ptr_eq(last, &bell))
            {
                self.bells.push(bell);
            }
        }
    }

    /// Its turn counts from now, unless it has one.
    fn draw_ticket(&mut self, row: &mut Row) {
        self.tickets += 1;
        row.ticket.get_or_insert(self.tickets);
    }

    fn take_out(&mut self, row: &Row, place: Place) {
        let id = row.record.id;
        match place.state {
            JobState::Ready => {}
            JobState::Scheduled | JobState::Retrying => {
                self.due.remove(&(place.at, id));
            }
            JobState::Running => {
                if let Some(owner) = place.owner {
                    self.owners.ends(owner, id);
                }
            }
            JobState::Dead => {
                self.dead.remove(&(place.at, id));
            }
            JobState::Succeeded | JobState::Cancelled | JobState::Expired => {
                self.ended.remove(&(place.at, id));
            }
        }
        self.queue(&row.record.queue).take_out(row, place);
    }
}
