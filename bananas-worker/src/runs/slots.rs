//! How many jobs may run: the worker's limit, shared by lanes of one queue each with a limit of its own.
//!
//! Slots are plain counters, since a job takes and returns one each; only a lane that finds none waits.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bananas_core::QueueName;
use tokio::sync::Notify;

/// The worker's limit.
#[derive(Debug)]
pub(crate) struct Slots {
    free: AtomicUsize,
    /// Lanes that wait for any slot.
    waiting: AtomicUsize,
    /// Of them, those that the worker's limit alone holds up.
    starved: AtomicUsize,
    freed: Notify,
    wanted: Notify,
}

/// One queue's share of the slots.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) queue: QueueName,
    free: AtomicUsize,
    slots: Arc<Slots>,
}

/// Counts somebody for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Slots {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            free: AtomicUsize::new(limit),
            waiting: AtomicUsize::new(0),
            starved: AtomicUsize::new(0),
            freed: Notify::new(),
            wanted: Notify::new(),
        })
    }

    pub(crate) fn lane(self: &Arc<Self>, queue: QueueName, limit: usize) -> Arc<Lane> {
        Arc::new(Lane {
            queue,
            free: AtomicUsize::new(limit),
            slots: Arc::clone(self),
        })
    }
}

impl Lane {
    /// Waits for at least one slot and takes at most `max`.
    pub(crate) async fn reserve(&self, max: usize) -> usize {
        let first = self.try_reserve(max);
        if first > 0 {
            return first;
        }
        let _waiting = Counted::new(&self.slots.waiting);
        loop {
            let mut freed = pin!(self.slots.freed.notified());
            freed.as_mut().enable();
            // Looked at after enlisting, so that a slot freed in between is not missed.
            let some = self.try_reserve(max);
            if some > 0 {
                return some;
            }
            if self.free.load(Ordering::SeqCst) > 0 {
                let _starved = Counted::new(&self.slots.starved);
                self.slots.wanted.notify_waiters();
                freed.await;
            } else {
                freed.await;
            }
        }
    }

    /// Gives slots back, of jobs that ended or that did not come.
    pub(crate) fn give_back(&self, slots: usize) {
        if slots == 0 {
            return;
        }
        self.free.fetch_add(slots, Ordering::SeqCst);
        self.slots.free.fetch_add(slots, Ordering::SeqCst);
        if self.slots.waiting.load(Ordering::SeqCst) > 0 {
            self.slots.freed.notify_waiters();
        }
    }

    /// Waits until another lane has no slot because of the worker's limit: a lane that holds slots only to
    /// wait for jobs should give them back then.
    pub(crate) async fn wanted(&self) {
        let mut wanted = pin!(self.slots.wanted.notified());
        wanted.as_mut().enable();
        if self.slots.starved.load(Ordering::SeqCst) == 0 {
            wanted.await;
        }
    }

    fn try_reserve(&self, max: usize) -> usize {
        let own = take(&self.free, max);
        let granted = take(&self.slots.free, own);
        if granted < own {
            self.free.fetch_add(own - granted, Ordering::SeqCst);
        }
        granted
    }
}

/// Takes up to `max` from a counter.
fn take(counter: &AtomicUsize, max: usize) -> usize {
    let mut free = counter.load(Ordering::SeqCst);
    loop {
        let taken = free.min(max);
        if taken == 0 {
            return 0;
        }
        match counter.compare_exchange_weak(free, free - taken, Ordering::SeqCst, Ordering::SeqCst)
        {
            Ok(_) => return taken,
            Err(now) => free = now,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    #[test]
    fn a_lane_takes_no_more_than_its_own_and_the_workers_limit() {
        let slots = Slots::new(5);
        let (a, b) = (slots.lane(queue("a"), 3), slots.lane(queue("b"), 9));
        assert_eq!(a.reserve(100).now_or_never(), Some(3));
        assert_eq!(a.reserve(100).now_or_never(), None);
        assert_eq!(b.reserve(100).now_or_never(), Some(2));
        assert_eq!(b.reserve(1).now_or_never(), None);
        a.give_back(1);
        assert_eq!(b.reserve(1).now_or_never(), Some(1));
    }

    #[test]
    fn a_freed_slot_wakes_the_lane_that_waits() {
        let slots = Slots::new(1);
        let (a, b) = (slots.lane(queue("a"), 1), slots.lane(queue("b"), 1));
        assert_eq!(a.reserve(1).now_or_never(), Some(1));
        let mut waits = Box::pin(b.reserve(1));
        assert_eq!(waits.as_mut().now_or_never(), None);
        a.give_back(1);
        assert_eq!(waits.as_mut().now_or_never(), Some(1));
    }

    #[test]
    fn an_idle_lane_hears_that_another_one_starves() {
        let slots = Slots::new(1);
        let (a, b) = (slots.lane(queue("a"), 1), slots.lane(queue("b"), 1));
        assert_eq!(a.reserve(1).now_or_never(), Some(1));
        let mut wanted = Box::pin(a.wanted());
        assert_eq!(wanted.as_mut().now_or_never(), None);
        let mut waits = Box::pin(b.reserve(1));
        assert_eq!(waits.as_mut().now_or_never(), None);
        assert_eq!(wanted.as_mut().now_or_never(), Some(()));
    }
}
