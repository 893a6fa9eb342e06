//! The deliveries behind the jobs that this process runs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Claimed, Delivery, JobId, OwnerId, Receipt};

/// The deliveries behind the jobs that this process runs, by job.
///
/// A job that is delivered again while it runs here keeps running, and its newest receipt is the one that
/// counts.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashMap<JobId, Held>>);

#[derive(Debug)]
struct Held {
    owner: OwnerId,
    receipt: Receipt,
    lease: Duration,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the delivery of a job that is about to run.
    pub(super) fn insert(&self, claimed: &Claimed, delivery: &Delivery, lease: Duration) {
        let held = Held {
            owner: claimed.owner,
            receipt: delivery.receipt.clone(),
            lease,
        };
        self.lock().insert(claimed.job.id, held);
    }

    /// Takes over the receipt of a redelivery if this owner runs the job; answers whether it does.
    pub(super) fn replace(&self, id: JobId, owner: OwnerId, delivery: &Delivery) -> bool {
        match self.lock().get_mut(&id) {
            Some(held) if held.owner == owner => {
                held.receipt = delivery.receipt.clone();
                true
            }
            Some(_) | None => false,
        }
    }

    /// The receipt to settle a run with. Once another owner here runs the job, the delivery is not this run's.
    pub(super) fn receipt(&self, run: &Claimed) -> Option<Receipt> {
        let held = self.lock();
        let held = held.get(&run.job.id)?;
        (held.owner == run.owner).then(|| held.receipt.clone())
    }

    /// Forgets a run that has been settled.
    pub(super) fn remove(&self, run: &Claimed) {
        let mut held = self.lock();
        if held
            .get(&run.job.id)
            .is_some_and(|held| held.owner == run.owner)
        {
            held.remove(&run.job.id);
        }
    }

    /// Forgets everything of an owner that lost its lease: its runs are over.
    pub(super) fn abandon(&self, owner: OwnerId) {
        self.lock().retain(|_, held| held.owner != owner);
    }

    /// Whether anything of an owner is in flight.
    pub(super) fn has_some_of(&self, owner: OwnerId) -> bool {
        self.lock().values().any(|held| held.owner == owner)
    }

    /// All receipts of an owner with the lease they need.
    pub(super) fn receipts(&self, owner: OwnerId) -> HashMap<Duration, Vec<Receipt>> {
        let mut receipts: HashMap<Duration, Vec<Receipt>> = HashMap::new();
        for held in self.lock().values().filter(|held| held.owner == owner) {
            receipts
                .entry(held.lease)
                .or_default()
                .push(held.receipt.clone());
        }
        receipts
    }
}
