//! [`Run`]: one run of one job in this process, and the means to stop it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use bananas_core::Claimed;
use futures::task::AtomicWaker;
use tokio::sync::Notify;

use super::{Lane, Permit, Tenure};

/// Why a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stop {
    /// It is not.
    No = 0,
    /// Its time is up.
    TimedOut = 1,
    /// The worker shuts down.
    Shutdown = 2,
    /// A person or program asked for it.
    Cancelled = 3,
    /// The lease is lost or about to be: nothing of it counts any more.
    Fenced = 4,
}

/// One run of one job. Shared by who executes it, who may stop it, and who settles it.
pub(crate) struct Run {
    pub(crate) claimed: Claimed,
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) lane: Arc<Lane>,
    /// Held until the run is over, if it is a suspect.
    permit: Mutex<Option<Permit>>,
    begun: AtomicBool,
    stop: AtomicU8,
    abort: AtomicBool,
    busy: AtomicBool,
    stopped: Notify,
    executor: AtomicWaker,
}

impl Run {
    pub(crate) fn new(
        claimed: Claimed,
        tenure: Arc<Tenure>,
        lane: Arc<Lane>,
        permit: Option<Permit>,
    ) -> Self {
        Self {
            claimed,
            tenure,
            lane,
            permit: Mutex::new(permit),
            begun: AtomicBool::new(false),
            stop: AtomicU8::new(Stop::No as u8),
            abort: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            stopped: Notify::const_new(),
            executor: AtomicWaker::new(),
        }
    }

    /// True for the first who asks: the executor that runs it, or the shutdown that gives it back.
    pub(crate) fn begin(&self) -> bool {
        !self.begun.swap(true, Ordering::SeqCst)
    }

    /// It is settled, or never will be: another suspect may run.
    pub(crate) fn over(&self) {
        if self.claimed.is_suspect() {
            drop(
                self.permit
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take(),
            );
        }
    }

    /// Asks the handler to stop. Of several reasons the weightiest counts.
    pub(crate) fn stop(&self, why: Stop) {
        self.stop.fetch_max(why as u8, Ordering::SeqCst);
        self.stopped.notify_waiters();
        self.executor.wake();
    }

    /// Takes the run away from the handler: its future is dropped at the next occasion.
    pub(crate) fn abort(&self, why: Stop) {
        self.abort.store(true, Ordering::SeqCst);
        self.stop(why);
    }

    /// Why it is to stop.
    pub(crate) fn why(&self) -> Stop {
        match self.stop.load(Ordering::SeqCst) {
            0 => Stop::No,
            1 => Stop::TimedOut,
            2 => Stop::Shutdown,
            3 => Stop::Cancelled,
            _ => Stop::Fenced,
        }
    }

    /// Whether the handler's future is to be dropped.
    pub(crate) fn is_aborted(&self) -> bool {
        self.abort.load(Ordering::SeqCst)
    }

    /// Whether a thread still works on it, whatever became of the future that waits for it.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::SeqCst)
    }

    /// Waits until it is asked to stop.
    pub(crate) async fn stopped(&self) {
        let mut stopped = std::pin::pin!(self.stopped.notified());
        stopped.as_mut().enable();
        if self.why() == Stop::No {
            stopped.await;
        }
    }

    /// Wakes this task when the run is asked to stop.
    pub(crate) fn register(&self, executor: &Waker) {
        self.executor.register(executor);
    }
}

/// Marks a run as busy for as long as it lives.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Run>);

impl Busy {
    pub(crate) fn new(run: Arc<Run>) -> Self {
        run.busy.store(true, Ordering::SeqCst);
        Self(run)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::SeqCst);
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("id", &self.claimed.job.id)
            .field("task", &self.claimed.job.task)
            .field("stop", &self.why())
            .finish_non_exhaustive()
    }
}
