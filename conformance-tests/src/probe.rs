//! A way to a broker's data behind its back, for the truth that its own answers cannot prove.

use async_trait::async_trait;
use bananas_core::{Error, ErrorKind, QueueName, Result};
use bytes::Bytes;

/// What a [`Probe`] can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probing {
    /// [`Probe::messages`].
    Messages,
    /// [`Probe::plant`].
    Plant,
    /// [`Probe::make_conflicting`].
    Conflict,
    /// [`Probe::clients`].
    Clients,
}

/// A way to the data of one namespace behind the broker's back. What it does not offer stays *untested*.
#[async_trait]
pub trait Probe: Send + Sync {
    /// What it can do; each of these methods is implemented.
    fn offers(&self) -> &'static [Probing];

    /// How many messages of a queue are kept, in whatever state.
    async fn messages(&self, queue: &QueueName) -> Result<u64> {
        let _ = queue;
        Err(missing("messages"))
    }

    /// Puts a message into a queue as a program does that knows nothing of Bananas.
    async fn plant(&self, queue: &QueueName, body: Bytes) -> Result<()> {
        let _ = (queue, body);
        Err(missing("plant"))
    }

    /// Makes a queue that was never ensured, with a setting that the backend does not want.
    async fn make_conflicting(&self, queue: &QueueName) -> Result<()> {
        let _ = queue;
        Err(missing("make_conflicting"))
    }

    /// How many connections, or what else a client holds on the server, there are now.
    async fn clients(&self) -> Result<u64> {
        Err(missing("clients"))
    }
}

fn missing(method: &str) -> Error {
    let text = format!("the probe offers `{method}` and does not implement it");
    Error::new(ErrorKind::Unsupported, text)
}
