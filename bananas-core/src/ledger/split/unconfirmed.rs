//! Batches that were published and are not yet closed in the store.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::BatchId;

/// Batches that were published and are not yet closed in the store.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    batches: Vec<BatchId>,
    /// Whether somebody closes batches until none is left.
    under_way: bool,
}

/// Somebody who closes batches. However he ends, the next one can take his place.
pub(super) struct Closer<'a> {
    unconfirmed: &'a Unconfirmed,
    is_done: bool,
}

impl Unconfirmed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch. True when nobody closes batches now: then the caller starts somebody who does.
    pub(super) fn add(&self, batch: BatchId) -> bool {
        let mut state = self.lock();
        state.batches.push(batch);
        !std::mem::replace(&mut state.under_way, true)
    }

    /// Takes all.
    pub(super) fn take(&self) -> Vec<BatchId> {
        std::mem::take(&mut self.lock().batches)
    }

    /// They could not be closed: whoever comes next tries again.
    pub(super) fn put_back(&self, batches: Vec<BatchId>) {
        self.lock().batches.extend(batches);
    }

    pub(super) fn closer(&self) -> Closer<'_> {
        Closer {
            unconfirmed: self,
            is_done: false,
        }
    }

    #[cfg(test)]
    pub(super) fn is_under_way(&self) -> bool {
        self.lock().under_way
    }
}

impl Closer<'_> {
    /// Whether a batch waits. If not, the closer's time is over, and whoever adds one starts the next.
    pub(super) fn goes_on(&mut self) -> bool {
        let mut state = self.unconfirmed.lock();
        state.under_way = !state.batches.is_empty();
        self.is_done = !state.under_way;
        state.under_way
    }
}

impl Drop for Closer<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.unconfirmed.lock().under_way = false;
        }
    }
}
