//! A way to a broker's data behind its back, for the truth that its own answers cannot prove.

use async_trait::async_trait;
use bananas_core::{QueueName, Result};
use bytes::Bytes;

/// A way to the data of one namespace behind the broker's back. What a backend has no way to do answers `None`
/// or `false`, and leaves the check *untested*.
#[async_trait]
pub trait Probe: Send + Sync {
    /// How many messages of a queue are kept, in whatever state.
    async fn messages(&self, queue: &QueueName) -> Result<Option<u64>> {
        let _ = queue;
        Ok(None)
    }

    /// Puts a message into a queue as a program does that knows nothing of Bananas.
    async fn plant(&self, queue: &QueueName, body: Bytes) -> Result<bool> {
        let _ = (queue, body);
        Ok(false)
    }

    /// Makes a queue that was never ensured, with a setting that the backend does not want.
    async fn make_conflicting(&self, queue: &QueueName) -> Result<bool> {
        let _ = queue;
        Ok(false)
    }

    /// How many connections, or what else a client holds on the server, there are now.
    async fn clients(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}
