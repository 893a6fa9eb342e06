//! What this process knows of the store, so that it need not ask: nothing here is the truth, and all of it may be
//! forgotten at any time.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bananas_core::{BatchId, JobId, OwnerId, QueueName};
use bytes::Bytes;

/// The most runs that are remembered; whoever holds more asks the server.
const MOST_RUNS: usize = 100_000;

/// What this process knows of the store.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Facts>);

#[derive(Debug, Default)]
struct Facts {
    /// Queues whose names are in the set of all.
    queues: HashSet<QueueName>,
    /// Owners that may take jobs, each with the queues where they have been enlisted.
    owners: HashMap<OwnerId, Leased>,
    /// The queues in which a batch is open.
    batches: HashMap<BatchId, Vec<QueueName>>,
    /// The standings of jobs that were started here.
    runs: HashMap<JobId, Bytes>,
}

#[derive(Debug, Default)]
struct Leased {
    /// When its lease ends, by the server's clock.
    ends: i64,
    queues: HashSet<QueueName>,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_queue(&self, queue: &QueueName) -> bool {
        self.lock().queues.contains(queue)
    }

    pub(super) fn add_queue(&self, queue: &QueueName) {
        self.lock().queues.insert(queue.clone());
    }

    /// When the owner's lease ends, if it is known, and whether it is enlisted in the queue.
    pub(super) fn lease(&self, owner: OwnerId, queue: &QueueName) -> (Option<i64>, bool) {
        let facts = self.lock();
        let leased = facts.owners.get(&owner);
        (
            leased.map(|it| it.ends),
            leased.is_some_and(|it| it.queues.contains(queue)),
        )
    }

    pub(super) fn renewed(&self, owner: OwnerId, ends: i64) {
        self.lock().owners.entry(owner).or_default().ends = ends;
    }

    pub(super) fn enlisted(&self, owner: OwnerId, queue: &QueueName) {
        let mut facts = self.lock();
        if let Some(leased) = facts.owners.get_mut(&owner) {
            leased.queues.insert(queue.clone());
        }
    }

    pub(super) fn forget_owner(&self, owner: OwnerId) {
        self.lock().owners.remove(&owner);
    }

    pub(super) fn opened(&self, batch: BatchId, queue: &QueueName) {
        let mut facts = self.lock();
        let queues = facts.batches.entry(batch).or_default();
        if !queues.contains(queue) {
            queues.push(queue.clone());
        }
    }

    /// The queues in which the batch was opened here.
    pub(super) fn queues_of(&self, batch: BatchId) -> Option<Vec<QueueName>> {
        self.lock().batches.get(&batch).cloned()
    }

    pub(super) fn closed(&self, batch: BatchId) {
        self.lock().batches.remove(&batch);
    }

    pub(super) fn started(&self, runs: impl IntoIterator<Item = (JobId, Bytes)>) {
        let mut facts = self.lock();
        if facts.runs.len() > MOST_RUNS {
            facts.runs.clear();
        }
        facts.runs.extend(runs);
    }

    /// The standings of these jobs as they were started here; each is told once.
    pub(super) fn settling(&self, ids: &[JobId]) -> Vec<Option<Bytes>> {
        let mut facts = self.lock();
        ids.iter().map(|id| facts.runs.remove(id)).collect()
    }
}
