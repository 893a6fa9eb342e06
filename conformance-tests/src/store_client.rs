//! A client of a store whose calls own what they need, so that they can be made in tasks of their own.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Alteration, Altered, BatchId, Claim, ClaimAnswer, ClaimRequest, Due, DuePage, Job, JobId,
    JobSettle, JobSettled, Lost, NewRecord, Outcome, Owner, OwnerId, Prune, Recorded, Renewed,
    StateStore,
};

/// A client of a store. Each call is of one item, and no error is expected.
#[derive(Clone)]
pub(crate) struct StoreClient(pub(crate) Arc<dyn StateStore>);

impl StoreClient {
    pub(crate) async fn record(self, record: NewRecord) -> Recorded {
        let mut answers = self.0.jobs().record(vec![record], None).await;
        answers.remove(0).unwrap()
    }

    /// Claims the first delivery of the first copy.
    pub(crate) async fn claim(self, job: Job, owner: OwnerId) -> ClaimAnswer {
        let claim = Claim {
            job: job.reference(),
            copy: 0,
            delivery: 1,
            redelivery_proves_lease_lost: true,
        };
        let request = ClaimRequest {
            owner,
            suspects: 1_000,
            claims: vec![claim],
        };
        let mut answers = self.0.jobs().claim(request).await;
        answers.remove(0).unwrap()
    }

    pub(crate) async fn settle(self, job: Job, epoch: u64, outcome: Outcome) -> JobSettled {
        let job = job.reference();
        let settle = JobSettle {
            job,
            epoch,
            outcome,
        };
        let mut answers = self.0.jobs().settle(vec![settle]).await;
        answers.remove(0).unwrap()
    }

    pub(crate) async fn alter(self, id: JobId, alteration: Alteration) -> Altered {
        let answers = self.0.index().alter(&[id], alteration).await;
        answers.unwrap().remove(0)
    }

    pub(crate) async fn due(self, due: Due) -> DuePage {
        self.0.jobs().due(due).await.unwrap()
    }

    pub(crate) async fn lost(self, lost: Lost) -> DuePage {
        self.0.jobs().lost(lost).await.unwrap()
    }

    pub(crate) async fn confirm(self, batch: BatchId) {
        self.0.jobs().confirm(&[batch]).await.unwrap();
    }

    pub(crate) async fn renew(self, owner: Owner, lease: Duration) -> Renewed {
        self.0.jobs().renew(&owner, lease).await.unwrap()
    }

    pub(crate) async fn retire(self, owner: OwnerId) {
        self.0.jobs().retire(&[owner]).await.unwrap();
    }

    pub(crate) async fn prune(self, prune: Prune) -> u64 {
        self.0.index().prune(prune).await.unwrap()
    }
}
