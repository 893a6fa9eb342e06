//! What a consumer, its pump and those who settle share: the deliveries in the buffer and those in hands.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bananas_core::{
    ConsumerSpec, Delivery, DeliveryCount, Env, Lease, QueueName, RawMessage, Receipt, Tick,
};
use tokio::sync::Notify;

use crate::error::Error;
use crate::receipt::Token;
use crate::session::Session;

/// How long after the last reserve a consumer keeps what comes unasked.
pub(crate) const REST: Duration = Duration::from_millis(250);

/// How long after a tap was opened what is ready has come.
const LOOK: Duration = Duration::from_millis(50);

/// What a consumer, its pump and those who settle share.
pub(crate) struct Desk {
    pub(crate) id: u64,
    pub(crate) spec: ConsumerSpec,
    pub(crate) env: Arc<dyn Env>,
    client: u64,
    /// How long a delivery may be out in all.
    total: Duration,
    state: Mutex<State>,
    /// Something for the pump to do.
    pub(crate) pump: Notify,
    /// Something for the consumer to look at.
    pub(crate) taker: Notify,
}

#[derive(Default)]
struct State {
    buffer: VecDeque<Arrived>,
    held: HashMap<u64, Held>,
    /// No lease is over before, where one is held.
    first_end: Option<Tick>,
    next: u64,
    /// How many deliveries a reserve that waits would take.
    demand: Option<usize>,
    /// Until when it may rest before it gives back.
    rest_until: Tick,
    /// Since when the tap is open.
    tapped: Option<Tick>,
    trouble: Option<Error>,
    is_stopping: bool,
    has_stopped: bool,
}

/// A delivery that nobody has asked for yet.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) session: Arc<Session>,
    pub(crate) tag: u64,
    pub(crate) message: RawMessage,
    pub(crate) at: Tick,
}

/// A delivery in somebody's hands.
#[derive(Debug)]
struct Held {
    session: Arc<Session>,
    tag: u64,
    message: RawMessage,
    arrived: Tick,
    until: Tick,
    hard_limit: Tick,
    is_ending: bool,
}

/// What one needs to settle a delivery.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) session: Arc<Session>,
    pub(crate) tag: u64,
    pub(crate) message: RawMessage,
}

/// What the pump should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Let so many deliveries come.
    Take(usize),
    /// Leave it as it is, at most until then.
    Wait(Option<Tick>),
    /// Let nothing come, and give back what came unasked.
    Rest,
    /// The same, for good. The flag says whether somebody still holds a delivery.
    Stop { is_held: bool },
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desk({}, {:?})", self.id, self.spec.queue)
    }
}

impl Desk {
    pub(crate) fn new(
        spec: ConsumerSpec,
        env: &Arc<dyn Env>,
        (client, id): (u64, u64),
        total: Duration,
    ) -> Self {
        Self {
            id,
            spec,
            env: Arc::clone(env),
            client,
            total,
            state: Mutex::default(),
            pump: Notify::new(),
            taker: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queue(&self) -> &QueueName {
        &self.spec.queue
    }

    /// Says how many deliveries would be taken now; `None` when nobody waits any more.
    pub(crate) fn demand(&self, max: Option<usize>) {
        let mut state = self.state();
        let was = std::mem::replace(&mut state.demand, max);
        if max.is_none() {
            state.rest_until = self.env.monotonic() + REST;
        }
        drop(state);
        if was != max {
            self.pump.notify_one();
        }
    }

    /// Hands out at most so many deliveries that are there.
    pub(crate) fn take(&self, max: usize) -> Result<Vec<Delivery>, Error> {
        let now = self.env.monotonic();
        let mut state = self.state();
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(arrived) = state.buffer.pop_front() else {
                break;
            };
            if arrived.session.is_alive() {
                taken.push(self.hand_out(&mut state, arrived, now));
            }
        }
        if !taken.is_empty() {
            return Ok(taken);
        }
        let lasts = |e: &mut Error| e.is_permanent();
        match state.trouble.take_if(lasts) {
            Some(trouble) => Err(trouble),
            None => Ok(taken),
        }
    }

    fn hand_out(&self, state: &mut State, arrived: Arrived, now: Tick) -> Delivery {
        let hard_limit = arrived.at + self.total;
        let until = (now + self.spec.lease).min(hard_limit);
        let number = state.next;
        state.next += 1;
        let held = Held {
            session: arrived.session,
            tag: arrived.tag,
            message: arrived.message.clone(),
            arrived: arrived.at,
            until,
            hard_limit,
            is_ending: false,
        };
        state.held.insert(number, held);
        state.ends_at(until);
        let token = Token {
            client: self.client,
            consumer: self.id,
            number,
        };
        let lease = Lease {
            until,
            hard_limit: Some(hard_limit),
        };
        let receipt = Receipt::new(token.bytes());
        let queue = self.spec.queue.clone();
        Delivery::new(queue, arrived.message, receipt, lease).counted(DeliveryCount::AtLeast(1))
    }

    /// Takes deliveries back that the caller did not wait for; they are the next ones again.
    pub(crate) fn put_back(&self, deliveries: Vec<Delivery>) {
        let mut state = self.state();
        for delivery in deliveries.into_iter().rev() {
            let number = Token::of(&delivery.receipt, self.client).map(|token| token.number);
            let held = number.ok().and_then(|number| state.held.remove(&number));
            if let Some(held) = held {
                let at = held.arrived;
                state.buffer.push_front(Arrived {
                    session: held.session,
                    tag: held.tag,
                    message: held.message,
                    at,
                });
            }
        }
    }

    /// Whether more may come for a reserve that has got so many of `max`.
    pub(crate) fn may_bring_more(&self, got: usize, max: usize) -> bool {
        got < max && self.state().out() < self.credit()
    }

    fn credit(&self) -> usize {
        usize::try_from(self.spec.credit).unwrap_or(usize::MAX)
    }

    /// How many more may be out.
    pub(crate) fn room(&self) -> usize {
        self.credit().saturating_sub(self.state().out())
    }

    /// The tap is open now, or shut.
    pub(crate) fn is_tapped(&self, since: Option<Tick>) {
        self.state().tapped = since;
    }

    /// Whether that nothing came means that nothing is there.
    pub(crate) fn has_looked(&self) -> bool {
        let now = self.env.monotonic();
        let state = self.state();
        let is_over = |since: Tick| now >= since + LOOK;
        state.trouble.is_some() || state.out() >= self.credit() || state.tapped.is_some_and(is_over)
    }

    /// Why nothing comes, if that is known.
    pub(crate) fn trouble(&self) -> Option<Error> {
        self.state().trouble.clone()
    }

    /// The pump has trouble, or none any more.
    pub(crate) fn has_trouble(&self, trouble: Option<Error>) {
        let wakes = trouble.as_ref().is_some_and(Error::is_permanent);
        self.state().trouble = trouble;
        if wakes {
            self.taker.notify_one();
        }
    }

    /// A delivery came.
    pub(crate) fn arrived(&self, arrived: Arrived) {
        self.state().buffer.push_back(arrived);
    }

    /// What the pump should do.
    pub(crate) fn need(&self, now: Tick) -> Need {
        let state = self.state();
        if state.is_stopping {
            let is_held = !state.held.is_empty();
            return Need::Stop { is_held };
        }
        match state.demand {
            Some(max) => {
                let room = self.credit().saturating_sub(state.out());
                match room.min(max.saturating_sub(state.buffer.len())) {
                    0 => Need::Wait(None),
                    more => Need::Take(more),
                }
            }
            None if now < state.rest_until => Need::Wait(Some(state.rest_until)),
            None => Need::Rest,
        }
    }

    /// Takes out what came unasked.
    pub(crate) fn unasked(&self) -> Vec<Arrived> {
        self.state().buffer.drain(..).collect()
    }

    /// Takes out the deliveries whose lease is over and that nobody is settling.
    pub(crate) fn lapsed(&self, now: Tick) -> Vec<(Arc<Session>, u64)> {
        let mut state = self.state();
        // Not each time: it looks at every one of them.
        if state.first_end.is_none_or(|end| now < end) {
            return Vec::new();
        }
        let lapsed = |held: &Held| held.until <= now && !held.is_ending;
        let lapsed = state.held.extract_if(|_, held| lapsed(held));
        let lapsed = lapsed.map(|(_, held)| (held.session, held.tag)).collect();
        let held = state.held.values().filter(|held| !held.is_ending);
        state.first_end = held.map(|held| held.until).min();
        lapsed
    }

    /// When the next lease is over, or a little earlier.
    pub(crate) fn next_end(&self) -> Option<Tick> {
        self.state().first_end
    }

    /// Begins to settle a delivery; `None` when its lease is lost.
    pub(crate) fn begin(&self, number: u64) -> Option<Ending> {
        let now = self.env.monotonic();
        let mut state = self.state();
        let held = state.held.get_mut(&number)?;
        if held.is_ending || held.until <= now {
            return None;
        }
        if !held.session.is_alive() {
            state.held.remove(&number);
            return None;
        }
        held.is_ending = true;
        Some(Ending {
            session: Arc::clone(&held.session),
            tag: held.tag,
            message: held.message.clone(),
        })
    }

    /// A settlement came to nothing: the delivery is held as before.
    pub(crate) fn hold_on(&self, number: u64) {
        let mut state = self.state();
        if let Some(held) = state.held.get_mut(&number) {
            held.is_ending = false;
            let until = held.until;
            state.ends_at(until);
        }
        drop(state);
        self.pump.notify_one();
    }

    /// The delivery is no longer ours.
    pub(crate) fn ended(&self, numbers: &[u64]) {
        let mut state = self.state();
        for number in numbers {
            state.held.remove(number);
        }
        drop(state);
        self.pump.notify_one();
        self.taker.notify_one();
    }

    /// Makes a lease last this long from now.
    pub(crate) fn extend(&self, number: u64, lease: Duration) -> Result<Lease, Error> {
        let now = self.env.monotonic();
        let mut state = self.state();
        let held = state.held.get_mut(&number).ok_or(Error::LeaseLost)?;
        if held.is_ending || held.until <= now || !held.session.is_alive() {
            return Err(Error::LeaseLost);
        }
        if now + lease > held.hard_limit {
            let (asked, total) = (lease, self.total);
            return Err(Error::LeaseTotal { asked, total });
        }
        held.until = now + lease;
        let (until, hard_limit) = (held.until, Some(held.hard_limit));
        // A lease can be made shorter, too.
        state.ends_at(until);
        drop(state);
        self.pump.notify_one();
        Ok(Lease { until, hard_limit })
    }

    /// From here on nothing comes any more.
    pub(crate) fn stop(&self) {
        self.state().is_stopping = true;
        self.pump.notify_one();
        self.taker.notify_one();
    }

    /// Lets everybody look again.
    pub(crate) fn wake(&self) {
        self.pump.notify_one();
        self.taker.notify_one();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.state().is_stopping
    }

    /// All that came unasked was given back.
    pub(crate) fn has_given_back(&self) {
        self.state().has_stopped = true;
        self.taker.notify_one();
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.state().has_stopped
    }
}

impl State {
    fn out(&self) -> usize {
        self.held.len() + self.buffer.len()
    }

    /// A lease that is held is over then.
    fn ends_at(&mut self, until: Tick) {
        self.first_end = Some(self.first_end.map_or(until, |end| end.min(until)));
    }
}
