//! The phases of a shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bananas_core::{Chore, JobState, Outcome, TokioEnv};
use tokio::sync::Semaphore;

use super::{DEADLINE, Stage, Work, for_ever};
use bananas_worker::{JobContext, TaskError, TaskResult};

/// A handler that waits at a gate.
fn gated(
    gate: &Arc<Semaphore>,
) -> impl bananas_worker::Signature<(Work,), Return: Future<Output = TaskResult<u32>> + Send> + use<>
{
    let gate = Arc::clone(gate);
    move |work: Work| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(work.n)
        }
    }
}

fn retired(stage: &Stage) -> bool {
    let chores = stage.ledger.chores.lock().unwrap();
    chores.iter().any(|chore| matches!(chore, Chore::Retire(_)))
}

#[tokio::test]
async fn after_the_signal_no_job_starts_and_running_ones_may_end() {
    let stage = Stage::manual();
    let gate = Arc::new(Semaphore::new(0));
    let running = stage.enqueue(1).await;
    let mut started = stage.start(stage.worker().handle(gated(&gate)));
    stage.reaches(running, JobState::Running).await;
    started.signal();
    stage.settle_down().await;
    let late = stage.enqueue(2).await;
    // Well within the grace of 25 s, on the worker's clock.
    stage.pass(Duration::from_secs(20)).await;
    assert_eq!(stage.record(late).await.standing.state, JobState::Ready);
    gate.add_permits(1);
    started.ended(&stage).await.unwrap();
    assert_eq!(
        stage.record(running).await.standing.state,
        JobState::Succeeded
    );
    assert_eq!(stage.record(late).await.standing.state, JobState::Ready);
    assert!(retired(&stage));
}

#[tokio::test]
async fn heartbeats_go_on_during_the_grace() {
    let mut stage = Stage::manual();
    stage.config.worker.shutdown_grace = Duration::from_secs(120);
    let gate = Arc::new(Semaphore::new(0));
    let running = stage.enqueue(1).await;
    let mut started = stage.start(stage.worker().handle(gated(&gate)));
    stage.reaches(running, JobState::Running).await;
    started.signal();
    stage.pass(stage.config.worker.lease * 4).await;
    gate.add_permits(1);
    started.ended(&stage).await.unwrap();
    let record = stage.record(running).await;
    assert_eq!(
        (record.standing.state, record.standing.crashes),
        (JobState::Succeeded, 0)
    );
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_given_back_without_using_an_attempt() {
    let stage = Stage::manual();
    let told = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&told);
    let handler = move |work: Work, job: JobContext| {
        let noted = Arc::clone(&noted);
        async move {
            if work.n == 0 {
                for_ever().await;
            }
            job.cancelled().await;
            noted.store(true, Ordering::SeqCst);
            Err(TaskError::from("interrupted"))
        }
    };
    let ids = [stage.enqueue(0).await, stage.enqueue(1).await];
    let mut started = stage.start(stage.worker().handle(handler));
    for id in ids {
        stage.reaches(id, JobState::Running).await;
    }
    let before = stage.env.now();
    started.signal();
    started.ended(&stage).await.unwrap();
    assert!(stage.env.now().since(before) >= stage.config.worker.shutdown_grace);
    assert!(told.load(Ordering::SeqCst));
    for id in ids {
        let record = stage.record(id).await;
        assert_eq!(record.standing.state, JobState::Ready);
        assert_eq!(
            (record.standing.failed_attempts, record.standing.crashes),
            (0, 0)
        );
        assert_eq!(record.note.as_deref(), Some("released by shutdown"));
        assert_eq!(stage.ledger.outcomes(id).len(), 1);
    }
    assert!(retired(&stage));
}

#[tokio::test]
async fn a_second_signal_gives_everything_back_at_once() {
    let stage = Stage::manual();
    let gate = Arc::new(Semaphore::new(0));
    let id = stage.enqueue(0).await;
    let mut started = stage.start(stage.worker().handle(gated(&gate)));
    stage.reaches(id, JobState::Running).await;
    let before = stage.env.now();
    started.signal();
    started.force();
    started.ended(&stage).await.unwrap();
    assert!(stage.env.now().since(before) < stage.config.worker.shutdown_grace);
    let released = Outcome::Release {
        run_at: None,
        note: Some("released by shutdown".to_owned()),
    };
    assert_eq!(stage.ledger.outcomes(id), [released]);
}

#[tokio::test]
async fn jobs_that_could_not_be_given_back_are_counted_and_the_owner_stays() {
    let stage = Stage::manual();
    let gate = Arc::new(Semaphore::new(0));
    let ids = [stage.enqueue(0).await, stage.enqueue(1).await];
    let mut started = stage.start(stage.worker().handle(gated(&gate)));
    for id in ids {
        stage.reaches(id, JobState::Running).await;
    }
    stage
        .ledger
        .failing_settles
        .store(usize::MAX, Ordering::SeqCst);
    started.signal();
    started.force();
    let error = started.ended(&stage).await.unwrap_err().to_string();
    assert!(
        error.contains("2 jobs could not be settled or given back"),
        "{error}"
    );
    assert!(!retired(&stage));
}

#[tokio::test]
async fn a_blocking_handler_that_cannot_be_stopped_is_left_to_its_lease() {
    let mut stage = Stage::new();
    stage.config.worker.shutdown_grace = Duration::ZERO;
    let (free, blocked) = mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let blocks = move |_: Work| -> TaskResult<u32> {
        blocked.lock().unwrap().recv().ok();
        Ok(0)
    };
    let id = stage.enqueue(0).await;
    let mut started = stage.start(stage.worker().handle_blocking(blocks));
    stage.reaches(id, JobState::Running).await;
    started.signal();
    let error = started.ended(&stage).await.unwrap_err().to_string();
    assert!(error.contains("1 jobs could not"), "{error}");
    assert_eq!(stage.record(id).await.standing.state, JobState::Running);
    drop(free);
}

#[tokio::test]
async fn a_blocking_job_that_waits_for_a_thread_is_given_back_and_does_not_start() {
    let mut stage = Stage::new();
    // Longer than the test waits: it must not be the end of the grace that gives it back.
    stage.config.worker.shutdown_grace = DEADLINE * 10;
    stage.config.worker.blocking_threads = 1;
    let (free, blocked) = mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let blocks = move |_: Work| -> TaskResult<u32> {
        counted.fetch_add(1, Ordering::SeqCst);
        blocked.lock().unwrap().recv().ok();
        Ok(0)
    };
    let ids = [stage.enqueue(0).await, stage.enqueue(1).await];
    let mut started = stage.start(stage.worker().handle_blocking(blocks));
    for id in ids {
        stage.reaches(id, JobState::Running).await;
    }
    let one_blocks = async || runs.load(Ordering::SeqCst) == 1;
    stage.eventually("one blocks", one_blocks).await;
    started.signal();
    let given_back = async || {
        let first = stage.record(ids[0]).await.standing.state;
        let second = stage.record(ids[1]).await.standing.state;
        [first, second].contains(&JobState::Ready)
    };
    stage
        .eventually("the other one is given back", given_back)
        .await;
    drop(free);
    started.ended(&stage).await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[test]
fn jobs_that_no_thread_has_begun_are_given_back_even_while_all_threads_are_blocked() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let users = builder.worker_threads(1).enable_all().build().unwrap();
    let tests = tokio::runtime::Runtime::new().unwrap();
    let (free, blocked) = mpsc::channel::<()>();
    let blocked = Arc::new(std::sync::Mutex::new(blocked));
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let handler = move |_: Work| {
        let (blocked, counted) = (Arc::clone(&blocked), Arc::clone(&counted));
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            blocked.lock().unwrap().recv().ok();
            Ok(0)
        }
    };
    tests.block_on(async {
        let mut stage = Stage::new();
        stage.env = Arc::new(TokioEnv::on(users.handle().clone()));
        let mut ids = Vec::new();
        for n in 0..5 {
            ids.push(stage.enqueue(n).await);
        }
        let mut started = stage.start(stage.worker().handle(handler));
        for id in &ids {
            stage.reaches(*id, JobState::Running).await;
        }
        stage
            .eventually("one blocks", async || begun.load(Ordering::SeqCst) == 1)
            .await;
        started.signal();
        let given_back = async || {
            let mut ready = 0;
            for id in &ids {
                ready += usize::from(stage.record(*id).await.standing.state == JobState::Ready);
            }
            ready == 4
        };
        stage.eventually("four are given back", given_back).await;
        drop(free);
        started.ended(&stage).await.unwrap();
        assert_eq!(begun.load(Ordering::SeqCst), 1);
    });
    users.shutdown_timeout(DEADLINE);
}

#[tokio::test]
async fn a_worker_that_is_dropped_takes_its_jobs_from_the_handlers() {
    struct Noted(Arc<AtomicBool>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let stage = Stage::new();
    let dropped = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&dropped);
    let handler = move |_: Work| {
        let noted = Noted(Arc::clone(&noted));
        async move {
            let _noted = noted;
            for_ever().await;
            Ok(0)
        }
    };
    let id = stage.enqueue(0).await;
    let worker = stage.worker().handle(handler);
    {
        let run = worker.run_until(std::future::pending::<()>());
        let mut run = std::pin::pin!(run);
        tokio::select! {
            _ = run.as_mut() => panic!("it never ends"),
            _ = stage.reaches(id, JobState::Running) => {}
        }
    }
    let drops = async || dropped.load(Ordering::SeqCst);
    stage.eventually("the handler is dropped", drops).await;
}
