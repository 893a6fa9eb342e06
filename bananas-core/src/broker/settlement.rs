//! What a worker says of a delivery, and what the broker answers.

use std::time::Duration;

use crate::{RawMessage, Receipt};

/// A delivery and what is to become of it.
#[derive(Clone, Debug)]
pub struct Settle {
    /// Which delivery.
    pub receipt: Receipt,
    /// Its end.
    pub settlement: Settlement,
}

/// What is to become of a delivery.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// Finished: never deliver it again.
    Ack,
    /// Failed: deliver `message` instead of it, after `delay`.
    Retry {
        /// How long to wait; zero means now.
        delay: Duration,
        /// The message to deliver, with its attempt counted.
        message: Box<RawMessage>,
    },
    /// Given back unused: deliver it again after `delay`.
    Release {
        /// How long to wait; zero means now.
        delay: Duration,
    },
    /// Set aside in the dead queue.
    DeadLetter {
        /// Why, for a person.
        reason: String,
        /// Replaces the message, when more is known of it than its bytes say.
        message: Option<Box<RawMessage>>,
    },
}

/// What became of the settlement. None of them is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It holds now.
    Done,
    /// It was settled before; nothing changed.
    Already,
    /// The lease was lost: the message is, or will be, delivered to somebody else.
    LeaseLost,
}
