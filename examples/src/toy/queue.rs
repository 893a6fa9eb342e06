//! One queue: its messages by where they are, in the order in which they leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use bananas_core::{Bucket, QueueName};
use tokio::sync::Notify;

use super::board::Place;
use super::protocol::{Counts, Message};

/// A message in the server, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) message: Message,
    /// Its turn among equals; kept while it is delivered, so that one given back has its old place.
    pub(super) turn: u64,
    pub(super) deliveries: u32,
    pub(super) spot: Spot,
}

/// Where a message is. Times are microseconds: of the wall clock for `Until`, else of the monotonic one.
#[derive(Clone, Debug)]
pub(super) enum Spot {
    Ready,
    /// Waits for a time that its publisher named.
    Until(u64),
    /// Waits for a delay to pass.
    After(u64),
    Leased(Holding),
    Dead(String),
}

/// A delivery under its lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holding {
    pub(super) delivery: u64,
    pub(super) consumer: u64,
    pub(super) poll: u64,
    pub(super) until: u64,
}

/// The messages at one kind of spot: first what decides who is next, then the turn.
pub(super) type Shelf = BTreeMap<(u64, u64), u64>;

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) incarnation: String,
    pub(super) ready: Shelf,
    pub(super) until: Shelf,
    pub(super) after: Shelf,
    pub(super) leased: Shelf,
    pub(super) dead: Shelf,
    /// Rung when a message came or went.
    pub(super) bell: Arc<Notify>,
}

impl Queue {
    pub(super) fn new(incarnation: String) -> Self {
        Self {
            incarnation,
            ready: Shelf::new(),
            until: Shelf::new(),
            after: Shelf::new(),
            leased: Shelf::new(),
            dead: Shelf::new(),
            bell: Arc::new(Notify::new()),
        }
    }

    fn shelf(&mut self, entry: &Entry) -> (&mut Shelf, (u64, u64)) {
        let urgency = u64::from(u8::MAX - entry.message.priority.get());
        let (shelf, first) = match entry.spot {
            Spot::Ready => (&mut self.ready, urgency),
            Spot::Until(at) => (&mut self.until, at),
            Spot::After(tick) => (&mut self.after, tick),
            Spot::Leased(holding) => (&mut self.leased, holding.until),
            Spot::Dead(_) => (&mut self.dead, entry.turn),
        };
        (shelf, (first, entry.turn))
    }

    pub(super) fn put(&mut self, number: u64, entry: &Entry) {
        let (shelf, key) = self.shelf(entry);
        shelf.insert(key, number);
        self.bell.notify_waiters();
    }

    pub(super) fn take_out(&mut self, entry: &Entry) {
        let (shelf, key) = self.shelf(entry);
        shelf.remove(&key);
        self.bell.notify_waiters();
    }

    /// The messages whose lease or delay is over.
    pub(super) fn due(&self, wall: u64, tick: u64) -> Vec<u64> {
        let shelves = [
            (&self.leased, tick),
            (&self.after, tick),
            (&self.until, wall),
        ];
        let due = shelves
            .into_iter()
            .flat_map(|(shelf, now)| shelf.range(..=(now, u64::MAX)));
        due.map(|(_, number)| *number).collect()
    }

    /// How many microseconds until the next lease or delay is over.
    pub(super) fn next_in(&self, wall: u64, tick: u64) -> Option<u64> {
        let shelves = [
            (&self.leased, tick),
            (&self.after, tick),
            (&self.until, wall),
        ];
        let next =
            |(shelf, now): (&Shelf, u64)| Some(shelf.first_key_value()?.0.0.saturating_sub(now));
        shelves.into_iter().filter_map(next).min()
    }

    /// The messages of a bucket, in their order.
    pub(super) fn bucket(&self, bucket: Bucket) -> Vec<u64> {
        let shelves: &[&Shelf] = match bucket {
            Bucket::Ready => &[&self.ready],
            Bucket::Delayed => &[&self.until, &self.after],
            Bucket::Dead => &[&self.dead],
        };
        shelves
            .iter()
            .flat_map(|shelf| shelf.values())
            .copied()
            .collect()
    }

    /// All messages.
    pub(super) fn all(&self) -> Vec<u64> {
        let shelves = [
            &self.ready,
            &self.until,
            &self.after,
            &self.leased,
            &self.dead,
        ];
        shelves
            .into_iter()
            .flat_map(Shelf::values)
            .copied()
            .collect()
    }

    pub(super) fn counts(&self, queue: &QueueName) -> Counts {
        let delayed = self.until.len() + self.after.len();
        let lengths = [
            self.ready.len(),
            self.leased.len(),
            delayed,
            self.dead.len(),
        ];
        let counts = lengths.map(|length| length as u64);
        (queue.clone(), counts, self.incarnation.clone())
    }
}
