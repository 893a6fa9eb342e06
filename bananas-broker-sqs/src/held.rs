//! What this client holds: the deliveries that were not settled yet, and whose credit they use. SQS tells nobody
//! whether a receipt is still worth anything, so that the clock here decides.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bananas_core::{QueueName, RawMessage, Tick};
use tokio::sync::Notify;

/// How many settled deliveries are remembered, to tell them from lost ones.
const REMEMBERED: usize = 10_000;

/// One delivery that is out.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) queue: QueueName,
    /// The server's word for the delivery.
    pub(crate) handle: String,
    /// For the dead queue, to which the server moves nothing on demand.
    pub(crate) message: RawMessage,
    pub(crate) until: Tick,
    pub(crate) hard_limit: Tick,
    /// The replacement was sent already, and only the delivery was not deleted yet.
    pub(crate) replaced: bool,
    /// Whose credit it uses.
    pub(crate) owner: Arc<Credit>,
}

/// The credit of one consumer.
#[derive(Debug)]
pub(crate) struct Credit {
    limit: usize,
    used: Mutex<HashMap<u64, Tick>>,
    /// Rung when there is more room.
    pub(crate) freed: Notify,
}

/// What is known of a delivery.
#[derive(Debug)]
pub(crate) enum Known {
    Held(Box<Held>),
    Settled,
    Lost,
}

/// All deliveries of a client.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    held: HashMap<u64, Held>,
    settled: HashSet<u64>,
    settled_in_order: VecDeque<u64>,
    /// How many may be held before those are looked for whose lease ended.
    look_at: usize,
}

impl Deliveries {
    /// Notes a delivery and answers its number.
    pub(crate) fn add(&self, held: Held, now: Tick) -> u64 {
        let mut table = lock(&self.0);
        if table.held.len() >= table.look_at {
            table.held.retain(|_, held| held.until > now);
            table.look_at = (table.held.len() * 2).max(1_000);
        }
        table.next += 1;
        let number = table.next;
        held.owner.take(number, held.until);
        table.held.insert(number, held);
        number
    }

    pub(crate) fn look(&self, number: u64, now: Tick) -> Known {
        let mut table = lock(&self.0);
        match table.held.get(&number) {
            Some(held) if held.until > now => Known::Held(Box::new(held.clone())),
            Some(_) => {
                table.drop_held(number);
                Known::Lost
            }
            None if table.settled.contains(&number) => Known::Settled,
            None => Known::Lost,
        }
    }

    pub(crate) fn settled(&self, number: u64) {
        let mut table = lock(&self.0);
        table.drop_held(number);
        if table.settled.insert(number) {
            table.settled_in_order.push_back(number);
        }
        if table.settled_in_order.len() > REMEMBERED
            && let Some(oldest) = table.settled_in_order.pop_front()
        {
            table.settled.remove(&oldest);
        }
    }

    /// Somebody else has it, or will.
    pub(crate) fn lost(&self, number: u64) {
        lock(&self.0).drop_held(number);
    }

    pub(crate) fn replaced(&self, number: u64) {
        if let Some(held) = lock(&self.0).held.get_mut(&number) {
            held.replaced = true;
        }
    }

    pub(crate) fn extended(&self, number: u64, until: Tick) {
        if let Some(held) = lock(&self.0).held.get_mut(&number) {
            held.until = until;
            held.owner.take(number, until);
        }
    }
}

impl Table {
    fn drop_held(&mut self, number: u64) {
        if let Some(held) = self.held.remove(&number) {
            held.owner.give_back(number);
        }
    }
}

impl Credit {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            used: Mutex::default(),
            freed: Notify::new(),
        }
    }

    fn take(&self, number: u64, until: Tick) {
        lock(&self.used).insert(number, until);
    }

    fn give_back(&self, number: u64) {
        if lock(&self.used).remove(&number).is_some() {
            self.freed.notify_one();
        }
    }

    /// How many were taken beyond the limit.
    pub(crate) fn excess(&self) -> usize {
        lock(&self.used).len().saturating_sub(self.limit)
    }

    /// How many more may be taken beside those that are `asked` for already; if none, when the first lease ends.
    pub(crate) fn room(&self, asked: usize, now: Tick) -> Result<usize, Option<Tick>> {
        let mut used = lock(&self.used);
        if used.len() + asked >= self.limit {
            used.retain(|_, until| *until > now);
        }
        match self.limit.saturating_sub(used.len() + asked) {
            0 => Err(used.values().min().copied()),
            room => Ok(room),
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn held(owner: &Arc<Credit>, until: u64) -> Held {
        Held {
            queue: "mail".parse().unwrap(),
            handle: "handle".to_owned(),
            message: RawMessage::without_id(Bytes::new()),
            until: Tick::from_micros(until),
            hard_limit: Tick::from_micros(1_000),
            replaced: false,
            owner: Arc::clone(owner),
        }
    }

    #[test]
    fn a_settled_and_a_lapsed_delivery_are_told_apart_and_make_room() {
        let deliveries = Deliveries::default();
        let credit = Arc::new(Credit::new(2));
        let tick = Tick::from_micros;
        let one = deliveries.add(held(&credit, 10), tick(0));
        let other = deliveries.add(held(&credit, 20), tick(0));
        assert_eq!(credit.room(0, tick(1)), Err(Some(tick(10))));
        deliveries.extended(one, tick(30));
        assert_eq!(credit.room(0, tick(15)), Err(Some(tick(20))));
        assert!(matches!(deliveries.look(other, tick(20)), Known::Lost));
        assert_eq!(credit.room(0, tick(21)), Ok(1));
        assert_eq!(credit.room(1, tick(21)), Err(Some(tick(30))));
        assert!(matches!(deliveries.look(one, tick(29)), Known::Held(_)));
        deliveries.settled(one);
        assert!(matches!(deliveries.look(one, tick(29)), Known::Settled));
        assert_eq!(credit.room(0, tick(29)), Ok(2));
        assert!(matches!(deliveries.look(99, tick(0)), Known::Lost));
    }

    #[test]
    fn only_so_many_deliveries_are_remembered() {
        let deliveries = Deliveries::default();
        let credit = Arc::new(Credit::new(u32::MAX));
        let numbers: Vec<u64> = (0..=REMEMBERED)
            .map(|_| deliveries.add(held(&credit, 10), Tick::from_micros(0)))
            .collect();
        numbers
            .iter()
            .for_each(|number| deliveries.settled(*number));
        let now = Tick::from_micros(0);
        assert!(matches!(deliveries.look(numbers[0], now), Known::Lost));
        assert!(matches!(deliveries.look(numbers[1], now), Known::Settled));
        assert_eq!(lock(&deliveries.0).settled.len(), REMEMBERED);
    }
}
