//! Takes messages of one queue: from the buffer of its poller, and waits there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{Consumer, ConsumerSpec, Delivery, Error as Seen, Result, Tick};
use futures::future::select;

use super::poller::Poller;
use crate::error::Error;
use crate::shared::Shared;

/// Takes messages of one queue.
#[derive(Debug)]
pub(super) struct SqsConsumer {
    poller: Arc<Poller>,
}

impl SqsConsumer {
    pub(super) fn new(shared: Arc<Shared>, spec: ConsumerSpec) -> Self {
        Self {
            poller: Arc::new(Poller::new(shared, spec)),
        }
    }

    fn now(&self) -> Tick {
        self.poller.shared.env.monotonic()
    }

    fn seen(&self, error: Error) -> Seen {
        let queue = &self.poller.spec.queue;
        Seen::from(error).during("reserve").on(queue)
    }

    /// Waits for the time, for room or for news, whichever comes first.
    async fn wait_until(&self, tick: Tick) {
        let shared = &self.poller.shared;
        let closing = Box::pin(shared.gate.closing());
        let freed = Box::pin(self.poller.credit.freed.notified());
        let news = Box::pin(self.poller.news.notified());
        let any = select(select(news, freed), closing);
        // In time or not, the next look tells.
        drop(shared.env.until(tick, any).await);
    }
}

#[async_trait]
impl Consumer for SqsConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let deadline = self.now() + wait;
        loop {
            let gate = &self.poller.shared.gate;
            gate.check_open().map_err(|e| self.seen(e))?;
            if max == 0 || self.poller.is_stopped() {
                return Ok(Vec::new());
            }
            let deliveries = self.poller.ready(max);
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            let now = self.now();
            if let Some((error, pause)) = self.poller.failure() {
                if !error.may_pass() || now >= deadline {
                    return Err(self.seen(error));
                }
                let env = &self.poller.shared.env;
                env.sleep_until(deadline.min(now + pause)).await;
            }
            let room = self.poller.ask(max);
            if now >= deadline {
                if self.poller.has_looked() {
                    return Ok(Vec::new());
                }
                // A wait that was too short to ask the server is no answer of it.
                self.wait_until(now + self.poller.shared.handover).await;
                continue;
            }
            let lapse = room.err().flatten();
            self.wait_until(lapse.map_or(deadline, |lapse| lapse.min(deadline)))
                .await;
        }
    }

    async fn stop(&mut self) -> Result<()> {
        self.poller.stop().await;
        Ok(())
    }
}

impl Drop for SqsConsumer {
    fn drop(&mut self) {
        let deliveries = self.poller.halt();
        if deliveries.is_empty() {
            return;
        }
        let poller = Arc::clone(&self.poller);
        let give_back = async move { poller.give_back_now(deliveries).await };
        let env = &self.poller.shared.env;
        env.spawn_isolated("sqs-give-back", Box::pin(give_back));
    }
}
