//! One message handed to one worker, with its lease.

use bytes::Bytes;

use crate::{QueueName, RawMessage, Tick};

/// A message in the hands of a worker. Dropping it settles nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// Where it was reserved.
    pub queue: QueueName,
    /// The message.
    pub message: RawMessage,
    /// The claim check for settling and extending.
    pub receipt: Receipt,
    /// How often it was delivered, this time included.
    pub count: DeliveryCount,
    /// Until when it is ours.
    pub lease: Lease,
}

/// Proof of one delivery; opaque, and void once the lease is lost or the delivery settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(Bytes);

/// How often a message was delivered, as well as the broker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryCount {
    /// Exactly so often.
    Exact(u32),
    /// At least so often.
    AtLeast(u32),
    /// The broker does not say.
    Unknown,
}

/// The time-bounded right to work on a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// When it ends unless extended, on the caller's monotonic clock and rather too early than too late.
    pub until: Tick,
    /// When it ends whatever one does.
    pub hard_limit: Option<Tick>,
}

impl Delivery {
    /// Puts a delivery together.
    #[must_use]
    pub fn new(queue: QueueName, message: RawMessage, receipt: Receipt, lease: Lease) -> Self {
        Self {
            queue,
            message,
            receipt,
            count: DeliveryCount::Unknown,
            lease,
        }
    }

    /// Says how often it was delivered.
    #[must_use]
    pub fn counted(mut self, count: DeliveryCount) -> Self {
        self.count = count;
        self
    }
}

impl DeliveryCount {
    /// The number known, or 0.
    #[must_use]
    pub fn known(self) -> u32 {
        match self {
            Self::Exact(n) | Self::AtLeast(n) => n,
            Self::Unknown => 0,
        }
    }
}

impl Receipt {
    /// Wraps what the backend needs to find the delivery again.
    #[must_use]
    pub fn new(token: impl Into<Bytes>) -> Self {
        Self(token.into())
    }

    /// The backend's bytes.
    #[must_use]
    pub fn token(&self) -> &Bytes {
        &self.0
    }
}
