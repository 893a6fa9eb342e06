//! The open publication batches, each with the jobs that were stamped with it.
//!
//! A closed batch is forgotten: a stamp that is not found here is a closed one.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use bananas_core::{BatchId, JobId, Publication, Timestamp};

/// The open batches, by id.
#[derive(Debug, Default)]
pub(super) struct Batches(BTreeMap<BatchId, Open>);

#[derive(Debug)]
struct Open {
    publication: Publication,
    since: Timestamp,
    /// Jobs stamped with it. Some have been claimed, or stamped anew, since.
    jobs: VecDeque<JobId>,
}

impl Batches {
    /// Opens a batch, or finds it open.
    pub(super) fn open(&mut self, publication: &Publication, now: Timestamp) {
        self.0.entry(publication.id).or_insert_with(|| Open {
            publication: publication.clone(),
            since: now,
            jobs: VecDeque::new(),
        });
    }

    pub(super) fn stamp(&mut self, batch: BatchId, job: JobId) {
        if let Some(open) = self.0.get_mut(&batch) {
            open.jobs.push_back(job);
        }
    }

    pub(super) fn close(&mut self, batch: BatchId) {
        self.0.remove(&batch);
    }

    pub(super) fn is_open(&self, batch: BatchId) -> bool {
        self.0.contains_key(&batch)
    }

    /// The batches that were open for `open_for`, or are in `gone`: the oldest first.
    pub(super) fn overdue(
        &self,
        gone: &HashSet<BatchId>,
        open_for: Duration,
        now: Timestamp,
    ) -> Vec<BatchId> {
        self.0
            .iter()
            .filter(|(id, open)| gone.contains(id) || open.since + open_for <= now)
            .map(|(id, _)| *id)
            .collect()
    }

    /// The next job stamped with a batch. When there is none left the batch has nothing more to say, and goes.
    pub(super) fn next_job(&mut self, batch: BatchId) -> Option<JobId> {
        let job = self.0.get_mut(&batch)?.jobs.pop_front();
        if job.is_none() {
            self.0.remove(&batch);
        }
        job
    }

    pub(super) fn publications(&self) -> Vec<Publication> {
        self.0
            .values()
            .map(|open| open.publication.clone())
            .collect()
    }
}
