//! Takes messages of one queue: asks, waits until one comes, asks for the others.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{Consumer, ConsumerSpec, Delivery, Result, Tick};
use futures::FutureExt;
use futures::channel::oneshot;

use super::pull::{Arrival, Ending, HEARTBEAT, Inbox, has_heartbeats};
use super::take::{Hold, Taker, Waited};
use crate::engine::Shared;
use crate::error::Error;
use crate::names::Names;

/// The longest wait for one message before looking anew.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The pause before looking again when a lane does not answer as it should.
const PAUSE: Duration = Duration::from_millis(50);

/// A reserve of so many finds the next as many fetched already.
const MANY: usize = 16;

/// How long what was fetched ahead is kept while nobody asks.
const KEPT: Duration = Duration::from_secs(1);

type Answer = oneshot::Receiver<std::result::Result<(), Error>>;

/// Takes messages of one queue.
#[derive(Debug)]
pub(super) struct NatsConsumer {
    taker: Taker,
    /// The answer to a request that a dropped call has left behind.
    pending: Pending,
    stopped: bool,
}

/// A request under way, if there is one.
#[derive(Clone, Debug, Default)]
struct Pending(Arc<Mutex<Option<Answer>>>);

/// Somebody who waits; when that is given up, what was on its way goes to the hold.
struct Waiting {
    taker: Taker,
    pending: Pending,
    inbox: Option<Inbox>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            let first = None;
            self.pending
                .start(&self.taker, 0, Some(Waited { inbox, first }));
        }
    }
}

impl Pending {
    /// Takes messages in a task of its own, which ends whatever becomes of us.
    fn start(&self, taker: &Taker, max: usize, waited: Option<Waited>) {
        let (sender, receiver) = oneshot::channel();
        let own = taker.clone();
        let task = Box::pin(async move { drop(sender.send(own.take(max, waited).await)) });
        taker.shared.env.spawn_isolated("nats-take", task);
        *self.lock() = Some(receiver);
    }

    /// The same for the next call; gives it back if none comes.
    fn start_ahead(&self, taker: &Taker, max: usize) {
        let (sender, receiver) = oneshot::channel();
        let own = taker.clone();
        let call = own.hold().call;
        let task = Box::pin(async move {
            drop(sender.send(own.take_ahead(max).await));
            own.shared.env.sleep(KEPT).await;
            if own.hold().call == call {
                own.give_back().await;
            }
        });
        taker.shared.env.spawn_isolated("nats-take-ahead", task);
        *self.lock() = Some(receiver);
    }

    fn is_none(&self) -> bool {
        self.lock().is_none()
    }

    /// Waits for the answer to the request under way, if there is one.
    async fn arrive(&self) -> std::result::Result<(), Error> {
        let answer = std::future::poll_fn(|cx| match self.lock().as_mut() {
            None => Poll::Ready(Ok(Ok(()))),
            Some(answer) => answer.poll_unpin(cx),
        });
        let answer = answer.await;
        *self.lock() = None;
        answer.unwrap_or(Err(Error::Closed { sent: true }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NatsConsumer {
    pub(super) fn new(
        shared: Arc<Shared>,
        spec: ConsumerSpec,
        names: Arc<Names>,
        lanes: usize,
    ) -> Self {
        let out = shared.holds.open(spec.credit, shared.env.monotonic());
        Self {
            taker: Taker {
                shared,
                spec,
                names,
                lanes,
                out,
                hold: Arc::<Mutex<Hold>>::default(),
            },
            pending: Pending::default(),
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
            && let Some((_, delivery)) = hold.deliveries.pop_front()
        {
            // What lapsed in the hold is ready for others already.
            if delivery.lease.until > now {
                deliveries.push(delivery);
            }
        }
        deliveries
    }

    /// Fetches what the next call will ask for, if this one found as many as it wanted.
    fn look_ahead(&self, max: usize, found: usize) {
        let is_wanted = max >= MANY && found == max && self.taker.hold().deliveries.len() < max;
        if is_wanted
            && self.pending.is_none()
            && let Ok(room) = self.taker.out.room(self.now())
        {
            self.pending.start_ahead(&self.taker, max.min(room));
        }
    }

    /// Looks whether something more urgent is ready than what is held, which was left over.
    async fn look_above(&self, max: usize, deadline: Tick) {
        let least = self.taker.hold().least(max);
        let is_any_above = least.is_some_and(|lane| lane + 1 < self.taker.lanes);
        if is_any_above && self.pending.is_none() && self.taker.out.room(self.now()).is_ok() {
            // What is held is handed out in any case.
            drop(self.look(max, deadline).await);
        }
    }

    /// Waits until there is room for more, but not beyond `deadline`.
    async fn wait_for_room(&self, deadline: Tick, lapse: Option<Tick>) {
        let again = lapse.map_or(deadline, |lapse| lapse.min(deadline));
        let freed = self.taker.out.freed.notified();
        let env = &self.taker.shared.env;
        // Freed or not, the next look tells.
        env.until(again, freed).await.unwrap_or_default();
    }

    /// Asks for messages that are ready; they arrive in the hold.
    async fn look(&self, max: usize, deadline: Tick) -> std::result::Result<(), Error> {
        if self.pending.is_none() {
            match self.taker.out.room(self.now()) {
                Ok(room) => self.pending.start(&self.taker, max.min(room), None),
                Err(lapse) => self.wait_for_room(deadline, lapse).await,
            }
        }
        self.pending.arrive().await
    }

    /// Waits until a message comes, but not beyond `deadline`, and takes it with what else is ready.
    async fn wait(&self, max: usize, deadline: Tick) -> std::result::Result<(), Error> {
        let taker = &self.taker;
        let wire = taker.shared.wire();
        if taker.out.room(self.now()).is_err() {
            return Ok(());
        }
        let wait = deadline.since(self.now()).min(LONGEST_WAIT);
        let until = self.now() + wait;
        let namespace = &taker.shared.namespace;
        let unique = taker.shared.env.random();
        let inbox = Inbox::open(wire, namespace, unique, wire.deadline()).await?;
        let mut waiting = Waiting {
            taker: taker.clone(),
            pending: self.pending.clone(),
            inbox: Some(inbox),
        };
        let first = waiting.listen(wait, until).await?;
        let Some(inbox) = waiting.inbox.take() else {
            return Ok(());
        };
        let look = if first.is_some() { max } else { 0 };
        self.pending
            .start(taker, look, Some(Waited { inbox, first }));
        self.pending.arrive().await
    }
}

impl Waiting {
    /// Asks all lanes, and listens until a message comes or there is nothing to wait for any more.
    async fn listen(
        &mut self,
        wait: Duration,
        until: Tick,
    ) -> std::result::Result<Option<async_nats::Message>, Error> {
        let Some(inbox) = &mut self.inbox else {
            return Ok(None);
        };
        let wire = self.taker.shared.wire();
        let lanes = self.taker.lanes;
        for lane in (0..lanes).rev() {
            inbox
                .ask_and_wait(wire, &self.taker.names, lane, wait)
                .await?;
        }
        let mut ended = 0;
        while ended < lanes {
            // After two heartbeats that did not come, the line or the queue may be gone.
            let now = wire.env.monotonic();
            let patience = match has_heartbeats(wait) {
                true => until.min(now + HEARTBEAT * 2 + HEARTBEAT / 2),
                false => until,
            };
            let next = tokio::select! {
                next = wire.env.until(patience, inbox.next(wire)) => next,
                () = wire.closed() => return Err(Error::Closed { sent: false }),
            };
            match next {
                Err(_) => return Ok(None),
                Ok(arrival) => match arrival? {
                    Arrival::Message(message) => return Ok(Some(message)),
                    Arrival::End(_, Ending::Empty) => ended += 1,
                    Arrival::End(..) => {
                        wire.env.sleep(PAUSE).await;
                        return Ok(None);
                    }
                    Arrival::Heartbeat | Arrival::Echo => {}
                },
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Consumer for NatsConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let deadline = self.now() + wait;
        if self.stopped || max == 0 {
            return Ok(Vec::new());
        }
        self.taker.hold().call += 1;
        let mut waited = false;
        loop {
            let asked = self.now();
            self.taker.shared.wire().check_open()?;
            // What it says is of a call that is over.
            drop(self.pending.arrive().await);
            // To look before each of many would cost more than to take them.
            if max < MANY {
                self.look_above(max, deadline).await;
            }
            let deliveries = self.held(max);
            if !deliveries.is_empty() || (waited && asked >= deadline) {
                self.look_ahead(max, deliveries.len());
                return Ok(deliveries);
            }
            let done = match self.look(max, deadline).await {
                Ok(()) => {
                    let deliveries = self.held(max);
                    if !deliveries.is_empty() {
                        self.look_ahead(max, deliveries.len());
                        return Ok(deliveries);
                    }
                    waited = true;
                    match self.now() < deadline {
                        true => self.wait(max, deadline).await,
                        false => Ok(()),
                    }
                }
                Err(e) => Err(e),
            };
            match done {
                // The next look goes over the next connection.
                Err(e) if e.is_of_connection() && self.now() < deadline => {}
                Err(e) => {
                    let seen = bananas_core::Error::from(e);
                    return Err(seen.during("reserve").on(&self.taker.spec.queue));
                }
                Ok(()) => {}
            }
        }
    }

    async fn stop(&mut self) -> Result<()> {
        self.stopped = true;
        // An error says that nothing was leased, or leaves leases that end by themselves.
        drop(self.pending.arrive().await);
        self.taker.give_back().await;
        Ok(())
    }
}

impl Drop for NatsConsumer {
    fn drop(&mut self) {
        let mut hold = self.taker.hold();
        hold.abandoned = true;
        let nothing = hold.deliveries.is_empty();
        drop(hold);
        if !nothing {
            let taker = self.taker.clone();
            let task = Box::pin(async move { taker.give_back().await });
            self.taker.shared.env.spawn_isolated("nats-give-back", task);
        }
    }
}
