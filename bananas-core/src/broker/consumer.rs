//! Taking messages from one queue.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Delivery, QueueName, Result};

/// What to consume and for how long each delivery is leased.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerSpec {
    /// The queue.
    pub queue: QueueName,
    /// How long a delivery is ours before it must be extended.
    pub lease: Duration,
    /// How many deliveries may be in our hands at once, buffered ones included.
    pub credit: u32,
}

impl ConsumerSpec {
    /// A consumer with a lease of 15 s and a credit of 100.
    #[must_use]
    pub fn new(queue: QueueName) -> Self {
        Self {
            queue,
            lease: Duration::from_secs(15),
            credit: 100,
        }
    }
}

/// Takes messages from one queue.
#[async_trait]
pub trait Consumer: Send + fmt::Debug {
    /// Waits up to `wait` for messages and takes at most `max`.
    ///
    /// - **B70** Returns as soon as there is one, with all that are ready up to `max`; empty after `wait`.
    /// - **B71** Nothing is delivered to two consumers under valid leases.
    /// - **B72** An expired lease makes the message ready again, within a second.
    /// - **B73** Among ready messages, higher priority levels come first. After a `max` of 16 or more that was
    ///   reached, a consumer may have fetched as many for the next call, which come before what is published later.
    /// - **B74** If the future is dropped, nothing is lost: what was on its way comes with the next call.
    /// - **B78** The consumer of a queue that was deleted is told so, by `NotFound`, within seconds; it is not
    ///   left waiting as if the queue were only empty.
    /// - **B75** Never are more deliveries unsettled than the credit allows.
    /// - **B77** Among ready messages of one priority the order is the one that the capabilities name: within
    ///   the queue, or within a key, where a message that is out holds up no other key.
    /// - **B84** What was fetched ahead and is not asked for is ready for others within seconds.
    /// - **B79** No consumer that has credit is passed over while others are served again and again.
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>>;

    /// Stops taking. May be called twice.
    ///
    /// - **B76** What was taken but not yet returned is ready again at once. Receipts already handed out stay
    ///   valid. Dropping the consumer gives back the same, in the background.
    async fn stop(&mut self) -> Result<()>;
}
