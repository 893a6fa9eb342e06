//! The runs of this worker that are claimed and not yet settled.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bananas_core::JobId;
use tokio::sync::Notify;

use super::{Run, Stop, Tenure};

/// Claimed and not yet settled. Entered and left in batches, so that its lock costs a job nothing.
#[derive(Debug, Default)]
pub(crate) struct Running {
    runs: Mutex<HashMap<JobId, Arc<Run>>>,
    count: AtomicUsize,
    left: Notify,
}

impl Running {
    pub(crate) fn enter(&self, runs: &[Arc<Run>]) {
        let mut table = self.lock();
        for run in runs {
            table.insert(run.claimed.job.id, Arc::clone(run));
        }
        self.count.store(table.len(), Ordering::SeqCst);
    }

    pub(crate) fn leave<'a>(&self, runs: impl IntoIterator<Item = &'a Arc<Run>>) {
        let mut table = self.lock();
        for run in runs {
            run.over();
            let id = &run.claimed.job.id;
            // A job that was taken away from an earlier owner of this process may be here again.
            if table.get(id).is_some_and(|there| Arc::ptr_eq(there, run)) {
                table.remove(id);
            }
        }
        self.count.store(table.len(), Ordering::SeqCst);
        drop(table);
        self.left.notify_waiters();
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until at most `most` are left.
    pub(crate) async fn at_most(&self, most: usize) {
        loop {
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            if self.len() <= most {
                return;
            }
            left.await;
        }
    }

    /// Asks these jobs to stop, where they run here.
    pub(crate) fn cancel(&self, jobs: &[JobId]) {
        let table = self.lock();
        for run in jobs.iter().filter_map(|id| table.get(id)) {
            run.stop(Stop::Cancelled);
        }
    }

    /// Asks all runs under this lease to stop: nothing of them counts any more.
    pub(crate) fn fence(&self, tenure: &Arc<Tenure>) {
        let table = self.lock();
        for run in table.values().filter(|r| Arc::ptr_eq(&r.tenure, tenure)) {
            run.stop(Stop::Fenced);
        }
    }

    /// The runs that no executor has begun; they are the caller's now.
    pub(crate) fn unbegun(&self) -> Vec<Arc<Run>> {
        let table = self.lock();
        table.values().filter(|run| run.begin()).cloned().collect()
    }

    /// Asks all runs to stop.
    pub(crate) fn stop_all(&self, why: Stop) {
        self.lock().values().for_each(|run| run.stop(why));
    }

    /// Takes all runs away from their handlers.
    pub(crate) fn abort_all(&self, why: Stop) {
        self.lock().values().for_each(|run| run.abort(why));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
