//! The messages of one queue by where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bananas_core::{Tick, Timestamp};
use tokio::sync::Notify;

use super::message::{Message, Spot};
use crate::line::Line;

/// The messages of one queue, by their numbers.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) ready: Line<u64>,
    pub(super) until: BTreeSet<(Timestamp, u64)>,
    pub(super) delayed: BTreeSet<(Tick, u64)>,
    pub(super) leases: BTreeSet<(Tick, u64)>,
    pub(super) dead: BTreeMap<u64, u64>,
    pub(super) incarnation: String,
    /// Rung when there may be something to take, or something to wait for earlier than before.
    pub(super) bell: Arc<Notify>,
}

impl Queue {
    pub(super) fn new(incarnation: String) -> Self {
        Self {
            ready: Line::new(),
            until: BTreeSet::new(),
            delayed: BTreeSet::new(),
            leases: BTreeSet::new(),
            dead: BTreeMap::new(),
            incarnation,
            bell: Arc::new(Notify::new()),
        }
    }

    /// Adds a message at its spot.
    pub(super) fn put(&mut self, number: u64, message: &Message) {
        match &message.spot {
            Spot::Ready => self.ready.insert(message.rank, number),
            Spot::Until(at) => drop(self.until.insert((*at, number))),
            Spot::For(tick) => drop(self.delayed.insert((*tick, number))),
            Spot::Leased(holding) => drop(self.leases.insert((holding.until, number))),
            Spot::Dead { place, .. } => drop(self.dead.insert(*place, number)),
        }
    }

    /// Takes a message away from its spot.
    pub(super) fn take_out(&mut self, number: u64, message: &Message) {
        match &message.spot {
            Spot::Ready => self.ready.remove(message.rank),
            Spot::Until(at) => drop(self.until.remove(&(*at, number))),
            Spot::For(tick) => drop(self.delayed.remove(&(*tick, number))),
            Spot::Leased(holding) => drop(self.leases.remove(&(holding.until, number))),
            Spot::Dead { place, .. } => drop(self.dead.remove(place)),
        }
    }

    /// A message whose lease has lapsed.
    pub(super) fn lapsed(&self, tick: Tick) -> Option<u64> {
        let (until, number) = self.leases.first().copied()?;
        (until <= tick).then_some(number)
    }

    /// A delayed message whose time has come, the earliest first.
    pub(super) fn due(&self, now: Timestamp, tick: Tick) -> Option<u64> {
        let due = self.until.first().filter(|(at, _)| *at <= now);
        let waited = || self.delayed.first().filter(|(at, _)| *at <= tick);
        due.map(|(_, number)| *number)
            .or_else(|| waited().map(|(_, number)| *number))
    }
}
