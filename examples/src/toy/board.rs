//! All queues and messages, and every move a message can make.
//!
//! A move is an [`Event`]: the log keeps the events, and applying them one after the other again makes the same
//! board. That a lease or a delay is over is no event; the time says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{QueueName, Tick, Timestamp};
use serde::{Deserialize, Serialize};

use super::protocol::{End, Message};
use super::queue::{Entry, Holding, Queue, Spot};

/// A queue of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) namespace: Arc<str>,
    pub(super) queue: QueueName,
}

/// What the clocks show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall: Timestamp,
    pub(super) tick: Tick,
    /// How long ago an event was that is read from the log; zero for one that happens now.
    pub(super) age: Duration,
}

/// A move. Messages have the numbers 1, 2, 3… in the order of `Put`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Event {
    /// The log was begun; the number names it.
    Born(u64),
    Ensured(Place, String),
    Deleted(Place),
    Put(Place, Message),
    Delivered {
        message: u64,
        consumer: u64,
        poll: u64,
        lease: Duration,
    },
    Extended(u64, Duration),
    Settled(u64, End),
    /// Given back by a consumer that never handed it out, so it was not delivered.
    Returned(u64),
    Redriven(u64),
    Removed(u64),
}

#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) birth: u64,
    pub(super) queues: BTreeMap<Place, Queue>,
    pub(super) entries: HashMap<u64, Entry>,
    /// What each consumer holds: the poll that took it, and the message.
    pub(super) held: HashMap<u64, BTreeSet<(u64, u64)>>,
    messages: u64,
    deliveries: u64,
    turns: u64,
}

impl Board {
    pub(super) fn apply(&mut self, event: Event, now: Now) {
        match event {
            Event::Born(birth) => self.birth = birth,
            Event::Ensured(place, incarnation) => {
                let queue = || Queue::new(incarnation);
                self.queues.entry(place).or_insert_with(queue);
            }
            Event::Deleted(place) => self.delete(&place),
            Event::Put(place, message) => self.add(place, message, now),
            Event::Delivered {
                message,
                consumer,
                poll,
                lease,
            } => {
                self.deliveries += 1;
                let holding = Holding {
                    delivery: self.deliveries,
                    consumer,
                    poll,
                    until: (now.tick + lease).as_micros(),
                };
                self.change(message, |entry| {
                    entry.deliveries = entry.deliveries.saturating_add(1);
                    entry.spot = Spot::Leased(holding);
                });
            }
            Event::Extended(message, lease) => self.change(message, |entry| {
                if let Spot::Leased(holding) = &mut entry.spot {
                    holding.until = (now.tick + lease).as_micros();
                }
            }),
            Event::Settled(message, end) => self.settle(message, end, now),
            Event::Returned(message) => self.change(message, |entry| {
                entry.deliveries = entry.deliveries.saturating_sub(1);
                entry.spot = Spot::Ready;
            }),
            Event::Redriven(message) => {
                let turn = self.turn();
                self.change(message, |entry| {
                    (entry.turn, entry.deliveries, entry.spot) = (turn, 0, Spot::Ready);
                });
            }
            Event::Removed(message) => drop(self.take_out(message)),
        }
    }

    /// Makes ready what waits no longer.
    pub(super) fn refresh(&mut self, place: &Place, now: Now) {
        let due = self
            .queues
            .get(place)
            .map(|queue| queue.due(micros(now.wall), now.tick.as_micros()));
        for number in due.into_iter().flatten() {
            self.change(number, |entry| entry.spot = Spot::Ready);
        }
    }

    fn delete(&mut self, place: &Place) {
        let all = self.queues.get(place).map(Queue::all);
        for number in all.into_iter().flatten() {
            self.take_out(number);
        }
        // Whoever waits for this queue has just been woken and learns that it is gone.
        self.queues
            .remove(place)
            .inspect(|queue| queue.bell.notify_waiters());
    }

    fn add(&mut self, place: Place, message: Message, now: Now) {
        self.messages += 1;
        let entry = Entry {
            place,
            turn: self.turn(),
            deliveries: 0,
            spot: spot_of(&message, Duration::ZERO, now),
            message,
        };
        self.put(self.messages, entry);
    }

    fn settle(&mut self, number: u64, end: End, now: Now) {
        let turn = self.turn();
        match end {
            End::Ack => drop(self.take_out(number)),
            End::Release(delay) => self.change(number, |entry| entry.spot = spot_after(delay, now)),
            End::Retry(delay, message) => self.change(number, |entry| {
                entry.spot = spot_of(&message, delay, now);
                (entry.turn, entry.deliveries, entry.message) = (turn, 0, *message);
            }),
            End::Dead(reason, message) => self.change(number, |entry| {
                (entry.turn, entry.spot) = (turn, Spot::Dead(reason));
                if let Some(message) = message {
                    entry.message = *message;
                }
            }),
        }
    }

    fn turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    fn change(&mut self, number: u64, how: impl FnOnce(&mut Entry)) {
        if let Some(mut entry) = self.take_out(number) {
            how(&mut entry);
            self.put(number, entry);
        }
    }

    fn put(&mut self, number: u64, entry: Entry) {
        if let Some(queue) = self.queues.get_mut(&entry.place) {
            queue.put(number, &entry);
            if let Spot::Leased(holding) = &entry.spot {
                let held = self.held.entry(holding.consumer).or_default();
                held.insert((holding.poll, number));
            }
            self.entries.insert(number, entry);
        }
    }

    fn take_out(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        if let Some(queue) = self.queues.get_mut(&entry.place) {
            queue.take_out(&entry);
        }
        if let Spot::Leased(holding) = &entry.spot
            && let Some(held) = self.held.get_mut(&holding.consumer)
        {
            held.remove(&(holding.poll, number));
            if held.is_empty() {
                self.held.remove(&holding.consumer);
            }
        }
        Some(entry)
    }
}

/// Where a message waits that comes now, not to be delivered before its own time nor before the delay.
fn spot_of(message: &Message, delay: Duration, now: Now) -> Spot {
    match message.not_before {
        Some(at) if at > now.wall + delay => Spot::Until(micros(at)),
        _ => spot_after(delay, now),
    }
}

fn spot_after(delay: Duration, now: Now) -> Spot {
    match delay.saturating_sub(now.age) {
        Duration::ZERO => Spot::Ready,
        left => Spot::After((now.tick + left).as_micros()),
    }
}

/// Microseconds since 1970; before that, 0.
pub(super) fn micros(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(0)
}
