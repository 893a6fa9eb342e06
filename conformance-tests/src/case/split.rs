//! A `SplitLedger` over a broker that can be watched and broken, on a clock that the check moves.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Accepted, Args, Broker, Chore, Depth, Env, Job, JobId, JobRecord, JobState, Ledger, ManualEnv,
    QueueName, SplitLedger, SplitOptions, StateStore, TaskName, Timestamp,
};

use crate::flaky_store::FlakyStore;
use crate::hand_worker::{HandWorker, new_owner};
use crate::harness::SplitHarness;
use crate::patience::eventually;
use crate::watched_broker::WatchedBroker;

/// The host of a process that everybody can see is gone.
pub(crate) const GONE: &str = "gone";

/// Some day in 2026.
const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

/// A ledger over two sides, on a clock that the check moves.
pub(crate) struct SplitCase {
    /// Real time, for waiting on what runs in the background.
    pub(crate) real: Arc<dyn Env>,
    /// The clock of broker, store and ledger.
    pub(crate) clock: Arc<ManualEnv>,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) queue: QueueName,
    pub(crate) broker: Arc<WatchedBroker>,
    pub(crate) store: Arc<FlakyStore>,
    pub(crate) ledger: Arc<dyn Ledger>,
}

impl SplitCase {
    pub(crate) async fn open(harness: Arc<dyn SplitHarness>) -> Self {
        let real = harness.env();
        let seed = real.random();
        let clock = Arc::new(ManualEnv::new(Arc::clone(&real), START, seed));
        let env: Arc<dyn Env> = Arc::<ManualEnv>::clone(&clock);
        let (broker, store) = harness.open(Arc::clone(&env)).await.unwrap();
        let broker = Arc::new(WatchedBroker::around(broker));
        let store = Arc::new(FlakyStore::around(store));
        let queue = QueueName::new("jobs").unwrap();
        let ledger = ledger_of(&broker, &store, &env, "here");
        ledger.ensure(std::slice::from_ref(&queue)).await.unwrap();
        Self {
            real,
            clock,
            env,
            queue,
            broker,
            store,
            ledger,
        }
    }

    /// The ledger of a process on another host.
    pub(crate) async fn ledger_on(&self, host: &str) -> Arc<dyn Ledger> {
        let ledger = ledger_of(&self.broker, &self.store, &self.env, host);
        ledger
            .ensure(std::slice::from_ref(&self.queue))
            .await
            .unwrap();
        ledger
    }

    pub(crate) fn job(&self) -> Job {
        let task = TaskName::new("conformance.task").unwrap();
        let args = Args::from_json("null").unwrap();
        let mut job = Job::new(self.env.job_id(), task, args, self.env.now());
        job.queue = self.queue.clone();
        job
    }

    pub(crate) fn jobs(&self, count: usize) -> Vec<Job> {
        (0..count).map(|_| self.job()).collect()
    }

    pub(crate) async fn enqueue(&self, jobs: Vec<Job>) -> Vec<Accepted> {
        let answers = self.ledger.enqueue(jobs).await;
        answers.into_iter().map(|answer| answer.unwrap()).collect()
    }

    /// Enqueues jobs and waits until their publication is confirmed.
    pub(crate) async fn enqueue_confirmed(&self, count: usize) {
        for accepted in self.enqueue(self.jobs(count)).await {
            assert!(accepted.published, "the broker has it");
        }
        self.confirmed().await;
    }

    /// Waits until no batch is open.
    pub(crate) async fn confirmed(&self) {
        let open = async || self.store.jobs().open_batches().await.unwrap().is_empty();
        eventually(&self.real, "all batches are confirmed", open).await;
    }

    pub(crate) async fn worker(&self, lease: Duration) -> HandWorker {
        self.worker_on(&self.ledger, lease).await
    }

    pub(crate) async fn worker_on(&self, ledger: &Arc<dyn Ledger>, lease: Duration) -> HandWorker {
        let worker = HandWorker::enlist(&self.env, ledger, &self.queue, lease).await;
        worker.without_waiting(&self.real)
    }

    pub(crate) async fn record(&self, id: JobId) -> JobRecord {
        let mut found = self.store.index().get(&[id]).await.unwrap();
        found.remove(0).expect("the job has a record")
    }

    pub(crate) async fn state_of(&self, id: JobId) -> JobState {
        self.record(id).await.standing.state
    }

    pub(crate) async fn store_is_empty(&self) -> bool {
        self.store.index().counts().await.unwrap().is_empty()
    }

    /// Does the scheduler's chores once, now.
    pub(crate) async fn tend(&self) {
        self.ledger.tend(Chore::Promote).await.unwrap();
        self.ledger.tend(Chore::Republish).await.unwrap();
    }

    /// Lets the time pass, with the chores done every five seconds.
    pub(crate) async fn pass(&self, seconds: u64) {
        let step = 5;
        for _ in 0..seconds / step {
            self.clock.advance(Duration::from_secs(step));
            self.tend().await;
        }
    }

    pub(crate) async fn depth(&self) -> Depth {
        let admin = self.broker.admin().expect("the broker has an admin side");
        let queues = std::slice::from_ref(&self.queue);
        admin.depth(queues).await.unwrap().remove(0)
    }
}

fn ledger_of(
    broker: &Arc<WatchedBroker>,
    store: &Arc<FlakyStore>,
    env: &Arc<dyn Env>,
    host: &str,
) -> Arc<dyn Ledger> {
    let mut process = new_owner(env);
    host.clone_into(&mut process.host);
    let options = SplitOptions::new(process, |owner| owner.host == GONE);
    let broker: Arc<dyn Broker> = Arc::<WatchedBroker>::clone(broker);
    let store: Arc<dyn StateStore> = Arc::<FlakyStore>::clone(store);
    Arc::new(SplitLedger::new(broker, store, Arc::clone(env), options))
}
