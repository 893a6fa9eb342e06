//! A ledger on an empty namespace.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Alteration, Altered, Args, Broker, Chore, Env, Job, JobId, JobIndex, JobRecord, Ledger,
    Priority, QueueName, TaskName,
};

use super::namespace;
use crate::child::{Child, Part};
use crate::hand_worker::{HandWorker, LONG_LEASE};
use crate::harness::LedgerHarness;
use crate::ledger_role::LedgerRole;
use crate::patience::Patience;

/// A ledger on an empty namespace.
pub(crate) struct LedgerCase {
    harness: Arc<dyn LedgerHarness>,
    namespace: String,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) queue: QueueName,
    pub(crate) ledger: Arc<dyn Ledger>,
}

impl LedgerCase {
    pub(crate) async fn open(harness: Arc<dyn LedgerHarness>, check: &str) -> Self {
        let namespace = namespace(check, &harness.env());
        Self::join(harness, namespace).await
    }

    /// A client of a namespace that others use, too.
    pub(crate) async fn join(harness: Arc<dyn LedgerHarness>, namespace: String) -> Self {
        let env = harness.env();
        let ledger = harness.open(&namespace).await.unwrap();
        let queue = QueueName::new("jobs").unwrap();
        ledger.ensure(std::slice::from_ref(&queue)).await.unwrap();
        Self {
            harness,
            namespace,
            env,
            queue,
            ledger,
        }
    }

    /// Another client of the same data, as another process has one.
    pub(crate) async fn second_client(&self) -> Arc<dyn Ledger> {
        let ledger = self.harness.open(&self.namespace).await.unwrap();
        ledger
            .ensure(std::slice::from_ref(&self.queue))
            .await
            .unwrap();
        ledger
    }

    /// A process that plays a role in this namespace.
    pub(crate) fn child(&self, role: LedgerRole, number: usize) -> Child {
        let part = Part {
            backend: self.harness.name().to_owned(),
            side: "ledger".to_owned(),
            namespace: self.namespace.clone(),
            role: format!("{role:?}"),
            number,
        };
        let variables = self.harness.child().expect("gated by Child");
        Child::start(&self.env, &part, variables)
    }

    /// The broker behind the ledger, if it has one of its own.
    pub(crate) async fn broker(&self) -> Option<Arc<dyn Broker>> {
        self.harness.broker_behind(&self.namespace).await.unwrap()
    }

    pub(crate) fn index(&self) -> &dyn JobIndex {
        self.ledger.index().expect("the ledger has a store")
    }

    /// A new job with defaults.
    pub(crate) fn job(&self) -> Job {
        let task = TaskName::new("conformance.task").unwrap();
        let args = Args::from_json(r#"{"n":1}"#).unwrap();
        let mut job = Job::new(self.env.job_id(), task, args, self.env.now());
        job.queue = self.queue.clone();
        job
    }

    pub(crate) fn jobs(&self, count: usize) -> Vec<Job> {
        (0..count).map(|_| self.job()).collect()
    }

    /// A new job of this priority.
    pub(crate) fn job_of(&self, priority: u8) -> Job {
        let mut job = self.job();
        job.priority = Priority::new(priority).unwrap();
        job
    }

    /// Enqueues a job and checks that it is a new one.
    pub(crate) async fn enqueue(&self, job: Job) -> JobId {
        self.enqueue_all(vec![job]).await[0]
    }

    /// Enqueues jobs and checks that all are new.
    pub(crate) async fn enqueue_all(&self, jobs: Vec<Job>) -> Vec<JobId> {
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let answers = self.ledger.enqueue(jobs).await;
        assert_eq!(answers.len(), ids.len(), "one answer for each job");
        for (id, answer) in ids.iter().zip(answers) {
            let accepted = answer.unwrap();
            assert_eq!((accepted.id, accepted.duplicate), (*id, false));
        }
        ids
    }

    /// A worker on the first client that lives to the end of the check.
    pub(crate) async fn worker(&self) -> HandWorker {
        self.worker_on(&self.ledger, LONG_LEASE).await
    }

    pub(crate) async fn worker_on(&self, ledger: &Arc<dyn Ledger>, lease: Duration) -> HandWorker {
        HandWorker::enlist(&self.env, ledger, &self.queue, lease).await
    }

    /// A worker in another process, so to speak.
    pub(crate) async fn worker_elsewhere(&self, lease: Duration) -> HandWorker {
        self.worker_on(&self.second_client().await, lease).await
    }

    pub(crate) async fn find(&self, id: JobId) -> Option<JobRecord> {
        self.index().get(&[id]).await.unwrap().remove(0)
    }

    pub(crate) async fn record(&self, id: JobId) -> JobRecord {
        self.find(id).await.expect("the job has a record")
    }

    pub(crate) async fn alter(&self, id: JobId, alteration: Alteration) -> Altered {
        self.index().alter(&[id], alteration).await.unwrap()[0]
    }

    /// Checks that a worker finds nothing to run: the last job in the queue comes, and it comes alone.
    pub(crate) async fn assert_drained(&self, worker: &mut HandWorker) {
        self.ledger.tend(Chore::Promote).await.unwrap();
        let last = self.enqueue(self.job_of(0)).await;
        let patience = Patience::new(&self.env);
        loop {
            let claimed = worker.look(10).await;
            for run in &claimed {
                assert_eq!(run.job.id, last, "a job came that must not run");
            }
            if !claimed.is_empty() {
                worker.succeed(&claimed).await;
                return;
            }
            patience.check("the last job of the queue came");
        }
    }
}
