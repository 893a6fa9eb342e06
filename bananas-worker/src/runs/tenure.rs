//! Under which owner this process runs jobs now. When its lease is lost, a new owner takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bananas_core::{Owner, Tick};
use tokio::sync::watch;

/// One owner's time: from its enlistment until its lease is lost.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) owner: Owner,
    over: AtomicBool,
    /// When the last renewal that succeeded was sent, in microseconds.
    renewed: AtomicU64,
}

impl Tenure {
    pub(crate) fn new(owner: Owner, renewed: Tick) -> Arc<Self> {
        Arc::new(Self {
            owner,
            over: AtomicBool::new(false),
            renewed: AtomicU64::new(renewed.as_micros()),
        })
    }

    /// Notes that the lease counts from `sent` again.
    pub(crate) fn renewed(&self, sent: Tick) {
        self.renewed.fetch_max(sent.as_micros(), Ordering::SeqCst);
    }

    /// From when on the process must not trust its lease. It gives up before the store does: the
    /// difference is time for handlers to stop before others run the same jobs.
    pub(crate) fn fence(&self, lease: Duration) -> Tick {
        Tick::from_micros(self.renewed.load(Ordering::SeqCst)) + (lease - lease / 5)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

/// Who the owner is now, and the news when that changes.
#[derive(Debug)]
pub(crate) struct Tenancy(watch::Sender<Arc<Tenure>>);

impl Tenancy {
    pub(crate) fn new(first: Arc<Tenure>) -> Self {
        Self(watch::Sender::new(first))
    }

    pub(crate) fn current(&self) -> Arc<Tenure> {
        Arc::clone(&self.0.borrow())
    }

    pub(crate) fn replace(&self, next: Arc<Tenure>) {
        self.0.send_replace(next);
    }

    /// Waits until `tenure` is no longer the current one.
    pub(crate) async fn after(&self, tenure: &Arc<Tenure>) -> Arc<Tenure> {
        let mut news = self.0.subscribe();
        let next = news.wait_for(|now| !Arc::ptr_eq(now, tenure)).await;
        // The sender is `self`, so it cannot be gone.
        next.map_or_else(|_| Arc::clone(tenure), |next| Arc::clone(&next))
    }
}
