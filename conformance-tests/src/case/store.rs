//! A state store on an empty namespace.

use std::sync::Arc;

use bananas_core::{
    Args, BatchId, Claim, ClaimAnswer, ClaimRequest, Codec, Due, Env, Job, JobId, JobRecord,
    JsonCodec, NewRecord, Owner, OwnerId, Publication, QueueName, Recorded, Renewed, Result,
    StateStore, TaskName,
};

use super::namespace;
use crate::hand_worker::{LONG_LEASE, new_owner};
use crate::harness::StoreHarness;

/// A state store on an empty namespace.
pub(crate) struct StoreCase {
    harness: Arc<dyn StoreHarness>,
    namespace: String,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) store: Arc<dyn StateStore>,
}

impl StoreCase {
    pub(crate) async fn open(harness: Arc<dyn StoreHarness>, check: &str) -> Self {
        let env = harness.env();
        let namespace = namespace(check, &env);
        let store = harness.open(&namespace).await.unwrap();
        Self {
            harness,
            namespace,
            env,
            store,
        }
    }

    /// The same on another empty namespace, opened with another environment.
    pub(crate) async fn elsewhere(&self, env: Arc<dyn Env>) -> Self {
        let namespace = namespace("elsewhere", &env);
        let opened = self.harness.open_with(&namespace, Arc::clone(&env));
        Self {
            harness: Arc::clone(&self.harness),
            store: opened.await.unwrap(),
            namespace,
            env,
        }
    }

    pub(crate) async fn second_client(&self) -> Arc<dyn StateStore> {
        self.harness.open(&self.namespace).await.unwrap()
    }

    pub(crate) fn job(&self) -> Job {
        let task = TaskName::new("conformance.task").unwrap();
        let args = Args::from_json("null").unwrap();
        let mut job = Job::new(self.env.job_id(), task, args, self.env.now());
        job.queue = QueueName::new("jobs").unwrap();
        job
    }

    /// The record of a job that is enqueued now.
    pub(crate) fn new_record(&self, job: &Job) -> NewRecord {
        NewRecord::of(job, JsonCodec.encode(job).unwrap(), self.env.now())
    }

    pub(crate) fn publication(&self) -> Publication {
        Publication {
            id: self.env.batch_id(),
            owner: new_owner(&self.env),
        }
    }

    /// Records jobs and checks that all are new.
    pub(crate) async fn record(&self, jobs: &[Job], publication: Option<&Publication>) {
        let records = jobs.iter().map(|job| self.new_record(job)).collect();
        let answers = self
            .store
            .jobs()
            .record(records, publication.cloned())
            .await;
        assert_eq!(answers.len(), jobs.len(), "one answer for each job");
        for answer in answers {
            assert_eq!(answer.unwrap(), Recorded::New);
        }
    }

    /// Records one new job without publication.
    pub(crate) async fn recorded(&self) -> Job {
        let job = self.job();
        self.record(std::slice::from_ref(&job), None).await;
        job
    }

    /// Enlists an owner that lives to the end of the check.
    pub(crate) async fn owner(&self) -> Owner {
        let owner = new_owner(&self.env);
        let renewed = self.store.jobs().renew(&owner, LONG_LEASE).await.unwrap();
        assert!(matches!(renewed, Renewed::Held { .. }), "{renewed:?}");
        owner
    }

    /// Claims one delivery of a job: its `delivery`th of the first copy.
    pub(crate) async fn claim(&self, job: &Job, owner: OwnerId, delivery: u32) -> ClaimAnswer {
        self.claim_all(&[(job, delivery)], owner, 1_000)
            .await
            .remove(0)
            .unwrap()
    }

    pub(crate) async fn claim_all(
        &self,
        deliveries: &[(&Job, u32)],
        owner: OwnerId,
        suspects: usize,
    ) -> Vec<Result<ClaimAnswer>> {
        let claim = |(job, delivery): &(&Job, u32)| Claim {
            job: job.reference(),
            copy: 0,
            delivery: *delivery,
            redelivery_proves_lease_lost: true,
        };
        let request = ClaimRequest {
            owner,
            suspects,
            claims: deliveries.iter().map(claim).collect(),
        };
        self.store.jobs().claim(request).await
    }

    pub(crate) fn due(&self, publication: Option<Publication>) -> Due {
        Due {
            now: self.env.now(),
            max: 1_000,
            publication,
        }
    }

    pub(crate) async fn open_batches(&self) -> Vec<BatchId> {
        let open = self.store.jobs().open_batches().await.unwrap();
        open.into_iter().map(|batch| batch.id).collect()
    }

    pub(crate) async fn found(&self, id: JobId) -> JobRecord {
        let mut records = self.store.index().get(&[id]).await.unwrap();
        records.remove(0).expect("the job has a record")
    }
}
