//! Takes messages of one queue: asks, waits for the bell or the clock, asks again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{Consumer, ConsumerSpec, Delivery, Result, Tick};
use futures::channel::oneshot;

use super::take::{Found, Hold, Taker};
use crate::engine::Shared;
use crate::error::Error;

/// The longest wait without a look, should a marker be lost with whoever took it. It also bounds how late a
/// consumer learns that its queue is gone.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// The shortest such wait. A lease that began after the last look cannot have lapsed before the shortest lease
/// on the queue has passed, but looking more often than this is not worth it.
const LOOK_SELDOM: Duration = Duration::from_secs(1);

/// Takes messages of one queue.
#[derive(Debug)]
pub(super) struct RedisConsumer {
    taker: Taker,
    /// The answer to a request that a dropped call has left behind.
    pending: Option<oneshot::Receiver<std::result::Result<Found, Error>>>,
    stopped: bool,
}

impl RedisConsumer {
    pub(super) fn new(shared: Arc<Shared>, spec: ConsumerSpec) -> Self {
        let number = shared.env.random();
        let credit = shared.credits.open(number, spec.credit);
        Self {
            taker: Taker {
                shared,
                spec,
                number,
                credit,
                hold: Arc::<Mutex<Hold>>::default(),
            },
            pending: None,
            stopped: false,
        }
    }

    fn now(&self) -> Tick {
        self.taker.shared.env.monotonic()
    }

    /// Takes from the hold what is still leased.
    fn held(&self, max: usize) -> Vec<Delivery> {
        let now = self.now();
        let mut hold = self.taker.hold();
        let mut deliveries = Vec::new();
        while deliveries.len() < max
            && let Some(delivery) = hold.deliveries.pop_front()
        {
            // What lapsed in the hold is ready for others already.
            if delivery.lease.until > now {
                deliveries.push(delivery);
            }
        }
        deliveries
    }

    /// Waits for the answer to the request under way, if there is one.
    async fn arrive(&mut self) -> std::result::Result<Option<Found>, Error> {
        let Some(pending) = &mut self.pending else {
            return Ok(None);
        };
        let answer = pending.await;
        self.pending = None;
        answer
            .unwrap_or(Err(Error::Closed { sent: true }))
            .map(Some)
    }

    /// Asks for messages; they arrive in the hold.
    fn ask(&mut self, max: usize) {
        let (sender, receiver) = oneshot::channel();
        let taker = self.taker.clone();
        let take = Box::pin(async move { drop(sender.send(taker.take(max).await)) });
        self.taker.shared.env.spawn_isolated("redis-take", take);
        self.pending = Some(receiver);
    }

    /// Waits until there is room for more, but not beyond `deadline`.
    async fn wait_for_room(&self, deadline: Tick, lapse: Option<Tick>) {
        let again = lapse.map_or(deadline, |lapse| lapse.min(deadline));
        let freed = self.taker.credit.freed.notified();
        // Freed or not, the next look tells.
        self.taker
            .shared
            .env
            .until(again, freed)
            .await
            .unwrap_or_default();
    }

    /// Waits until there may be something to take, but not beyond `deadline`.
    async fn wait_for_messages(&self, deadline: Tick, found: Found) {
        let seldom = found.shortest_lease.clamp(LOOK_SELDOM, LOOK_ANYWAY);
        let pause = match (found.more, found.next) {
            (true, _) => Duration::ZERO,
            (false, next) => next.map_or(seldom, |next| next.min(seldom)),
        };
        let again = deadline.min(self.now() + pause);
        let shared = &self.taker.shared;
        let rung = shared.bell.rung(&self.taker.spec.queue);
        // Rung or not, the next look tells.
        shared.env.until(again, rung).await.unwrap_or_default();
    }

    /// The request under way, or a new one; `None` if there is no room and none for now.
    async fn look(
        &mut self,
        max: usize,
        deadline: Tick,
    ) -> std::result::Result<Option<Found>, Error> {
        if self.pending.is_none() {
            match self.taker.credit.room(self.now()) {
                Ok(room) => self.ask(max.min(room)),
                Err(lapse) => {
                    self.wait_for_room(deadline, lapse).await;
                    return Ok(None);
                }
            }
        }
        self.arrive().await
    }
}

#[async_trait]
impl Consumer for RedisConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let deadline = self.now() + wait;
        if self.stopped || max == 0 {
            return Ok(Vec::new());
        }
        loop {
            let asked = self.now();
            self.taker.shared.wire().check_open()?;
            let deliveries = self.held(max);
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            let found = match self.look(max, deadline).await {
                Ok(found) => found,
                // The next look goes over the next connection.
                Err(e) if e.is_of_connection() && self.now() < deadline => continue,
                Err(e) => {
                    return Err(bananas_core::Error::from(e)
                        .during("reserve")
                        .on(&self.taker.spec.queue));
                }
            };
            let deliveries = self.held(max);
            if !deliveries.is_empty() || asked >= deadline {
                return Ok(deliveries);
            }
            if let Some(found) = found {
                self.wait_for_messages(deadline, found).await;
            }
        }
    }

    async fn stop(&mut self) -> Result<()> {
        self.stopped = true;
        // An error says that nothing was leased, or leaves leases that are recalled or end by themselves.
        let arrived = self.arrive().await;
        let deliveries = self.taker.hold().deliveries.clone();
        if deliveries.is_empty() {
            return arrived.map(drop).map_err(Into::into);
        }
        let receipts = deliveries.into_iter().map(|delivery| delivery.receipt);
        let given_back = self.taker.give_back(receipts.collect()).await;
        given_back.map_err(|e| bananas_core::Error::from(e).during("stop"))?;
        self.taker.hold().deliveries.clear();
        Ok(())
    }
}

impl Drop for RedisConsumer {
    fn drop(&mut self) {
        let mut hold = self.taker.hold();
        hold.abandoned = true;
        let deliveries = std::mem::take(&mut hold.deliveries);
        drop(hold);
        self.taker.give_back_later(deliveries.into());
        // Others may not know of a time that this one waited for.
        self.taker.shared.bell.pass_on(&self.taker.spec.queue);
    }
}
