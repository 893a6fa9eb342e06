//! [`Engine`]: what the loops of one running worker share.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bananas_core::config::{Config, WorkerConfig};
use bananas_core::{Env, Error, ErrorKind, Ledger, Outcome, QueueName, Renewed, Result};
use tokio::sync::{mpsc, watch};

use crate::process;
use crate::registry::Registry;
use crate::runs::{Lane, Run, Running, Slots, Suspects, Tenancy, Tenure};

/// The shortest lease that is honoured; renewing more often than three times a second helps nobody.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// A run that has ended, and how; `None` when it must not be settled.
pub(crate) type Done = (Arc<Run>, Option<Outcome>);

/// How far the shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Jobs are claimed and run.
    Running,
    /// No job is claimed any more.
    Draining,
}

/// What the loops share.
pub(crate) struct Engine {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) config: WorkerConfig,
    pub(crate) registry: Registry,
    pub(crate) lanes: Vec<Arc<Lane>>,
    pub(crate) suspects: Arc<Suspects>,
    pub(crate) running: Running,
    pub(crate) tenancy: Tenancy,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) tally: Tally,
    done: mpsc::UnboundedSender<Done>,
}

/// What has been counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Ends that the ledger recorded.
    pub(crate) settled: AtomicU64,
    /// Ends that came too late: the job had been taken away.
    pub(crate) stale: AtomicU64,
    /// Runs that ended under a lease that was lost.
    pub(crate) lost: AtomicU64,
    /// Runs that nobody settled: they end with the lease.
    pub(crate) left: AtomicU64,
}

impl Engine {
    /// Enlists this process and puts the parts together. The bound of the channel for ended runs is that of
    /// the table: nothing is claimed while too many runs wait to be settled.
    pub(crate) async fn start(
        ledger: Arc<dyn Ledger>,
        env: Arc<dyn Env>,
        config: &Config,
        registry: Registry,
        queues: &BTreeSet<QueueName>,
    ) -> Result<(Arc<Self>, mpsc::UnboundedReceiver<Done>)> {
        let names: Vec<QueueName> = queues.iter().cloned().collect();
        ledger.ensure(&names).await?;
        let tenure = enlist(&ledger, &env, lease(&config.worker)).await?;
        let slots = Slots::new(config.worker.concurrency);
        let lane = |queue: &QueueName| {
            let own = config.queues.get(queue).and_then(|q| q.concurrency);
            slots.lane(queue.clone(), own.unwrap_or(config.worker.concurrency))
        };
        let (done, receiver) = mpsc::unbounded_channel();
        let engine = Self {
            lanes: queues.iter().map(lane).collect(),
            suspects: Arc::default(),
            running: Running::default(),
            tenancy: Tenancy::new(tenure),
            phase: watch::Sender::new(Phase::Running),
            tally: Tally::default(),
            config: config.worker.clone(),
            ledger,
            env,
            registry,
            done,
        };
        Ok((Arc::new(engine), receiver))
    }

    pub(crate) fn lease(&self) -> Duration {
        lease(&self.config)
    }

    /// Enlists this process as a new owner.
    pub(crate) async fn enlist(&self) -> Result<Arc<Tenure>> {
        enlist(&self.ledger, &self.env, self.lease()).await
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.phase.borrow() != Phase::Running
    }

    /// Waits until no job is to be claimed any more.
    pub(crate) async fn draining(&self) {
        let mut phase = self.phase.subscribe();
        // The sender is `self`, so the only end is the one waited for.
        drop(phase.wait_for(|phase| *phase != Phase::Running).await);
    }

    /// Hands a run that has ended to the settler and frees its slot.
    pub(crate) fn finish(&self, run: Arc<Run>, outcome: Option<Outcome>) {
        let lane = Arc::clone(&run.lane);
        // The settler is gone only after a shutdown that has already counted this run as left.
        drop(self.done.send((run, outcome)));
        lane.give_back(1);
    }

    /// A duration spread by a quarter in both directions, so that many workers do not act in step.
    pub(crate) fn jittered(&self, duration: Duration) -> Duration {
        let part = u32::try_from(self.env.random() % 512).unwrap_or(0);
        duration * 3 / 4 + duration * part / 1_024
    }
}

impl Tally {
    pub(crate) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::SeqCst);
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("registry", &self.registry)
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

fn lease(config: &WorkerConfig) -> Duration {
    config.lease.max(SHORTEST_LEASE)
}

async fn enlist(
    ledger: &Arc<dyn Ledger>,
    env: &Arc<dyn Env>,
    lease: Duration,
) -> Result<Arc<Tenure>> {
    let owner = process::owner(env);
    let sent = env.monotonic();
    match env.within(lease, ledger.renew(&owner, lease)).await {
        Ok(Ok(Renewed::Held { .. })) => Ok(Tenure::new(owner, sent)),
        Ok(Ok(Renewed::Lost)) => {
            let text = "the store refuses a new worker as one that it has declared dead";
            Err(Error::new(ErrorKind::Internal, text).during("enlist"))
        }
        Ok(Err(e)) => Err(e.during("enlist")),
        Err(_) => {
            let text = format!("no answer within the lease of {lease:?}");
            Err(Error::new(ErrorKind::Timeout, text).during("enlist"))
        }
    }
}
