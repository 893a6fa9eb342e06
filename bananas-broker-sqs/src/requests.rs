//! How many requests were made: what the service costs is a number of requests.

use std::sync::atomic::{AtomicU64, Ordering};

use bananas_core::Counter;

/// So many bytes of a request are billed as one.
const BILLED_BYTES: u64 = 64 * 1024;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Send,
    Receive,
    Delete,
    ChangeVisibility,
    Other,
}

/// How many requests a client made, whatever became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// Messages sent, up to ten at a time.
    pub send: u64,
    /// Messages received, up to ten at a time; also those that waited in vain.
    pub receive: u64,
    /// Messages deleted, up to ten at a time.
    pub delete: u64,
    /// Leases extended and messages given back, up to ten at a time.
    pub change_visibility: u64,
    /// All else: looking for queues, making them, counting.
    pub other: u64,
    /// What Amazon bills: each request as one for each 64 KiB that it or its answer carries.
    pub billed: u64,
}

impl Requests {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.send + self.receive + self.delete + self.change_visibility + self.other
    }

    /// For monitoring.
    pub(crate) fn counters(&self) -> Vec<Counter> {
        let request = |kind, value| Counter {
            name: "sqs_requests",
            kind,
            value,
        };
        vec![
            request("send", self.send),
            request("receive", self.receive),
            request("delete", self.delete),
            request("change_visibility", self.change_visibility),
            request("other", self.other),
            Counter {
                name: "sqs_billed_requests",
                kind: "all",
                value: self.billed,
            },
        ]
    }
}

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    send: AtomicU64,
    receive: AtomicU64,
    delete: AtomicU64,
    change_visibility: AtomicU64,
    other: AtomicU64,
    billed: AtomicU64,
}

impl Meter {
    /// A request is made that carries so many bytes.
    pub(crate) fn count(&self, operation: Operation, bytes: usize) {
        let counter = match operation {
            Operation::Send => &self.send,
            Operation::Receive => &self.receive,
            Operation::Delete => &self.delete,
            Operation::ChangeVisibility => &self.change_visibility,
            Operation::Other => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let chunks = bytes.div_ceil(BILLED_BYTES).max(1);
        self.billed.fetch_add(chunks, Ordering::Relaxed);
    }

    /// The answer to a request that was counted carries so many bytes.
    pub(crate) fn answered(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let more = bytes.div_ceil(BILLED_BYTES).saturating_sub(1);
        self.billed.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Requests {
        Requests {
            send: self.send.load(Ordering::Relaxed),
            receive: self.receive.load(Ordering::Relaxed),
            delete: self.delete.load(Ordering::Relaxed),
            change_visibility: self.change_visibility.load(Ordering::Relaxed),
            other: self.other.load(Ordering::Relaxed),
            billed: self.billed.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_requests_and_answers_are_billed_as_several() {
        let meter = Meter::default();
        meter.count(Operation::Send, 64 * 1024 + 1);
        meter.count(Operation::Receive, 0);
        meter.answered(3 * 64 * 1024);
        meter.count(Operation::Delete, 100);
        let read = meter.read();
        assert_eq!((read.send, read.receive, read.delete), (1, 1, 1));
        assert_eq!((read.total(), read.billed), (3, 6));
    }
}
