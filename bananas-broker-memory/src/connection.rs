//! What one handle on the engine is: the shared memory, and whether this handle was closed.
//!
//! As with a server, closing a connection ends what goes through it; the data and the other connections stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bananas_core::{BrokerInfo, Elapsed, Env, StoreInfo, Tick, Timestamp};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::broker::Messages;
use crate::error::Error;
use crate::store::{Blobs, Jobs};

/// The memory that all connections share.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) broker: BrokerInfo,
    pub(crate) store: StoreInfo,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) messages: Messages,
    pub(crate) jobs: Jobs,
    pub(crate) blobs: Blobs,
    /// Rung after every change of jobs or messages.
    pub(crate) changed: Notify,
}

/// One handle on the engine.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) memory: Arc<Memory>,
    closed: AtomicBool,
    closing: Notify,
}

/// The longest sleep of somebody who waits for a wall-clock time, so that a clock set forward is noticed.
const LONGEST_NAP: Duration = Duration::from_secs(1);

impl Connection {
    pub(crate) fn new(memory: Arc<Memory>) -> Arc<Self> {
        Arc::new(Self {
            memory,
            closed: AtomicBool::new(false),
            closing: Notify::new(),
        })
    }

    /// Refuses calls after the close.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Ends every wait that goes through this connection, and refuses what comes later.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.closing.notify_waiters();
    }

    /// Waits until `bell` rings, the connection closes, or the time comes. Make `closing` with
    /// [`closing`](Self::closing) before looking for work, so that no bell is missed.
    pub(crate) async fn wait(&self, until: Tick, bell: Notified<'_>, closing: Notified<'_>) {
        let either = async {
            let mut bell = std::pin::pin!(bell);
            let mut closing = std::pin::pin!(closing);
            std::future::poll_fn(|cx| {
                if bell.as_mut().poll(cx).is_ready() {
                    return std::task::Poll::Ready(());
                }
                closing.as_mut().poll(cx)
            })
            .await;
        };
        match self.memory.env.until(until, either).await {
            // Both mean the same: look again.
            Ok(()) | Err(Elapsed) => {}
        }
    }

    pub(crate) fn closing(&self) -> Notified<'_> {
        self.closing.notified()
    }
}

impl Memory {
    /// The tick at which to look again for something that is due at a wall-clock time.
    pub(crate) fn tick_of(&self, at: Timestamp, now: Timestamp) -> Tick {
        self.env.monotonic() + at.since(now).min(LONGEST_NAP)
    }
}
