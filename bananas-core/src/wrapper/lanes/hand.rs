//! What consumers hold, so that the lanes of one share its credit.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::receipt::LaneReceipt;
use crate::{Env, Receipt, Tick};

/// What all consumers of a client hold.
#[derive(Debug, Default)]
pub(super) struct Hands(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    next: u64,
    closed: bool,
    hands: BTreeMap<u64, Hand>,
}

/// What one consumer holds.
#[derive(Debug)]
struct Hand {
    credit: usize,
    /// Its deliveries, by the receipts of the broker underneath, with the ends of their leases.
    deliveries: HashMap<Receipt, Tick>,
    waker: Option<Waker>,
}

impl Hand {
    /// How many more it may take now. A delivery whose lease ended is not ours any more.
    fn free(&mut self, now: Tick) -> usize {
        self.deliveries.retain(|_, until| *until > now);
        self.credit.saturating_sub(self.deliveries.len())
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Hands {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a new consumer.
    pub(super) fn enter(&self, credit: u32) -> u64 {
        let mut held = self.lock();
        held.next += 1;
        let number = held.next;
        let hand = Hand {
            credit: usize::try_from(credit).unwrap_or(usize::MAX),
            deliveries: HashMap::new(),
            waker: None,
        };
        held.hands.insert(number, hand);
        number
    }

    pub(super) fn leave(&self, consumer: u64) {
        self.lock().hands.remove(&consumer);
    }

    pub(super) fn taken(&self, receipt: &LaneReceipt, until: Tick) {
        let mut held = self.lock();
        if let Some(hand) = held.hands.get_mut(&receipt.consumer) {
            hand.deliveries.insert(receipt.inner.clone(), until);
        }
    }

    pub(super) fn extended(&self, receipt: &LaneReceipt, until: Tick) {
        let mut held = self.lock();
        let hand = held.hands.get_mut(&receipt.consumer);
        if let Some(end) = hand.and_then(|hand| hand.deliveries.get_mut(&receipt.inner)) {
            *end = until;
        }
    }

    pub(super) fn settled(&self, receipt: &LaneReceipt) {
        let mut held = self.lock();
        if let Some(hand) = held.hands.get_mut(&receipt.consumer)
            && hand.deliveries.remove(&receipt.inner).is_some()
        {
            hand.wake();
        }
    }

    pub(super) fn free(&self, consumer: u64, now: Tick) -> usize {
        let mut held = self.lock();
        let hand = held.hands.get_mut(&consumer);
        hand.map_or(0, |hand| hand.free(now))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Whoever waits for credit waits no longer.
    pub(super) fn close(&self) {
        let mut held = self.lock();
        held.closed = true;
        held.hands.values_mut().for_each(Hand::wake);
    }

    /// Waits until there is credit again, at most until `until`.
    pub(super) async fn freed(&self, consumer: u64, until: Tick, env: &Arc<dyn Env>) {
        let next_end = {
            let held = self.lock();
            let hand = held.hands.get(&consumer);
            hand.and_then(|hand| hand.deliveries.values().min().copied())
        };
        let until = next_end.map_or(until, |end| end.min(until));
        let freed = poll_fn(|cx| {
            let mut held = self.lock();
            let closed = held.closed;
            let Some(hand) = held.hands.get_mut(&consumer) else {
                return Poll::Ready(());
            };
            if closed || hand.free(env.monotonic()) > 0 {
                return Poll::Ready(());
            }
            hand.waker = Some(cx.waker().clone());
            Poll::Pending
        });
        env.until(until, freed).await.ok();
    }
}
