//! Wakes those who wait for a change: in this process at each commit, and for others' commits by the watcher.
//!
//! The order that loses nothing: register a [`Listener`], look at the database, then wait.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bananas_core::QueueName;

/// What somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Jobs of this queue that became ready or got a time.
    Jobs(QueueName),
    /// Messages of this queue.
    Messages(QueueName),
    /// Any change.
    Any,
}

/// What a transaction changed.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) jobs: BTreeSet<QueueName>,
    pub(crate) messages: BTreeSet<QueueName>,
    /// Whether anything at all was written.
    pub(crate) any: bool,
}

/// The bell.
#[derive(Debug)]
pub(crate) struct Bell {
    state: Mutex<State>,
    /// Wakes the watcher when the first listener comes, and at the end.
    occupied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    listeners: BTreeMap<u64, Slot>,
    closed: bool,
}

#[derive(Debug)]
struct Slot {
    topic: Topic,
    rung: bool,
    waker: Option<Waker>,
}

impl Bell {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::default()),
            occupied: Condvar::new(),
        })
    }

    /// Hears what happens from now on.
    pub(crate) fn listen(self: &Arc<Self>, topic: Topic) -> Listener {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        // A closed bell has rung for ever.
        let rung = state.closed;
        state.listeners.insert(
            id,
            Slot {
                topic,
                rung,
                waker: None,
            },
        );
        let first = state.listeners.len() == 1;
        drop(state);
        if first {
            self.occupied.notify_all();
        }
        Listener {
            bell: Arc::clone(self),
            id,
        }
    }

    /// Tells those whom the news concern.
    pub(crate) fn ring(&self, news: &News) {
        self.ring_if(|topic| match topic {
            Topic::Jobs(queue) => news.jobs.contains(queue),
            Topic::Messages(queue) => news.messages.contains(queue),
            Topic::Any => news.any,
        });
    }

    /// Tells everybody.
    pub(crate) fn ring_all(&self) {
        self.ring_if(|_| true);
    }

    /// Tells everybody, now and for ever, and ends [`occupied_for`](Self::occupied_for).
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.occupied.notify_all();
        self.ring_all();
    }

    /// Lets `pause` pass once somebody listens; false when the bell is closed. For the watcher.
    pub(crate) fn occupied_for(&self, pause: Duration) -> bool {
        let mut state = self.lock();
        while state.listeners.is_empty() && !state.closed {
            state = self
                .occupied
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let (state, _) = self
            .occupied
            .wait_timeout_while(state, pause, |state| !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }

    fn ring_if(&self, concerns: impl Fn(&Topic) -> bool) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        for slot in state.listeners.values_mut() {
            if !slot.rung && concerns(&slot.topic) {
                slot.rung = true;
                wakers.extend(slot.waker.take());
            }
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ready once the bell has rung for its topic since it was made.
#[derive(Debug)]
pub(crate) struct Listener {
    bell: Arc<Bell>,
    id: u64,
}

impl Future for Listener {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.bell.lock().listeners.get_mut(&self.id) {
            Some(slot) if !slot.rung => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.bell.lock().listeners.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_listener_hears_its_topic_and_only_that() {
        let bell = Bell::new();
        let mail = QueueName::new("mail").unwrap();
        let mut jobs = bell.listen(Topic::Jobs(mail.clone()));
        let mut messages = bell.listen(Topic::Messages(mail.clone()));
        let mut any = bell.listen(Topic::Any);
        bell.ring(&News {
            jobs: BTreeSet::from([mail]),
            any: true,
            ..News::default()
        });
        assert!((&mut jobs).now_or_never().is_some());
        assert!((&mut any).now_or_never().is_some());
        assert!((&mut messages).now_or_never().is_none());
        bell.ring_all();
        assert!((&mut messages).now_or_never().is_some());
    }

    #[test]
    fn a_closed_bell_lets_nobody_wait() {
        let bell = Bell::new();
        bell.close();
        assert!(bell.listen(Topic::Any).now_or_never().is_some());
        assert!(!bell.occupied_for(Duration::from_secs(60)));
    }
}
