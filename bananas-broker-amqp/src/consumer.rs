//! [`Consumer`]: asks its pump for deliveries and waits for them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{Consumer, Delivery, Error as Seen, Result};

use crate::desk::Desk;
use crate::error::Error;
use crate::shared::Shared;

/// How long a reserve that has something waits for what comes with it.
const LINGER: Duration = Duration::from_millis(2);

/// How long to wait between two looks at a pump that is not there yet.
const PAUSE: Duration = Duration::from_millis(10);

/// Takes deliveries of one queue.
pub(crate) struct AmqpConsumer {
    desk: Arc<Desk>,
    /// Keeps the connections, also when the broker is dropped.
    shared: Arc<Shared>,
}

impl fmt::Debug for AmqpConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AmqpConsumer({:?})", self.desk.queue())
    }
}

/// Says that nobody waits any more, also when the reserve was dropped.
struct Demand<'a>(&'a Desk);

impl Drop for Demand<'_> {
    fn drop(&mut self) {
        self.0.demand(None);
    }
}

impl AmqpConsumer {
    pub(crate) fn new(desk: Arc<Desk>, shared: Arc<Shared>) -> Self {
        Self { desk, shared }
    }

    async fn wait_for(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        let env = &self.desk.env;
        let end = env.monotonic() + wait;
        let _demand = Demand(&self.desk);
        loop {
            if self.shared.link.is_closed() {
                return Err(Error::Closed { sent: false });
            }
            if self.desk.is_stopping() {
                return Ok(Vec::new());
            }
            self.desk.demand(Some(max));
            let taken = self.desk.take(max)?;
            if !taken.is_empty() {
                return Ok(self.gather(taken, max).await);
            }
            // A wait that was too short to ask the server is no answer of it.
            let now = env.monotonic();
            let next = if now < end { end } else { now + PAUSE };
            if env.until(next, self.desk.taker.notified()).await.is_err() {
                let is_late = env.monotonic() >= end + self.shared.link.timeout();
                if is_late || self.desk.has_looked() {
                    return self.nothing();
                }
            }
        }
    }

    /// Waits a moment for what comes with the first ones, since the server sends one after the other.
    ///
    /// They are in hands already, and go back to the desk if this is dropped.
    async fn gather(&self, taken: Vec<Delivery>, max: usize) -> Vec<Delivery> {
        let env = &self.desk.env;
        let end = env.monotonic() + LINGER;
        let mut kept = Kept {
            desk: &self.desk,
            taken,
        };
        while self.desk.may_bring_more(kept.taken.len(), max) {
            if env.until(end, self.desk.taker.notified()).await.is_err() {
                break;
            }
            match self.desk.take(max - kept.taken.len()) {
                Ok(more) => kept.taken.extend(more),
                Err(_) => break,
            }
        }
        std::mem::take(&mut kept.taken)
    }

    /// An empty queue, or a server that is not there.
    fn nothing(&self) -> Result<Vec<Delivery>, Error> {
        match self.desk.trouble() {
            Some(trouble) => Err(trouble),
            None => Ok(Vec::new()),
        }
    }
}

/// Deliveries on their way to the caller, which go back to the desk if he does not wait for them.
struct Kept<'a> {
    desk: &'a Desk,
    taken: Vec<Delivery>,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.desk.put_back(std::mem::take(&mut self.taken));
    }
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let reserved = self.wait_for(max, wait).await;
        reserved.map_err(|e| Seen::from(e).during("reserve").on(self.desk.queue()))
    }

    async fn stop(&mut self) -> Result<()> {
        self.desk.stop();
        let env = &self.desk.env;
        let end = env.monotonic() + self.shared.link.timeout();
        while !self.desk.has_stopped() && !self.shared.link.is_closed() {
            if env.until(end, self.desk.taker.notified()).await.is_err() {
                let silence = Seen::from(self.shared.link.silence());
                return Err(silence.during("stop").on(self.desk.queue()));
            }
        }
        Ok(())
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        self.desk.stop();
    }
}
