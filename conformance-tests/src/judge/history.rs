//! Writing down what happens, in memory.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::event::{Event, Micros, What};

/// Somebody who writes down what happens.
pub trait Witness: Send + Sync + fmt::Debug {
    /// Writes it down as happening now.
    fn record(&self, what: What);
}

/// A history in memory.
pub struct History {
    clock: Box<dyn Fn() -> Micros + Send + Sync>,
    events: Mutex<Vec<Event>>,
}

impl History {
    /// An empty history with this clock, which must be the one of the leases that are recorded.
    #[must_use]
    pub fn new(clock: impl Fn() -> Micros + Send + Sync + 'static) -> Self {
        Self {
            clock: Box::new(clock),
            events: Mutex::default(),
        }
    }

    /// What was written down so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for History {
    fn record(&self, what: What) {
        // The time is taken under the lock, so that the order of events is the order of their times.
        let mut events = self.lock();
        let at = (self.clock)();
        events.push(Event { at, what });
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("events", &self.lock().len())
            .finish_non_exhaustive()
    }
}
