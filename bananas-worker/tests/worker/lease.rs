//! The lease: kept whatever the handlers do, given up in time when it cannot be kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bananas_core::{Chore, JobState, ManualEnv, Timestamp, TokioEnv};

use super::{DEADLINE, Stage, Work};
use bananas_worker::{JobContext, TaskError, TaskResult};

#[test]
fn handlers_that_block_every_thread_stop_neither_heartbeats_nor_settles() {
    let runtime = |threads| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(threads)
            .enable_all()
            .build()
            .unwrap()
    };
    let (users, tests) = (runtime(2), runtime(1));
    let (free, blocked) = mpsc::channel::<()>();
    let blocked = Arc::new(std::sync::Mutex::new(blocked));
    let handler = move |work: Work| {
        let blocked = Arc::clone(&blocked);
        async move {
            if work.n > 0 {
                // Until the test ends; careless, as user code can be.
                blocked.lock().unwrap().recv().ok();
            }
            Ok(work.n)
        }
    };
    tests.block_on(async {
        let mut stage = Stage::new();
        stage.env = Arc::new(TokioEnv::on(users.handle().clone()));
        stage.config.worker.lease = Duration::from_secs(1);
        stage.config.worker.shutdown_grace = Duration::from_secs(60);
        let quick = stage.enqueue(0).await;
        let started = stage.start(stage.worker().handle(handler));
        stage.reaches(quick, JobState::Succeeded).await;
        let blocks = [
            stage.enqueue(1).await,
            stage.enqueue(2).await,
            stage.enqueue(3).await,
        ];
        for id in blocks {
            stage.reaches(id, JobState::Running).await;
        }
        let before = stage.ledger.renewals.load(Ordering::SeqCst);
        let renews = async || stage.ledger.renewals.load(Ordering::SeqCst) >= before + 9;
        stage
            .eventually("nine renewals, three leases long", renews)
            .await;
        for id in blocks {
            let record = stage.record(id).await;
            assert_eq!((record.standing.crashes, record.standing.epoch), (0, 1));
        }
        drop(free);
        for id in blocks {
            stage.reaches(id, JobState::Succeeded).await;
        }
        started.stop(&stage).await.unwrap();
    });
    users.shutdown_timeout(DEADLINE);
}

#[tokio::test]
async fn a_worker_that_was_declared_dead_stops_its_jobs_and_goes_on_as_a_new_owner() {
    let mut stage = Stage::new();
    stage.config.worker.lease = Duration::from_secs(1);
    let id = stage.enqueue(0).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let handler = move |_: Work, job: JobContext| {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if run == 0 {
                job.cancelled().await;
                return Err(TaskError::fatal("must not be recorded"));
            }
            Ok(run)
        }
    };
    let worker = stage.worker().handle(handler);
    let started = stage.start(worker);
    let first = stage
        .reaches(id, JobState::Running)
        .await
        .standing
        .owner
        .unwrap();
    stage.ledger.tend_directly(Chore::Retire(vec![first])).await;
    let record = stage.reaches(id, JobState::Succeeded).await;
    assert_eq!(record.standing.crashes, 1);
    assert!(
        record
            .errors
            .iter()
            .all(|e| e.message != "must not be recorded")
    );
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_cannot_renew_stops_its_jobs_before_the_lease_ends() {
    let stage = Stage::manual();
    let id = stage.enqueue(0).await;
    let runs = Arc::new(AtomicU32::new(0));
    let stopped_at = Arc::new(std::sync::Mutex::new(None));
    let (counted, noted) = (Arc::clone(&runs), Arc::clone(&stopped_at));
    let env = Arc::clone(&stage.env);
    let handler = move |_: Work, job: JobContext| {
        let (env, noted) = (Arc::clone(&env), Arc::clone(&noted));
        let run = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if run == 0 {
                job.cancelled().await;
                *noted.lock().unwrap() = Some(env.now());
                return Err(TaskError::fatal("must not be recorded"));
            }
            Ok(run)
        }
    };
    let started = stage.start(stage.worker().handle(handler));
    stage.reaches(id, JobState::Running).await;
    stage.ledger.renew_hangs.store(true, Ordering::SeqCst);
    let hung = stage.env.now();
    let stops = async || stopped_at.lock().unwrap().is_some();
    stage.eventually("the handler is told to stop", stops).await;
    let waited = stopped_at.lock().unwrap().unwrap().since(hung);
    assert!(waited < stage.config.worker.lease, "{waited:?}");
    assert!(
        waited > Duration::from_secs(5),
        "not at the first failure: {waited:?}"
    );
    stage.ledger.renew_hangs.store(false, Ordering::SeqCst);
    let record = stage.reaches(id, JobState::Succeeded).await;
    assert_eq!((record.standing.crashes, record.errors.len()), (1, 1));
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn a_heartbeat_that_fails_or_panics_once_loses_nothing() {
    let stage = Stage::manual();
    let id = stage.enqueue(0).await;
    let handler = async |_: Work, job: JobContext| {
        job.cancelled().await;
        Err(TaskError::snooze(Duration::from_secs(1)))
    };
    let started = stage.start(stage.worker().handle(handler));
    let owner = stage.reaches(id, JobState::Running).await.standing.owner;
    stage.ledger.renew_panics.store(true, Ordering::SeqCst);
    let panicked = async || !stage.ledger.renew_panics.load(Ordering::SeqCst);
    stage.eventually("it panics", panicked).await;
    stage.ledger.renew_fails.store(true, Ordering::SeqCst);
    stage.pass(Duration::from_secs(3)).await;
    stage.ledger.renew_fails.store(false, Ordering::SeqCst);
    stage.pass(stage.config.worker.lease * 3).await;
    let record = stage.record(id).await;
    assert_eq!((record.standing.owner, record.standing.crashes), (owner, 0));
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn a_wall_clock_that_jumps_ends_no_lease() {
    let stage = Stage::manual();
    let id = stage.enqueue(0).await;
    let handler = async |_: Work, job: JobContext| {
        job.cancelled().await;
        Err(TaskError::snooze(Duration::from_secs(1)))
    };
    let started = stage.start(stage.worker().handle(handler));
    stage.reaches(id, JobState::Running).await;
    let clock: &ManualEnv = stage.manual.as_ref().unwrap();
    for jump in [
        Timestamp::from_micros(0),
        stage.env.now() + Duration::from_secs(1 << 30),
    ] {
        clock.set_wall_clock(jump);
        stage.pass(stage.config.worker.lease).await;
        let standing = stage.record(id).await.standing;
        assert_eq!((standing.state, standing.crashes), (JobState::Running, 0));
    }
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn a_claim_that_arrives_after_the_lease_was_lost_does_not_run() {
    let stage = Stage::manual();
    // Claimed under a valid lease; the answer comes when the lease is lost and there is no new owner yet.
    let late = stage.config.worker.lease - Duration::from_secs(2);
    *stage.ledger.slow_claims.lock().unwrap() = Some((Arc::clone(&stage.env), late));
    let id = stage.enqueue(1).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let started = stage.start(stage.worker().handle(move |work: Work| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { TaskResult::Ok(work.n) }
    }));
    stage.reaches(id, JobState::Running).await;
    stage.ledger.renew_hangs.store(true, Ordering::SeqCst);
    stage
        .pass(stage.config.worker.lease + Duration::from_secs(3))
        .await;
    assert_eq!(runs.load(Ordering::SeqCst), 0, "its lease is gone");

    stage.ledger.renew_hangs.store(false, Ordering::SeqCst);
    *stage.ledger.slow_claims.lock().unwrap() = None;
    let record = stage.reaches(id, JobState::Succeeded).await;
    assert_eq!(
        (record.standing.crashes, runs.load(Ordering::SeqCst)),
        (1, 1)
    );
    started.stop(&stage).await.unwrap();
}
