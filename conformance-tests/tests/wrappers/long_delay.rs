//! Untracked jobs that wait longer than the broker can.

use std::sync::Arc;
use std::time::Duration;

use bananas_broker_memory::MemoryEngine;
use bananas_core::{
    Args, AttemptError, Broker, Chore, Claimed, Delay, Due, Env, ErrorCause, Job, JobSettled,
    JobState, Ledger, ManualEnv, Outcome, Owner, Publication, QueueName, Source, SourceSpec,
    SplitLedger, SplitOptions, StateStore, TaskName, Timestamp, TokioEnv, Track,
};
use bytes::Bytes;

use super::modest::{HOUR, Modest};

/// A ledger over a broker that keeps a message back for an hour at most.
struct Case {
    clock: Arc<ManualEnv>,
    inner: Arc<dyn Broker>,
    store: Arc<dyn StateStore>,
    ledger: SplitLedger,
}

impl Case {
    async fn open() -> Self {
        let start = Timestamp::from_micros(1_790_000_000_000_000);
        let clock = Arc::new(ManualEnv::new(Arc::new(TokioEnv::current()), start, 7));
        let env: Arc<dyn Env> = Arc::<ManualEnv>::clone(&clock);
        let engine = MemoryEngine::new(Arc::clone(&env));
        let (inner, store) = (engine.broker(), engine.store());
        let hour = Delay::Native {
            max: Some(HOUR),
            granularity: Duration::from_millis(1),
        };
        let broker = Modest::around(Arc::clone(&inner), hour, Arc::clone(&env));
        let options = SplitOptions::new(owner(&env), |_| false);
        let ledger = SplitLedger::new(Arc::new(broker), Arc::clone(&store), env, options);
        ledger.ensure(&[QueueName::default()]).await.unwrap();
        Self {
            clock,
            inner,
            store,
            ledger,
        }
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::<ManualEnv>::clone(&self.clock)
    }

    /// A process that starts now.
    fn owner(&self) -> Owner {
        owner(&self.env())
    }

    fn job(&self, track: Track, delay: Duration) -> Job {
        let env = self.env();
        let args = Args::Json(Bytes::from_static(b"null"));
        let mut job = Job::new(env.job_id(), TaskName::new("t").unwrap(), args, env.now());
        job.track = track;
        job.run_at = Some(env.now() + delay);
        job
    }

    async fn enqueue(&self, job: Job) {
        self.ledger.enqueue(vec![job]).await.remove(0).unwrap();
    }

    /// How many messages the broker has, and how many jobs the store.
    async fn kept(&self) -> (u64, u64) {
        let admin = self.inner.admin().unwrap();
        let depth = admin
            .depth(&[QueueName::default()])
            .await
            .unwrap()
            .remove(0);
        let messages = [depth.ready, depth.in_flight, depth.delayed, depth.dead];
        let messages = messages.iter().filter_map(|count| count.value()).sum();
        let counts = self.store.index().counts().await.unwrap();
        (messages, counts.iter().map(|count| count.jobs).sum())
    }

    async fn source(&self) -> Box<dyn Source> {
        let (owner, lease) = (self.owner(), Duration::from_secs(15));
        self.ledger.renew(&owner, lease).await.unwrap();
        let spec = SourceSpec::new(QueueName::default(), owner);
        self.ledger.open(spec).await.unwrap()
    }

    /// What runs now, after the scheduler's chores.
    async fn next(&self) -> Vec<Claimed> {
        self.ledger.tend(Chore::Promote).await.unwrap();
        let mut source = self.source().await;
        source.next(10, 10, Duration::ZERO).await.unwrap()
    }

    async fn settle(&self, claimed: Claimed, outcome: Outcome) -> JobSettled {
        let mut settled = self.ledger.settle(vec![(claimed, outcome)]).await;
        settled.remove(0).unwrap()
    }

    fn retry_in(&self, delay: Duration) -> Outcome {
        let (now, failed) = (self.clock.now(), ErrorCause::Failed);
        Outcome::Retry {
            run_at: now + delay,
            error: AttemptError::new(1, now, failed, "not yet".to_owned()),
        }
    }
}

fn owner(env: &Arc<dyn Env>) -> Owner {
    Owner {
        id: env.owner_id(),
        host: "here".to_owned(),
        boot_id: String::new(),
        pid: 1,
        pid_started: 0,
    }
}

fn success() -> Outcome {
    Outcome::Succeeded {
        result: Bytes::from_static(b"null"),
    }
}

#[tokio::test]
async fn a_job_waits_in_the_store_when_the_broker_cannot_keep_it_so_long() {
    for (track, left) in [(Track::None, 0), (Track::Outcome, 1)] {
        let case = Case::open().await;
        case.enqueue(case.job(track, HOUR * 48)).await;
        assert_eq!(case.kept().await, (0, 1));
        case.clock.advance(HOUR * 47);
        assert!(case.next().await.is_empty());
        case.clock.advance(HOUR);
        let claimed = case.next().await.remove(0);
        let settled = case.settle(claimed, success()).await;
        assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
        assert_eq!(case.kept().await, (0, left));
        assert!(case.next().await.is_empty());
    }
}

#[tokio::test]
async fn a_delay_that_the_broker_can_keep_costs_no_record() {
    let case = Case::open().await;
    case.enqueue(case.job(Track::None, HOUR)).await;
    assert_eq!(case.kept().await, (1, 0));
    case.clock.advance(HOUR);
    let claimed = case.next().await.remove(0);
    case.settle(claimed, case.retry_in(HOUR)).await;
    assert_eq!(case.kept().await, (1, 0));
}

#[tokio::test]
async fn a_retry_beyond_the_broker_waits_in_the_store_and_counts_its_attempt() {
    for track in [Track::None, Track::Outcome] {
        let case = Case::open().await;
        case.enqueue(case.job(track, Duration::ZERO)).await;
        let claimed = case.next().await.remove(0);
        let settled = case.settle(claimed.clone(), case.retry_in(HOUR * 2)).await;
        assert_eq!(settled, JobSettled::Settled(JobState::Retrying));
        assert_eq!(case.kept().await, (0, 1));
        case.clock.advance(HOUR * 2);
        let again = case.next().await.remove(0);
        assert_eq!((again.job.id, again.attempt), (claimed.job.id, 2));
        // Once recorded, it is retried by its record.
        case.settle(again, case.retry_in(HOUR * 3)).await;
        case.clock.advance(HOUR * 3);
        let last = case.next().await.remove(0);
        assert_eq!((last.job.id, last.attempt), (claimed.job.id, 3));
    }
}

#[tokio::test]
async fn a_job_that_expires_while_it_waits_in_the_store_never_runs_again() {
    let case = Case::open().await;
    let mut job = case.job(Track::None, Duration::ZERO);
    job.expires_at = Some(case.clock.now() + HOUR * 2);
    case.enqueue(job).await;
    let claimed = case.next().await.remove(0);
    case.settle(claimed, case.retry_in(HOUR * 3)).await;
    case.clock.advance(HOUR * 3);
    assert!(case.next().await.is_empty());
    assert_eq!(case.kept().await.0, 0);
}

#[tokio::test]
async fn a_release_beyond_the_broker_waits_in_the_store_and_uses_no_attempt() {
    let case = Case::open().await;
    case.enqueue(case.job(Track::None, Duration::ZERO)).await;
    let claimed = case.next().await.remove(0);
    let release = Outcome::Release {
        run_at: Some(case.clock.now() + HOUR * 2),
        note: None,
    };
    let settled = case.settle(claimed, release).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Scheduled));
    case.clock.advance(HOUR * 2);
    assert_eq!(case.next().await.remove(0).attempt, 1);
}

#[tokio::test]
async fn a_job_that_was_due_and_never_published_is_published_again() {
    let case = Case::open().await;
    case.enqueue(case.job(Track::None, HOUR * 2)).await;
    case.clock.advance(HOUR * 2);
    // What a scheduler does that dies before it publishes.
    let due = Due {
        now: case.clock.now(),
        max: 10,
        publication: Some(Publication {
            id: case.env().batch_id(),
            owner: case.owner(),
        }),
    };
    assert_eq!(case.store.jobs().due(due).await.unwrap().moved, 1);
    assert!(case.next().await.is_empty());
    case.clock.advance(Duration::from_secs(31));
    case.ledger.tend(Chore::Republish).await.unwrap();
    assert_eq!(case.next().await.len(), 1);
}

#[tokio::test]
async fn the_ledger_says_that_it_keeps_every_delay() {
    let delay = Case::open().await.ledger.info().capabilities.delay;
    assert!(
        matches!(delay, Delay::Native { max: None, .. }),
        "{delay:?}"
    );
}
