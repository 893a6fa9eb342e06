//! How many deliveries each consumer of this engine may still take. Kept here and not by the server: what an
//! engine's consumers took is settled through the same engine; what is settled elsewhere frees its credit when
//! the lease would have ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bananas_core::Tick;
use tokio::sync::Notify;

use super::receipt::Claimed;

/// The credit of all consumers of an engine, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Credits(Mutex<HashMap<u64, Weak<Credit>>>);

/// The credit of one consumer.
#[derive(Debug)]
pub(super) struct Credit {
    limit: usize,
    held: Mutex<HashMap<Vec<u8>, Tick>>,
    /// Rung when there is more room.
    pub(super) freed: Notify,
}

impl Credits {
    pub(super) fn open(&self, consumer: u64, limit: u32) -> Arc<Credit> {
        let credit = Arc::new(Credit {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            held: Mutex::default(),
            freed: Notify::new(),
        });
        let mut all = lock(&self.0);
        all.retain(|_, credit| credit.strong_count() > 0);
        all.insert(consumer, Arc::downgrade(&credit));
        credit
    }

    fn of(&self, claimed: &Claimed) -> Option<Arc<Credit>> {
        lock(&self.0).get(&claimed.consumer)?.upgrade()
    }

    /// The delivery is nobody's any more, or somebody else's.
    pub(super) fn settled(&self, claimed: &Claimed) {
        if let Some(credit) = self.of(claimed) {
            credit.give_back(&claimed.held);
        }
    }

    pub(super) fn extended(&self, claimed: &Claimed, until: Tick) {
        if let Some(credit) = self.of(claimed)
            && let Some(end) = lock(&credit.held).get_mut(&claimed.held)
        {
            *end = until;
        }
    }
}

impl Credit {
    pub(super) fn take(&self, held: Vec<u8>, until: Tick) {
        lock(&self.held).insert(held, until);
    }

    pub(super) fn give_back(&self, held: &[u8]) {
        if lock(&self.held).remove(held).is_some() {
            self.freed.notify_one();
        }
    }

    /// How many more may be taken; if none, when the first lease ends.
    pub(super) fn room(&self, now: Tick) -> Result<usize, Option<Tick>> {
        let mut held = lock(&self.held);
        if held.len() >= self.limit {
            held.retain(|_, until| *until > now);
        }
        match self.limit.saturating_sub(held.len()) {
            0 => Err(held.values().min().copied()),
            room => Ok(room),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settled_and_a_lapsed_delivery_make_room() {
        let credits = Credits::default();
        let credit = credits.open(1, 2);
        let claimed = |name: &str| Claimed {
            consumer: 1,
            queue: "mail".parse().unwrap(),
            held: name.into(),
        };
        let tick = Tick::from_micros;
        credit.take(claimed("a").held, tick(10));
        credit.take(claimed("b").held, tick(20));
        assert_eq!(credit.room(tick(1)), Err(Some(tick(10))));
        credits.extended(&claimed("a"), tick(30));
        assert_eq!(credit.room(tick(15)), Err(Some(tick(20))));
        assert_eq!(credit.room(tick(25)), Ok(1));
        credits.settled(&claimed("a"));
        assert_eq!(credit.room(tick(25)), Ok(2));
    }
}
