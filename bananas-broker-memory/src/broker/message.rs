//! One message in the broker, and where it is.

use bananas_core::{QueueName, RawMessage, Tick, Timestamp};

use crate::line::Rank;

/// One message in the broker.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) queue: QueueName,
    pub(super) raw: RawMessage,
    /// How often it was delivered.
    pub(super) deliveries: u32,
    /// Its turn; kept while it is leased, so that a message given back has its old place.
    pub(super) rank: Rank,
    pub(super) spot: Spot,
}

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Ready,
    /// Waits for a wall-clock time that its publisher named.
    Until(Timestamp),
    /// Waits for a delay to pass, which no clock that is set can change.
    For(Tick),
    Leased(Holding),
    Dead {
        place: u64,
        reason: String,
    },
}

/// A delivery under its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) delivery: u64,
    pub(super) consumer: u64,
    pub(super) until: Tick,
}

impl Message {
    /// The message as people see it in the dead queue.
    pub(super) fn shown(&self) -> RawMessage {
        let raw = self.raw.clone();
        match &self.spot {
            Spot::Dead { reason, .. } => raw.dead_because(reason.clone()),
            _ => raw,
        }
    }
}
