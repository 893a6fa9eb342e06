//! The receiving side of one consumer: requests that wait at the server in tasks of their own, and a buffer for
//! what they bring. Whoever stops waiting for messages loses nothing.
//!
//! While a queue is empty one request waits there for 20 seconds, and then the next. When requests come back full
//! more are made at a time, and each asks for ten messages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bananas_core::{ConsumerSpec, Delivery, Receipt, Tick};
use futures::future::{Either, select};
use tokio::sync::Notify;

use super::receive::{Taken, receive};
use super::settle::{self, GRACE};
use crate::connection::PATIENCE;
use crate::error::Error;
use crate::gather::BATCH;
use crate::held::{Credit, lock};
use crate::receipt;
use crate::shared::Shared;

/// How long a request waits at the server, which is the most that it allows.
const IDLE: Duration = Duration::from_secs(20);

/// The same after messages came: should the line break now, what comes meanwhile is not lost for long.
const BUSY: Duration = Duration::from_secs(1);

/// The most requests that wait at a time.
const MOST: usize = 8;

/// The longest that a message is kept here for nobody.
const KEPT: Duration = Duration::from_secs(4);

/// The longest pause after requests that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The receiving side of one consumer.
#[derive(Debug)]
pub(super) struct Poller {
    pub(super) shared: Arc<Shared>,
    pub(super) spec: ConsumerSpec,
    pub(super) credit: Arc<Credit>,
    state: Mutex<State>,
    /// Rung when there is news.
    pub(super) news: Notify,
}

/// What the last request brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// The queue is empty.
    Nothing,
    /// Some, or it is not known.
    Some,
    /// As much as was asked for, so that there is more.
    Full,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Delivery>,
    /// Requests under way, and how many messages they ask for.
    requests: usize,
    asked: usize,
    /// How many requests there should be.
    wanted: usize,
    last: Last,
    failure: Option<Error>,
    failures: u32,
    /// How many requests were answered.
    answered: u64,
    stopped: bool,
    /// Whether a task looks after what is kept for nobody.
    watched: bool,
}

impl Poller {
    pub(super) fn new(shared: Arc<Shared>, spec: ConsumerSpec) -> Self {
        Self {
            credit: Arc::new(Credit::new(spec.credit)),
            shared,
            spec,
            state: Mutex::new(State {
                ready: VecDeque::new(),
                requests: 0,
                asked: 0,
                wanted: 1,
                last: Last::Some,
                failure: None,
                failures: 0,
                answered: 0,
                stopped: false,
                watched: false,
            }),
            news: Notify::new(),
        }
    }

    fn now(&self) -> Tick {
        self.shared.env.monotonic()
    }

    /// Takes from the buffer what is still leased.
    pub(super) fn ready(&self, max: usize) -> Vec<Delivery> {
        let now = self.now();
        let mut state = lock(&self.state);
        let mut deliveries = Vec::new();
        while deliveries.len() < max
            && let Some(delivery) = state.ready.pop_front()
        {
            // What lapsed here is ready for others already.
            if delivery.lease.until > now {
                deliveries.push(delivery);
            }
        }
        deliveries
    }

    /// What went wrong since the last look, and how long to wait before the next request.
    pub(super) fn failure(&self) -> Option<(Error, Duration)> {
        let mut state = lock(&self.state);
        let failure = state.failure.take()?;
        let pause = Duration::from_millis(50) * 2_u32.saturating_pow(state.failures.min(10));
        Some((failure, pause.min(LONGEST_PAUSE)))
    }

    /// Whether the server was ever asked what is there, or need not be.
    pub(super) fn has_looked(&self) -> bool {
        let state = lock(&self.state);
        state.answered > 0 || state.requests == 0
    }

    pub(super) fn is_stopped(&self) -> bool {
        lock(&self.state).stopped
    }

    /// Sees to it that as many requests are under way as are worth it. Without any, when there will be room.
    pub(super) fn ask(self: &Arc<Self>, max: usize) -> Result<(), Option<Tick>> {
        let now = self.now();
        let mut state = lock(&self.state);
        let wanted = state.wanted.min(max.div_ceil(BATCH)).max(1);
        while !state.stopped && state.requests < wanted {
            let room = match self.credit.room(state.asked, now) {
                Ok(room) => room,
                Err(lapse) if state.requests == 0 => return Err(lapse),
                Err(_) => break,
            };
            // A busy queue is asked for full requests, for each costs the same.
            let most = if state.last == Last::Full {
                BATCH
            } else {
                max.min(BATCH)
            };
            let messages = most.min(room);
            let wait = match state.last {
                // What is there is wanted, and not what comes.
                _ if state.answered == 0 => Duration::ZERO,
                Last::Nothing => IDLE,
                Last::Some | Last::Full => BUSY,
            };
            state.requests += 1;
            state.asked += messages;
            let poller = Arc::clone(self);
            let request = async move { poller.request(messages, wait).await };
            let env = &self.shared.env;
            env.spawn_isolated("sqs-receive", Box::pin(request));
        }
        Ok(())
    }

    async fn request(self: Arc<Self>, messages: usize, wait: Duration) {
        let hide = (self.spec.lease + GRACE).min(self.shared.handover);
        let sent = self.now();
        let queue = &self.spec.queue;
        let answered = lock(&self.state).answered;
        let receiving = receive(&self.shared, queue, messages, (wait, hide));
        let late = self.shared.env.sleep(wait + PATIENCE);
        let (answer, asked) = match select(Box::pin(receiving), late).await {
            Either::Left((answer, _)) => (answer, messages),
            Either::Right(((), receiving)) => {
                // Another one may be made in its place, by a connection that is not as dead as this one may be.
                self.is_late(messages);
                (receiving.await, 0)
            }
        };
        let answer = match answer {
            Ok(taken) => Ok(self.lease(taken, sent, hide).await),
            Err(error) => Err(error),
        };
        let given_back = match answer {
            // Another one was answered since: it was the connection.
            Err(_) if asked == 0 && lock(&self.state).answered != answered => Vec::new(),
            answer => self.arrived(asked, answer),
        };
        self.news.notify_one();
        if !given_back.is_empty() {
            self.give_back_now(given_back).await;
        }
    }

    /// Notes that a request for so many messages may never be answered.
    fn is_late(&self, messages: usize) {
        let mut state = lock(&self.state);
        state.requests -= 1;
        state.asked -= messages;
        state.last = Last::Some;
        drop(state);
        self.news.notify_one();
    }

    /// Notes what a request for so many messages brought, none where it was given up; what is to be given back.
    fn arrived(
        self: &Arc<Self>,
        messages: usize,
        answer: Result<Vec<Delivery>, Error>,
    ) -> Vec<Delivery> {
        let mut given_back = Vec::new();
        let mut state = lock(&self.state);
        if messages > 0 {
            state.requests -= 1;
            state.asked -= messages;
        }
        match answer {
            Ok(mut deliveries) => {
                let came = deliveries.len();
                state.failures = 0;
                state.answered += 1;
                // The server often brings a little less than there is.
                state.last = match came {
                    0 => Last::Nothing,
                    came if came * 2 < messages => Last::Some,
                    _ => Last::Full,
                };
                state.wanted = match state.last {
                    Last::Full => (state.wanted * 2).min(MOST),
                    Last::Some | Last::Nothing => 1,
                };
                let is_open = self.shared.gate.check_open().is_ok();
                if state.stopped || !is_open {
                    given_back = deliveries;
                } else {
                    // Two may have been asked for the same room, when one was late.
                    let kept = came.saturating_sub(self.credit.excess());
                    given_back = deliveries.split_off(kept);
                    state.ready.extend(deliveries);
                }
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                // After a broken line, what comes may go to the old request for a while.
                state.last = Last::Some;
                state.wanted = 1;
                state.failure = Some(error);
            }
        }
        if !state.ready.is_empty() && !state.watched {
            state.watched = true;
            self.watch();
        }
        given_back
    }

    /// Makes deliveries of what was taken. Where the lease is longer than the time for the handover, or may have
    /// begun long ago, it is made anew before anybody relies on it.
    async fn lease(&self, taken: Vec<Taken>, sent: Tick, hidden: Duration) -> Vec<Delivery> {
        let lease = self.spec.lease;
        let took = self.now().since(sent);
        let is_whole = hidden >= lease + GRACE && took <= lease / 8;
        let hard_limit = sent + super::MAX_LEASE;
        if is_whole {
            let until = sent + lease;
            let deliver = |taken: Taken| self.deliver(taken, until, hard_limit);
            return taken.into_iter().map(deliver).collect();
        }
        let again = self.now();
        let until = again + lease;
        let queue = &self.spec.queue;
        let leased = taken.into_iter().map(async |taken| {
            let hidden = settle::hide(&self.shared, queue, taken.handle.clone(), lease + GRACE);
            // What could not be leased comes again after the time for the handover.
            hidden.await.ok().map(|()| taken)
        });
        let leased = futures::future::join_all(leased).await;
        let in_time = self.now().since(again) < hidden;
        let leased = leased.into_iter().flatten().filter(|_| in_time);
        leased
            .map(|taken| self.deliver(taken, until, hard_limit))
            .collect()
    }

    fn deliver(&self, taken: Taken, until: Tick, hard_limit: Tick) -> Delivery {
        let until = until.min(hard_limit);
        let shared = &self.shared;
        let held = taken.held(&self.spec.queue, (until, hard_limit), &self.credit);
        let number = shared.deliveries.add(held, self.now());
        let receipt = receipt::receipt(shared.number, number);
        taken.delivery(&self.spec.queue, receipt, (until, hard_limit))
    }

    /// Takes nothing more and gives back what is here.
    pub(super) async fn stop(&self) {
        self.give_back_now(self.halt()).await;
    }

    /// Takes nothing more; what is here.
    pub(super) fn halt(&self) -> Vec<Delivery> {
        let mut state = lock(&self.state);
        state.stopped = true;
        state.ready.drain(..).collect()
    }

    /// Gives back deliveries that nobody saw.
    pub(super) async fn give_back_now(&self, deliveries: Vec<Delivery>) {
        let receipts = deliveries.into_iter().map(|delivery| delivery.receipt);
        give_back(&self.shared, receipts.collect()).await;
    }

    /// Looks after what is kept here: what nobody asks for is given back in time.
    fn watch(self: &Arc<Self>) {
        let kept = (self.spec.lease / 2).min(KEPT);
        let env = Arc::clone(&self.shared.env);
        let poller: Weak<Self> = Arc::downgrade(self);
        let watch = async move {
            loop {
                env.sleep(kept).await;
                let Some(poller) = poller.upgrade() else {
                    return;
                };
                let (old, more) = poller.unclaimed(kept);
                poller.give_back_now(old).await;
                if !more {
                    return;
                }
            }
        };
        self.shared.env.spawn_isolated("sqs-watch", Box::pin(watch));
    }

    /// What was kept for so long, and whether there is more.
    fn unclaimed(&self, kept: Duration) -> (Vec<Delivery>, bool) {
        let left = self.spec.lease.saturating_sub(kept);
        let end = self.now() + left;
        let mut state = lock(&self.state);
        let (old, rest): (Vec<_>, VecDeque<_>) = {
            let is_old = |delivery: &Delivery| delivery.lease.until <= end;
            let all = std::mem::take(&mut state.ready);
            let (old, rest): (VecDeque<_>, VecDeque<_>) = all.into_iter().partition(is_old);
            (old.into(), rest)
        };
        state.ready = rest;
        state.watched = !state.ready.is_empty();
        (old, state.watched)
    }
}

/// Gives back deliveries, as if nobody had taken them.
pub(super) async fn give_back(shared: &Arc<Shared>, receipts: Vec<Receipt>) {
    let settle = |receipt| bananas_core::Settle {
        receipt,
        settlement: bananas_core::Settlement::Release {
            delay: Duration::ZERO,
        },
    };
    let settled = settle::settle(shared, receipts.into_iter().map(settle).collect()).await;
    for error in settled.into_iter().filter_map(Result::err) {
        tracing::warn!(%error, "a message could not be given back; it is ready when its lease ends");
    }
}
