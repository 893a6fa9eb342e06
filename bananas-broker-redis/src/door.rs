//! Counts the calls between their beginning and their end, so that a client can be closed behind the last.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bananas_core::Env;
use tokio::sync::{Notify, watch};

use crate::error::Error;

/// The way in for calls.
#[derive(Debug)]
pub(crate) struct Door {
    inside: AtomicUsize,
    /// Rung when somebody left.
    left: Notify,
    closed: watch::Sender<bool>,
}

/// A call that was let in; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Inside<'a>(&'a Door);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::AcqRel);
        self.0.left.notify_waiters();
    }
}

impl Door {
    pub(crate) fn open() -> Self {
        Self {
            inside: AtomicUsize::new(0),
            left: Notify::new(),
            closed: watch::Sender::new(false),
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if *self.closed.borrow() {
            return Err(Error::Closed { sent: false });
        }
        Ok(())
    }

    pub(crate) fn enter(&self) -> Result<Inside<'_>, Error> {
        // Counted first: who closes looks at the count after the flag.
        self.inside.fetch_add(1, Ordering::AcqRel);
        let inside = Inside(self);
        self.check_open()?;
        Ok(inside)
    }

    /// Lets nobody in any more, and waits at most so long until all have left.
    pub(crate) async fn close(&self, env: &dyn Env, deadline: Duration) {
        let until = env.monotonic() + deadline;
        self.closed.send_replace(true);
        loop {
            let left = self.left.notified();
            if self.inside.load(Ordering::Acquire) == 0 || env.until(until, left).await.is_err() {
                return;
            }
        }
    }
}
