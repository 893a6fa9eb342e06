//! The whole worker on the memory engine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::field_reassign_with_default,
    reason = "these are tests; configuration types are non-exhaustive"
)]

mod cancel;
mod exec;
mod lease;
mod ledger;
mod outcomes;
mod queues;
mod shutdown;
mod suspects;
mod upkeep;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_memory::MemoryEngine;
use bananas_core::config::Config;
use bananas_core::{
    BoxFuture, Client, Env, JobId, JobRecord, JobState, Ledger, ManualEnv, Result, Task, Timestamp,
    TokioEnv,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use self::ledger::Troubled;
use bananas_worker::{Shutdown, Worker};

/// No test waits longer for anything.
const DEADLINE: Duration = Duration::from_secs(30);

/// A task whose handlers differ from test to test.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Work {
    n: u32,
}

impl Task for Work {
    const NAME: &'static str = "work";
    type Output = u32;
}

/// A memory engine behind a ledger that can be troubled, and what a worker needs beside it.
struct Stage {
    /// The real clock, for waiting in tests.
    real: Arc<dyn Env>,
    /// The worker's clock.
    env: Arc<dyn Env>,
    manual: Option<Arc<ManualEnv>>,
    /// How far a manual clock moves between two looks at a condition.
    step: Duration,
    ledger: Arc<Troubled>,
    config: Config,
}

/// A worker that runs beside the test.
struct Started {
    stop: Option<oneshot::Sender<()>>,
    force: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<Result<()>>,
}

/// A signal in two steps.
struct Urgency(oneshot::Receiver<()>);

impl Shutdown for Urgency {
    fn forced(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if self.0.await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

impl Stage {
    /// On the real clock.
    fn new() -> Self {
        let real: Arc<dyn Env> = Arc::new(TokioEnv::current());
        Self::on(Arc::clone(&real), real, None)
    }

    /// On a clock that the test moves.
    fn manual() -> Self {
        let real: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let start = Timestamp::from_micros(1_000_000_000_000);
        let manual = Arc::new(ManualEnv::new(Arc::clone(&real), start, 7));
        let env = Arc::<ManualEnv>::clone(&manual);
        Self::on(real, env, Some(manual))
    }

    fn on(real: Arc<dyn Env>, env: Arc<dyn Env>, manual: Option<Arc<ManualEnv>>) -> Self {
        let engine = MemoryEngine::new(Arc::clone(&env));
        let mut config = Config::default();
        config.worker.concurrency = 10;
        Self {
            real,
            env,
            manual,
            step: Duration::from_millis(50),
            ledger: Arc::new(Troubled::new(engine.ledger())),
            config,
        }
    }

    fn worker(&self) -> Worker {
        let ledger = Arc::<Troubled>::clone(&self.ledger);
        Worker::new(ledger, Arc::clone(&self.env), Arc::new(self.config.clone()))
    }

    fn client(&self) -> Client {
        let ledger = Arc::<Troubled>::clone(&self.ledger);
        Client::new(ledger, Arc::clone(&self.env), Arc::new(self.config.clone()))
    }

    async fn enqueue(&self, n: u32) -> JobId {
        self.client().enqueue(Work { n }).await.unwrap().id()
    }

    async fn record(&self, id: JobId) -> JobRecord {
        let records = self.ledger.index().unwrap().get(&[id]).await.unwrap();
        records.into_iter().next().flatten().unwrap()
    }

    /// Waits for a job's state; on a manual clock, time passes meanwhile.
    async fn reaches(&self, id: JobId, state: JobState) -> JobRecord {
        let what = format!("{id} is {state}");
        self.eventually(&what, async || {
            self.record(id).await.standing.state == state
        })
        .await;
        self.record(id).await
    }

    /// Waits for a condition; on a manual clock, time passes meanwhile.
    async fn eventually(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = self.real.monotonic() + DEADLINE;
        while !holds().await {
            assert!(self.real.monotonic() < deadline, "in vain: {what}");
            match &self.manual {
                Some(manual) => {
                    manual.advance(self.step);
                    self.let_others_run().await;
                }
                None => self.real.sleep(Duration::from_millis(2)).await,
            }
        }
    }

    /// Lets loops and handlers do what is due, so that a manual clock does not run away from them.
    async fn let_others_run(&self) {
        for _ in 0..3 {
            let mut turn = self.real.spawn_isolated("turn", Box::pin(async {}));
            turn.ended().await;
            tokio::task::yield_now().await;
        }
    }

    /// Lets time pass on a manual clock.
    async fn pass(&self, time: Duration) {
        let until = self.env.monotonic() + time;
        self.eventually("time passes", async || self.env.monotonic() >= until)
            .await;
    }

    /// Lets real time pass without moving a manual clock, so that whatever can happen happens.
    async fn settle_down(&self) {
        self.real.sleep(Duration::from_millis(100)).await;
    }

    fn start<S: Send + Sync + 'static>(&self, worker: Worker<S>) -> Started {
        let (stop, stopped) = oneshot::channel::<()>();
        let (force, forced) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let run = async move {
            let signal = async move {
                drop(stopped.await);
                Urgency(forced)
            };
            drop(end.send(worker.run_until(signal).await));
        };
        // Like a user's main: not where the handlers block.
        self.real.spawn_isolated("worker", Box::pin(run));
        Started {
            stop: Some(stop),
            force: Some(force),
            ended,
        }
    }

    /// Runs a worker until the jobs have reached the state, and stops it.
    async fn run<S: Send + Sync + 'static>(&self, worker: Worker<S>, until: &[(JobId, JobState)]) {
        let started = self.start(worker);
        for (id, state) in until {
            self.reaches(*id, *state).await;
        }
        started.stop(self).await.unwrap();
    }
}

impl Started {
    fn signal(&mut self) {
        self.stop.take();
    }

    fn force(&mut self) {
        if let Some(force) = self.force.take() {
            force.send(()).unwrap();
        }
    }

    /// The worker's answer; on a manual clock, time passes meanwhile.
    async fn ended(mut self, stage: &Stage) -> Result<()> {
        let mut answer = None;
        stage
            .eventually("the worker ends", async || {
                answer = answer.take().or_else(|| self.ended.try_recv().ok());
                answer.is_some()
            })
            .await;
        answer.unwrap()
    }

    async fn stop(mut self, stage: &Stage) -> Result<()> {
        self.signal();
        self.ended(stage).await
    }
}

/// A future that never ends, as handlers that hang.
fn for_ever() -> impl Future<Output = ()> {
    std::future::pending()
}
