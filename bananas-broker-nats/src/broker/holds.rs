//! Which deliveries are out, by the consumers that took them, and until when each may be settled.
//!
//! The server does not notice that a settlement comes from somebody who lost the lease. So this client looks at
//! its own clock first, and says nothing to the server when the lease may be over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bananas_core::{Lease, QueueName, RawMessage, Tick};
use tokio::sync::Notify;

use crate::jetstream::Reply;
use crate::names::Names;

/// The deliveries that all consumers of an engine have out.
#[derive(Debug)]
pub(crate) struct Holds {
    consumers: Mutex<HashMap<u64, Arc<Out>>>,
    next: AtomicU64,
}

/// What one consumer has out.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) consumer: u64,
    limit: usize,
    held: Mutex<HashMap<u64, Held>>,
    /// Rung when there is more room.
    pub(super) freed: Notify,
}

/// A delivery that is out.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// Where the server hears of it.
    pub(super) reply: Reply,
    pub(super) queue: QueueName,
    pub(super) names: Arc<Names>,
    /// Its place in the stream.
    pub(super) sequence: u64,
    pub(super) message: RawMessage,
    pub(super) lease: Lease,
    /// Whether somebody settles it just now.
    pub(super) settling: bool,
}

impl Holds {
    pub(crate) fn new(first: u64) -> Self {
        Self {
            consumers: Mutex::default(),
            next: AtomicU64::new(first),
        }
    }

    /// A number that was not given before.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn open(&self, limit: u32, now: Tick) -> Arc<Out> {
        let out = Arc::new(Out {
            consumer: self.number(),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            held: Mutex::default(),
            freed: Notify::new(),
        });
        let mut all = lock(&self.consumers);
        // Receipts outlive their consumers, as long as their leases.
        all.retain(|_, out| Arc::strong_count(out) > 1 || out.is_any_leased(now));
        all.insert(out.consumer, Arc::clone(&out));
        out
    }

    pub(super) fn of(&self, consumer: u64) -> Option<Arc<Out>> {
        lock(&self.consumers).get(&consumer).cloned()
    }
}

impl Out {
    pub(super) fn take(&self, key: u64, held: Held) {
        lock(&self.held).insert(key, held);
    }

    /// The delivery, if its lease lasts and nobody settles it; from now on somebody does.
    pub(super) fn begin(&self, key: u64, now: Tick) -> Option<Held> {
        let mut all = lock(&self.held);
        let held = all.get_mut(&key)?;
        if held.lease.until <= now {
            all.remove(&key);
            self.freed.notify_one();
            return None;
        }
        if std::mem::replace(&mut held.settling, true) {
            return None;
        }
        Some(held.clone())
    }

    /// It could not be settled; one may try again.
    pub(super) fn give_up(&self, key: u64) {
        if let Some(held) = lock(&self.held).get_mut(&key) {
            held.settling = false;
        }
    }

    /// It is nobody's any more, or somebody else's.
    pub(super) fn end(&self, key: u64) {
        if lock(&self.held).remove(&key).is_some() {
            self.freed.notify_one();
        }
    }

    /// Where the server hears of the delivery, if its lease lasts.
    pub(super) fn reply(&self, key: u64, now: Tick) -> Option<Reply> {
        let all = lock(&self.held);
        let held = all.get(&key)?;
        (held.lease.until > now && !held.settling).then(|| held.reply.clone())
    }

    pub(super) fn extend(&self, key: u64, lease: Lease) {
        if let Some(held) = lock(&self.held).get_mut(&key) {
            held.lease = lease;
        }
    }

    /// How many more may be taken; if none, when the first lease ends.
    pub(super) fn room(&self, now: Tick) -> Result<usize, Option<Tick>> {
        let mut held = lock(&self.held);
        if held.len() >= self.limit {
            held.retain(|_, held| held.lease.until > now);
        }
        match self.limit.saturating_sub(held.len()) {
            0 => Err(held.values().map(|held| held.lease.until).min()),
            room => Ok(room),
        }
    }

    fn is_any_leased(&self, now: Tick) -> bool {
        lock(&self.held).values().any(|held| held.lease.until > now)
    }
}

/// A lease that began no earlier than `asked`, less what clocks and lines may differ by.
pub(super) fn lease(asked: Tick, lasts: Duration) -> Lease {
    Lease {
        until: asked + (lasts - lasts / 10),
        hard_limit: None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(until: u64) -> Held {
        let queue = "mail".parse().unwrap();
        Held {
            reply: Reply {
                subject: "reply".to_owned(),
                server: "server".into(),
            },
            names: Arc::new(Names::of("shop", &queue).unwrap()),
            queue,
            sequence: 1,
            message: RawMessage::without_id(bytes::Bytes::new()),
            lease: Lease {
                until: Tick::from_micros(until),
                hard_limit: None,
            },
            settling: false,
        }
    }

    #[test]
    fn a_delivery_is_settled_once_and_not_after_its_lease() {
        let tick = Tick::from_micros;
        let holds = Holds::new(7);
        let out = holds.open(2, tick(0));
        out.take(1, held(10));
        out.take(2, held(20));
        assert_eq!(out.room(tick(1)), Err(Some(tick(10))));
        assert!(out.begin(1, tick(9)).is_some());
        assert!(out.begin(1, tick(9)).is_none(), "somebody settles it");
        out.give_up(1);
        assert!(out.begin(1, tick(10)).is_none(), "it is over");
        assert_eq!(out.room(tick(15)), Ok(1));
        assert!(out.reply(2, tick(20)).is_none());
        out.extend(2, held(30).lease);
        assert!(out.reply(2, tick(20)).is_some());
    }

    #[test]
    fn receipts_outlive_their_consumer_as_long_as_their_leases() {
        let tick = Tick::from_micros;
        let holds = Holds::new(7);
        let out = holds.open(2, tick(0));
        let consumer = out.consumer;
        out.take(1, held(10));
        drop(out);
        drop(holds.open(1, tick(9)));
        assert!(holds.of(consumer).is_some());
        drop(holds.open(1, tick(10)));
        assert!(holds.of(consumer).is_none());
    }
}
