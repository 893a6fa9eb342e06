//! One suspect at a time: the permit that a lane needs to be handed a job with a crash behind it.
//!
//! If two suspects ran together and one of them brings the process down, the innocent one would be blamed
//! too. So the permit is taken before the ledger is asked, and held until the suspect is settled.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The one place for a suspect in this worker.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    taken: AtomicBool,
    /// Lanes that wait for jobs and would take a suspect if they might.
    thirsty: AtomicUsize,
    free: Notify,
}

/// The right to run one suspect; dropping it lets the next one run.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Suspects>);

impl Suspects {
    /// The permit, if nobody has it. A lane that just gave it back unused lets thirsty ones go first.
    pub(crate) fn permit(self: &Arc<Self>, after_own: bool) -> Option<Permit> {
        if after_own && self.thirsty.load(Ordering::SeqCst) > 0 {
            return None;
        }
        self.taken
            .compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst)
            .ok()
            .map(|_| Permit(Arc::clone(self)))
    }

    /// Waits until the permit is free, for a lane that asks for jobs without it.
    pub(crate) async fn freed(&self) {
        struct Thirsty<'a>(&'a AtomicUsize);
        impl Drop for Thirsty<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.thirsty.fetch_add(1, Ordering::SeqCst);
        let _thirsty = Thirsty(&self.thirsty);
        let mut free = pin!(self.free.notified());
        free.as_mut().enable();
        if self.taken.load(Ordering::SeqCst) {
            free.await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::SeqCst);
        // One lane is enough: only one can have it, and an idle worker should sleep.
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn there_is_one_permit_and_who_waits_for_it_goes_first() {
        let suspects = Arc::new(Suspects::default());
        let permit = suspects.permit(false).unwrap();
        assert!(suspects.permit(false).is_none());
        let mut freed = Box::pin(suspects.freed());
        assert_eq!(freed.as_mut().now_or_never(), None);
        drop(permit);
        assert!(suspects.permit(true).is_none(), "it had its turn");
        assert_eq!(freed.as_mut().now_or_never(), Some(()));
        drop(freed);
        assert!(suspects.permit(true).is_some());
    }
}
