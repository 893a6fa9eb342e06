//! [`Consumer`]: takes messages of one queue under leases, and waits where there are none.
//!
//! Messages are leased inside the poll that returns them, never before a wait; so a dropped future leaves
//! nothing behind.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{Consumer, ConsumerSpec, Delivery, Result, Tick, Timestamp};
use tokio::sync::Notify;

use super::MemoryBroker;
use super::switchboard::Wish;
use crate::error::Error;

/// Takes messages of one queue.
#[derive(Debug)]
pub(super) struct MemoryConsumer {
    broker: MemoryBroker,
    spec: ConsumerSpec,
    number: u64,
    stopped: bool,
}

impl MemoryConsumer {
    pub(super) fn new(broker: MemoryBroker, spec: ConsumerSpec, number: u64) -> Self {
        Self {
            broker,
            spec,
            number,
            stopped: false,
        }
    }

    /// Of the queue as it is now: it may have been deleted and made again.
    fn bell(&self) -> Result<Arc<Notify>, Error> {
        self.broker
            .with(|board| Ok(Arc::clone(&board.queue(&self.spec.queue)?.bell)))?
    }

    /// When to look again if no bell rings before: at the end of a lease, or of a delay.
    fn look_again(&self, until: Tick, now: Timestamp) -> Tick {
        let memory = self.broker.memory();
        let board = memory.messages.lock();
        let Ok(queue) = board.queue(&self.spec.queue) else {
            return until;
        };
        let lease = queue.leases.first().map(|(tick, _)| *tick);
        let delay = queue.delayed.first().map(|(tick, _)| *tick);
        let time = queue.until.first().map(|(at, _)| memory.tick_of(*at, now));
        [lease, delay, time]
            .into_iter()
            .flatten()
            .fold(until, Tick::min)
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let env = &self.broker.memory().env;
        let until = env.monotonic() + wait;
        let wish = Wish {
            spec: &self.spec,
            consumer: self.number,
            max,
        };
        loop {
            if self.stopped {
                return Err(Error::Closed.into());
            }
            // Before looking, so that a bell between looking and waiting is heard.
            let bell = self.bell()?;
            let (ringing, closing) = (bell.notified(), self.broker.connection.closing());
            let (now, tick) = (env.now(), env.monotonic());
            let deliveries = self.broker.with(|board| board.reserve(wish))??;
            if !deliveries.is_empty() || max == 0 || tick >= until {
                return Ok(deliveries);
            }
            let again = self.look_again(until, now);
            self.broker.connection.wait(again, ringing, closing).await;
        }
    }

    async fn stop(&mut self) -> Result<()> {
        self.stopped = true;
        Ok(())
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        self.broker.memory().messages.lock().leave(self.number);
    }
}
