//! The keys of a namespace. All those of one queue share a hash tag, so that a cluster keeps them together.

use bananas_core::QueueName;

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
}

impl Part {
    const ALL: [Self; 12] = [
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

    pub(crate) fn all(&self) -> Vec<String> {
        Part::ALL.map(|part| self.key(part)).to_vec()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_queue_have_one_hash_tag_and_differ() {
        let keys = Keys::of("shop", &"mail".parse().unwrap());
        let all = keys.all();
        assert!(all.iter().all(|key| key.starts_with("{shop:mail}:")));
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(keys.interrupt(1).starts_with("{shop:mail}:"));
    }
}
