//! What the tests of this crate share: a place on disk, clocks that move by hand, jobs.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Args, Env, Job, JobId, JobRef, JobSettle, JobStore, ManualEnv, NewRecord, Outcome, Owner,
    QueueName, Recorded, StateStore, Taken, Taker, Timestamp, TokioEnv,
};
use bytes::Bytes;
use tempfile::TempDir;

use crate::boot_clock::manual::ManualBootClock;
use crate::{SqliteConfig, SqliteEngine};

/// Longer than anything here should take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with one database file, and the clocks of those who open it.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) env: Arc<ManualEnv>,
    pub(crate) boot: Arc<ManualBootClock>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let tasks: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let start = Timestamp::from_micros(1_800_000_000_000_000);
        Self {
            directory: tempfile::tempdir().unwrap(),
            env: Arc::new(ManualEnv::new(tasks, start, 7)),
            boot: ManualBootClock::new(),
        }
    }

    pub(crate) fn config(&self) -> SqliteConfig {
        SqliteConfig {
            path: self.directory.path().join("jobs.db"),
            synchronous: crate::Synchronous::Normal,
            ..SqliteConfig::default()
        }
    }

    /// Opens the file once more, as another process would.
    pub(crate) async fn open(&self) -> Arc<SqliteEngine> {
        let env: Arc<dyn Env> = Arc::<ManualEnv>::clone(&self.env);
        SqliteEngine::open_with(
            self.config(),
            env,
            Arc::<ManualBootClock>::clone(&self.boot),
        )
        .await
        .unwrap()
    }

    /// Moves all clocks.
    pub(crate) fn advance(&self, by: Duration) {
        self.boot.advance(by);
        self.env.advance(by);
    }

    pub(crate) fn owner(&self) -> Owner {
        let env: &dyn Env = &*self.env;
        Owner {
            id: env.owner_id(),
            host: "here".to_owned(),
            boot_id: "boot-1".to_owned(),
            pid: 1,
            pid_started: 1,
        }
    }

    /// An owner with a lease of 15 s.
    pub(crate) async fn enlisted(&self, store: &Arc<dyn StateStore>) -> Owner {
        let owner = self.owner();
        store
            .jobs()
            .renew(&owner, Duration::from_secs(15))
            .await
            .unwrap();
        owner
    }

    pub(crate) fn job(&self) -> Job {
        let env: &dyn Env = &*self.env;
        let mut job = Job::new(
            env.job_id(),
            "email.welcome".parse().unwrap(),
            Args::from_json("{}").unwrap(),
            env.now(),
        );
        job.queue = mail();
        job
    }

    pub(crate) fn new_record(&self, job: &Job) -> NewRecord {
        NewRecord::of(job, Bytes::from_static(b"{\"v\":1}"), self.env.now())
    }

    /// Records so many ready jobs.
    pub(crate) async fn record(&self, store: &Arc<dyn StateStore>, jobs: usize) -> Vec<JobId> {
        let records: Vec<NewRecord> = (0..jobs).map(|_| self.new_record(&self.job())).collect();
        let ids = records.iter().map(|record| record.id).collect();
        for answer in store.jobs().record(records, None).await {
            assert_eq!(answer.unwrap(), Recorded::New);
        }
        ids
    }
}

/// Waits in real time, so that what never happens is a failure and not a hang.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let real: Arc<dyn Env> = Arc::new(TokioEnv::current());
    real.within(PATIENCE, future)
        .await
        .expect("nothing happened")
}

/// The queue of the tests.
pub(crate) fn mail() -> QueueName {
    QueueName::new("mail").unwrap()
}

/// The end of a run.
pub(crate) fn ended(taken: &Taken, outcome: Outcome) -> JobSettle {
    JobSettle {
        job: JobRef {
            queue: mail(),
            id: taken.id,
        },
        epoch: taken.epoch,
        outcome,
    }
}

/// A good end.
pub(crate) fn success() -> Outcome {
    Outcome::Succeeded {
        result: Bytes::from_static(b"42"),
    }
}

/// Takes what is there now.
pub(crate) async fn take(taker: &mut Box<dyn Taker>, max: usize) -> Vec<Taken> {
    taker.take(max, 1, Duration::ZERO).await.unwrap()
}

/// One answer of a batch of one.
pub(crate) async fn settle_one(
    store: &dyn JobStore,
    settle: JobSettle,
) -> bananas_core::JobSettled {
    store.settle(vec![settle]).await.remove(0).unwrap()
}
