//! Takes messages of one queue: looks, waits for the bell or the clock, takes.
//!
//! What the writer leases goes into a buffer that outlives any call, so a call that is dropped loses nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Consumer, ConsumerSpec, Delivery, DeliveryCount, Lease, OwnerId, QueueName, Result, Tick,
};
use futures::channel::oneshot;

use super::receipt::Claimed;
use super::reserve::{self, Found, Reserved, Wish};
use crate::bell::Topic;
use crate::engine::{Pace, Shared, Side};
use crate::transaction::Transaction;
use crate::writer::{Answer, Request};

/// The longest wait without a look while something has a time: clocks may be set, and granularity is coarse.
const LOOK_AT_CLOCK: Duration = Duration::from_millis(500);

/// The longest wait without a look at all, should a notification ever fail to come.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// Takes messages of one queue.
#[derive(Debug)]
pub(super) struct SqliteConsumer {
    shared: Arc<Shared>,
    spec: ConsumerSpec,
    /// Whose leases count against the credit.
    id: OwnerId,
    hold: Arc<Mutex<Hold>>,
    /// The answer to a request that a dropped call has left behind.
    pending: Option<oneshot::Receiver<Result<()>>>,
    stopped: bool,
}

/// What was leased and not returned yet.
#[derive(Debug, Default)]
struct Hold {
    reserved: VecDeque<(Reserved, Tick)>,
    /// The consumer is gone; what still comes is given back.
    abandoned: bool,
}

impl SqliteConsumer {
    pub(super) fn new(shared: Arc<Shared>, spec: ConsumerSpec) -> Self {
        let id = shared.env.owner_id();
        Self {
            shared,
            spec,
            id,
            hold: Arc::default(),
            pending: None,
            stopped: false,
        }
    }

    fn wish(&self, max: usize) -> Wish {
        Wish {
            queue: self.spec.queue.clone(),
            consumer: self.id,
            lease: self.spec.lease,
            credit: self.spec.credit,
            max,
        }
    }

    /// Waits for the answer to the request under way, if there is one.
    async fn arrive(&mut self) -> Result<()> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        let answer = self.shared.answer_of(pending).await;
        self.pending = None;
        answer
    }

    /// Takes from the buffer what is still leased.
    fn held(&mut self, max: usize) -> Vec<Delivery> {
        let now = self.shared.env.monotonic();
        let mut hold = lock(&self.hold);
        let mut deliveries = Vec::new();
        while deliveries.len() < max
            && let Some((reserved, until)) = hold.reserved.pop_front()
        {
            // What lapsed in the buffer is ready for others already.
            if until > now {
                deliveries.push(self.delivery(reserved, until));
            }
        }
        deliveries
    }

    fn delivery(&self, reserved: Reserved, until: Tick) -> Delivery {
        let receipt = reserved.claimed.receipt(self.shared.file_id());
        let lease = Lease {
            until,
            hard_limit: None,
        };
        Delivery::new(self.spec.queue.clone(), reserved.message, receipt, lease)
            .counted(DeliveryCount::Exact(reserved.deliveries))
    }

    async fn look(&self, wish: &Wish) -> Result<Found> {
        let (wish, now, moment) = (wish.clone(), self.shared.now(), self.shared.moment());
        self.shared
            .read(Pace::Quick, move |connection| {
                reserve::look(connection, &wish, now, &moment)
            })
            .await?
    }

    /// Asks the writer to lease messages; they arrive in the buffer.
    async fn reserve_more(&mut self, wish: Wish) -> Result<()> {
        let (sender, receiver) = oneshot::channel();
        let (hold, shared) = (Arc::clone(&self.hold), Arc::downgrade(&self.shared));
        let (queue, weight) = (wish.queue.clone(), wish.max);
        // Counted from before the request, so that we never believe in a lease longer than it is.
        let until = self.shared.env.monotonic() + wish.lease;
        let answer = move |answer: Answer<Result<Vec<Reserved>>>| {
            // A lease of unknown outcome ends by itself.
            let end = answer
                .into_result()
                .and_then(|reserved| reserved)
                .map(|reserved| {
                    let mut hold = lock(&hold);
                    if !hold.abandoned {
                        hold.reserved
                            .extend(reserved.into_iter().map(|reserved| (reserved, until)));
                        return;
                    }
                    drop(hold);
                    if let Some(shared) = shared.upgrade() {
                        let claimed = reserved.iter().map(|reserved| reserved.claimed).collect();
                        give_back_now(&shared, &queue, claimed);
                    }
                });
            drop(sender.send(end));
        };
        let work = move |tx: &mut Transaction<'_>| reserve::reserve(tx, &wish);
        self.shared
            .submit(Box::new(Request::new(weight, work, answer)))
            .await?;
        self.pending = Some(receiver);
        self.arrive().await
    }

    /// When to look again although nothing rang.
    fn look_again_at(&self, deadline: Tick, found: Found) -> Tick {
        let pause = match found {
            Found::Nothing { due, lease_ends } => {
                let due = due.map(|at| at.since(self.shared.now()).min(LOOK_AT_CLOCK));
                let lease = lease_ends.map(|left| left.min(LOOK_AT_CLOCK));
                due.into_iter().chain(lease).min().unwrap_or(LOOK_ANYWAY)
            }
            Found::Ready => Duration::ZERO,
        };
        deadline.min(self.shared.env.monotonic() + pause)
    }
}

#[async_trait]
impl Consumer for SqliteConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let deadline = self.shared.env.monotonic() + wait;
        self.shared.check_open(Side::Broker)?;
        if self.stopped || max == 0 {
            return Ok(Vec::new());
        }
        self.arrive().await?;
        let wish = self.wish(max);
        loop {
            let deliveries = self.held(max);
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            let listener = self
                .shared
                .bell()
                .listen(Topic::Messages(self.spec.queue.clone()));
            let found = self.look(&wish).await?;
            if found == Found::Ready {
                self.reserve_more(wish.clone()).await?;
                // Another consumer may have been faster; then the wait goes on, but not beyond its end.
                if !lock(&self.hold).reserved.is_empty() || self.shared.env.monotonic() < deadline {
                    continue;
                }
                return Ok(Vec::new());
            }
            let again = self.look_again_at(deadline, found);
            if self.shared.env.monotonic() >= deadline {
                return Ok(Vec::new());
            }
            // Rung or not, the next look tells.
            self.shared
                .env
                .until(again, listener)
                .await
                .unwrap_or_default();
            self.shared.check_open(Side::Broker)?;
        }
    }

    async fn stop(&mut self) -> Result<()> {
        self.stopped = true;
        // An error says that nothing was leased, or leaves a lease that ends by itself.
        let arrived = self.arrive().await;
        let claimed: Vec<Claimed> = lock(&self.hold)
            .reserved
            .iter()
            .map(|(reserved, _)| reserved.claimed)
            .collect();
        if claimed.is_empty() {
            return arrived;
        }
        let queue = self.spec.queue.clone();
        self.shared
            .write(claimed.len(), move |tx| {
                reserve::unreserve(tx, &queue, &claimed)
            })
            .await?;
        lock(&self.hold).reserved.clear();
        Ok(())
    }
}

impl Drop for SqliteConsumer {
    fn drop(&mut self) {
        let mut hold = lock(&self.hold);
        hold.abandoned = true;
        let reserved = std::mem::take(&mut hold.reserved);
        drop(hold);
        let claimed = reserved
            .iter()
            .map(|(reserved, _)| reserved.claimed)
            .collect();
        give_back_now(&self.shared, &self.spec.queue, claimed);
    }
}

fn give_back_now(shared: &Shared, queue: &QueueName, claimed: Vec<Claimed>) {
    if claimed.is_empty() {
        return;
    }
    let (queue, weight) = (queue.clone(), claimed.len());
    let work = move |tx: &mut Transaction<'_>| reserve::unreserve(tx, &queue, &claimed);
    let answer = |answer: Answer<()>| {
        if let Err(e) = answer.into_result() {
            tracing::warn!(error = %e, "messages could not be given back; they are ready when their lease ends");
        }
    };
    shared.submit_now(Box::new(Request::new(weight, work, answer)));
}

fn lock(hold: &Mutex<Hold>) -> MutexGuard<'_, Hold> {
    hold.lock().unwrap_or_else(PoisonError::into_inner)
}
