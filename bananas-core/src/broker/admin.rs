//! Looking after a broker's queues, where the backend allows it.

use std::fmt;

use async_trait::async_trait;

use crate::{JobId, QueueName, RawMessage, Result};

/// A number that may not be exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly so many.
    Exact(u64),
    /// About so many.
    About(u64),
    /// The backend does not say.
    Unknown,
}

impl Count {
    /// The number, if there is one.
    #[must_use]
    pub fn value(self) -> Option<u64> {
        match self {
            Self::Exact(n) | Self::About(n) => Some(n),
            Self::Unknown => None,
        }
    }
}

/// How many messages a queue holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The queue.
    pub queue: QueueName,
    /// Ready to be delivered.
    pub ready: Count,
    /// Delivered and not settled.
    pub in_flight: Count,
    /// Waiting for their time.
    pub delayed: Count,
    /// In the dead queue.
    pub dead: Count,
    /// Made when the queue was first ensured; another one, or none, means that its data were lost.
    pub incarnation: Option<String>,
}

/// A part of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// Ready to be delivered.
    Ready,
    /// Waiting for their time.
    Delayed,
    /// In the dead queue.
    Dead,
}

/// The admin side of a broker.
#[async_trait]
pub trait BrokerAdmin: Send + Sync + fmt::Debug {
    /// Counts. **B80** A queue that does not exist is left out.
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>>;

    /// The first `max` messages of a bucket. **B81** Changes nothing.
    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>>;

    /// Removes all messages of a bucket and says how many. **B82** Other queues and consumers are untouched.
    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64>;

    /// Makes dead messages ready again, all or those named, and says how many. **B83** Each comes back once.
    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64>;

    /// The queues that exist.
    async fn queues(&self) -> Result<Vec<QueueName>>;

    /// Removes a queue with everything in it.
    async fn delete(&self, queue: &QueueName) -> Result<()>;
}
