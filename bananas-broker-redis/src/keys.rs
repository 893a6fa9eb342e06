//! The keys of a namespace. All those of one queue share a hash tag, so that a cluster keeps them together.

use bananas_core::{BlobId, QueueName};

/// The keys of one queue.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

/// One key of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A hash: the incarnation and the shortest lease. Without it the queue does not exist.
    Queue,
    /// A counter: the number of the latest entry.
    Numbers,
    /// A hash: entry to message, but for those that wait in the default lane.
    Messages,
    /// A list: ready messages of the default priority.
    Normal,
    /// A sorted set: ready, more urgent than the default.
    High,
    /// A sorted set: ready, less urgent than the default.
    Low,
    /// A sorted set: entries by when they are due, in microseconds.
    Delayed,
    /// A sorted set: entries with the token of their delivery, by the end of the lease.
    Leased,
    /// A hash: how often an entry was delivered before, if it was.
    Counts,
    /// A sorted set: dead entries, in the order in which they died.
    Dead,
    /// A hash: why an entry is dead.
    Reasons,
    /// A sorted set with one member when somebody who waits should look.
    Wake,
    /// A hash of the store: job to standing, of a fixed width.
    Standings,
    /// A hash of the store: job to what never changes of it.
    Bodies,
    /// A hash of the store: job to its errors and its note, if it has any.
    Stories,
    /// A hash of the store: job to its result, if it has one.
    Results,
    /// A sorted set of the store: all jobs, in the order of their ids.
    Ids,
    /// A sorted set of the store: ready jobs, the next in line first.
    Ready,
    /// The same of ready jobs with a crash behind them.
    Suspects,
    /// A sorted set of the store: scheduled and retrying jobs by when they are due.
    Due,
    /// A hash of the store: running job to its owner, and the token of the call that started it.
    Running,
    /// A sorted set of the store: succeeded, cancelled and expired jobs by their end.
    Ended,
    /// The same of dead jobs.
    DeadJobs,
    /// A set of the store: running jobs that somebody asked to cancel.
    Cancels,
    /// A sorted set of the store: ready jobs behind the batch they were stamped with, in the order of both.
    Stamps,
    /// A hash of the store: open batch to when it was opened and by whom.
    Batches,
    /// A hash of the store: owner to `1` while it may take jobs here, or `x` since it was declared dead.
    Owners,
    /// A hash of the store: state to how many jobs are in it.
    StateCounts,
    /// A counter of the store: the number of the latest job.
    JobNumbers,
    /// A hash of the store: unique key to the job that holds it, and until when.
    Uniques,
    /// A sorted set of the store: unique keys by their end.
    UniqueEnds,
}

/// What the scripts of the store take, in the order in which they name it.
pub(crate) const STORE: [Part; 20] = [
    Part::Standings,
    Part::Bodies,
    Part::Stories,
    Part::Results,
    Part::Ids,
    Part::Ready,
    Part::Suspects,
    Part::Due,
    Part::Running,
    Part::Ended,
    Part::DeadJobs,
    Part::Cancels,
    Part::Stamps,
    Part::Batches,
    Part::Owners,
    Part::StateCounts,
    Part::JobNumbers,
    Part::Uniques,
    Part::UniqueEnds,
    Part::Wake,
];

impl Part {
    /// Those of the broker.
    const BROKER: [Self; 12] = [
        Self::Queue,
        Self::Numbers,
        Self::Messages,
        Self::Normal,
        Self::High,
        Self::Low,
        Self::Delayed,
        Self::Leased,
        Self::Counts,
        Self::Dead,
        Self::Reasons,
        Self::Wake,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Numbers => "numbers",
            Self::Messages => "messages",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Low => "low",
            Self::Delayed => "delayed",
            Self::Leased => "leased",
            Self::Counts => "counts",
            Self::Dead => "dead",
            Self::Reasons => "reasons",
            Self::Wake => "wake",
            Self::Standings => "jobs",
            Self::Bodies => "job-bodies",
            Self::Stories => "job-stories",
            Self::Results => "job-results",
            Self::Ids => "job-ids",
            Self::Ready => "jobs-ready",
            Self::Suspects => "jobs-suspect",
            Self::Due => "jobs-due",
            Self::Running => "jobs-running",
            Self::Ended => "jobs-ended",
            Self::DeadJobs => "jobs-dead",
            Self::Cancels => "jobs-to-cancel",
            Self::Stamps => "job-batches",
            Self::Batches => "open-batches",
            Self::Owners => "owners",
            Self::StateCounts => "job-counts",
            Self::JobNumbers => "job-numbers",
            Self::Uniques => "unique-keys",
            Self::UniqueEnds => "unique-key-ends",
        }
    }
}

impl Keys {
    pub(crate) fn of(namespace: &str, queue: &QueueName) -> Self {
        Self {
            prefix: format!("{{{namespace}:{queue}}}:"),
        }
    }

    pub(crate) fn key(&self, part: Part) -> String {
        format!("{}{}", self.prefix, part.name())
    }

    /// Those of the broker.
    pub(crate) fn all(&self) -> Vec<String> {
        Part::BROKER.map(|part| self.key(part)).to_vec()
    }

    /// Those of the store.
    pub(crate) fn all_of_store(&self) -> Vec<String> {
        STORE.map(|part| self.key(part)).to_vec()
    }

    /// The key by which one engine interrupts its own wait.
    pub(crate) fn interrupt(&self, engine: u64) -> String {
        format!("{}interrupt:{engine:016x}", self.prefix)
    }
}

/// The set of the names of all queues of a namespace.
pub(crate) fn names(namespace: &str) -> String {
    format!("{{{namespace}}}:queues")
}

/// The set of the names of all queues that have or had jobs in the store.
pub(crate) fn job_queues(namespace: &str) -> String {
    format!("{{{namespace}}}:job-queues")
}

/// The hash of all owners of a namespace, as `renew.lua` describes it.
pub(crate) fn owners(namespace: &str) -> String {
    format!("{{{namespace}}}:owners")
}

/// The names of all large bodies, in the order of their age.
pub(crate) fn blobs(namespace: &str) -> String {
    format!("{{{namespace}}}:blobs")
}

/// One large body.
pub(crate) fn blob(namespace: &str, id: BlobId) -> String {
    format!("{{{namespace}:blob {id}}}:body")
}

/// The channel on which changes of the store are told.
pub(crate) fn changes(namespace: &str) -> String {
    format!("{{{namespace}}}:changes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_queue_have_one_hash_tag_and_differ() {
        let keys = Keys::of("shop", &"mail".parse().unwrap());
        let mut all = keys.all();
        let store = STORE.iter().filter(|part| **part != Part::Wake);
        all.extend(store.map(|part| keys.key(*part)));
        assert!(all.iter().all(|key| key.starts_with("{shop:mail}:")));
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(keys.interrupt(1).starts_with("{shop:mail}:"));
    }
}
