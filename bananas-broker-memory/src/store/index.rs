//! [`JobIndex`] over the table.

use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Alteration, Altered, Check, CheckPlace, Checked, Cursor, JobFilter, JobId, JobIndex, JobPage,
    JobRecord, JobState, OwnerId, Prune, Result, StateCount, Timestamp,
};

use super::MemoryStore;
use super::table::Table;

/// How many rows a query looks at before it lets others have the lock.
const STRETCH: usize = 10_000;

/// How many rows a page of a check looks at.
const CHECKED: usize = 1_000;

/// After how many stretches a page ends, full or not.
const STRETCHES: usize = 10;

#[async_trait]
impl JobIndex for MemoryStore {
    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>> {
        Ok(self.with(|table| {
            let find = |id| table.rows.get(id).map(|row| row.record.clone());
            ids.iter().map(find).collect()
        })?)
    }

    async fn query(
        &self,
        filter: &JobFilter,
        after: Option<Cursor>,
        max: usize,
    ) -> Result<JobPage> {
        // One more than asked for, to know whether there is a next page.
        let wanted = max.max(1) + 1;
        let mut jobs = Vec::new();
        let mut next = after;
        for _ in 0..STRETCHES {
            next = self.with(|table| table.look(filter, next, wanted, &mut jobs))?;
            if next.is_none() || jobs.len() >= wanted {
                break;
            }
        }
        if jobs.len() >= wanted {
            jobs.truncate(max.max(1));
            next = jobs.last().map(|job| Cursor(job.id));
        }
        Ok(JobPage { jobs, next })
    }

    async fn counts(&self) -> Result<Vec<StateCount>> {
        Ok(self.with(|table| table.counts())?)
    }

    async fn watch(&self, wait: Duration) -> Result<()> {
        let changed = self.memory().changed.notified();
        let closing = self.connection.closing();
        self.connection.check_open()?;
        let until = self.clock().tick + wait;
        self.connection.wait(until, changed, closing).await;
        Ok(self.connection.check_open()?)
    }

    async fn alter(&self, ids: &[JobId], alteration: Alteration) -> Result<Vec<Altered>> {
        let now = self.clock().now;
        Ok(self.with(|table| {
            let alter = |id: &JobId| table.alter(*id, alteration, now);
            ids.iter().map(alter).collect()
        })?)
    }

    async fn prune(&self, prune: Prune) -> Result<u64> {
        Ok(self.with(|table| table.prune(&prune))?)
    }

    /// Nothing but this program writes here, so there is nothing to be found but a mistake of its own.
    async fn check(&self, check: Check) -> Result<Checked> {
        let after = match &check.after {
            None => None,
            Some(CheckPlace(place)) => Some(place.parse::<JobId>()?),
        };
        Ok(self.with(|table| table.look_through(after))?)
    }
}

impl Table {
    /// Adds matching records, the newest first, until there are `wanted` or a stretch was looked at. Answers
    /// where to go on, `None` at the end.
    fn look(
        &self,
        filter: &JobFilter,
        after: Option<Cursor>,
        wanted: usize,
        found: &mut Vec<JobRecord>,
    ) -> Option<Cursor> {
        let older = match after {
            Some(Cursor(id)) => self.rows.range(..id),
            None => self.rows.range::<JobId, _>(..),
        };
        for (looked_at, (id, row)) in (1..).zip(older.rev()) {
            if filter.matches(&row.record) {
                found.push(row.record.clone());
            }
            if found.len() >= wanted || looked_at >= STRETCH {
                return Some(Cursor(*id));
            }
        }
        None
    }

    /// A page of records behind this one.
    fn look_through(&self, after: Option<JobId>) -> Checked {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = self.rows.range((begin, Bound::Unbounded)).take(CHECKED);
        let (mut records, mut last) = (0, None);
        for (id, _) in page {
            records += 1;
            last = Some(id);
        }
        let is_full = records >= CHECKED as u64;
        Checked {
            records,
            findings: Vec::new(),
            next: last
                .filter(|_| is_full)
                .map(|id| CheckPlace(id.to_string())),
        }
    }

    fn counts(&self) -> Vec<StateCount> {
        let queues = self.index.queues.iter();
        queues
            .flat_map(|(queue, jobs)| {
                JobState::ALL.into_iter().map(|state| StateCount {
                    queue: queue.clone(),
                    state,
                    jobs: jobs.counts.of(state),
                })
            })
            .filter(|count| count.jobs > 0)
            .collect()
    }

    /// The running jobs of an owner that somebody asked to cancel.
    pub(super) fn cancels(&self, of: Option<OwnerId>) -> Vec<JobId> {
        let asked = |id: &JobId| {
            self.rows
                .get(id)
                .is_some_and(|row| row.record.standing.cancel_requested)
        };
        let running = of.into_iter().flat_map(|of| self.index.owners.running(of));
        running.filter(asked).collect()
    }

    fn alter(&mut self, id: JobId, alteration: Alteration, now: Timestamp) -> Altered {
        let altered = self.change(id, |row| row.record.standing.alter(&alteration, now));
        if altered == Some(Altered::Dropped) {
            self.remove(id);
        }
        altered.unwrap_or(Altered::Missing)
    }

    fn prune(&mut self, prune: &Prune) -> u64 {
        let ended = self.index.ended.iter();
        let dead = self.index.dead.iter();
        let ids: Vec<JobId> = ended
            .take_while(|(at, _)| *at < prune.finished_before)
            .chain(dead.take_while(|(at, _)| *at < prune.dead_before))
            .map(|(_, id)| *id)
            .take(prune.max)
            .collect();
        for id in &ids {
            self.remove(*id);
        }
        ids.len() as u64
    }
}
