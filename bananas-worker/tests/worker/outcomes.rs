//! From what a handler does to what becomes of its job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use bananas_core::{
    Args, Backoff, DeadReason, ErrorCause, Job, JobState, TaskName, Track, config::TaskConfig,
};

use super::{Stage, Work, for_ever};
use bananas_worker::{Attempt, FromRef, JobContext, State, TaskError, TaskResult};

#[derive(Clone)]
struct Smtp(&'static str);

#[derive(Clone)]
struct Everything {
    smtp: Smtp,
}

impl FromRef<Everything> for Smtp {
    fn from_ref(state: &Everything) -> Self {
        state.smtp.clone()
    }
}

/// A policy without chance: five attempts, 10 s, 20 s, 40 s between them.
fn policy() -> TaskConfig {
    let mut policy = TaskConfig::default();
    policy.max_attempts = Some(3);
    let mut backoff = Backoff::default();
    backoff.base = Duration::from_secs(10);
    backoff.jitter = false;
    policy.backoff = Some(backoff);
    policy
}

fn name() -> TaskName {
    TaskName::new("work").unwrap()
}

#[tokio::test]
async fn a_handler_gets_its_task_state_and_context_and_its_result_is_stored() {
    async fn add(
        work: Work,
        State(smtp): State<Smtp>,
        attempt: Attempt,
        job: JobContext,
    ) -> TaskResult<u32> {
        assert_eq!((smtp.0, attempt.0, job.attempt()), ("relay", 1, 1));
        assert_eq!(job.idempotency_key(), job.id().to_string());
        assert_eq!(
            (job.task().as_str(), job.queue().as_str()),
            ("work", "default")
        );
        assert_eq!(job.fencing_token(), 1);
        assert_eq!(job.meta()["tenant"], "acme");
        Ok(work.n + 1)
    }
    let stage = Stage::new();
    let enqueue = stage.client().enqueue(Work { n: 41 });
    let id = enqueue.meta("tenant", "acme").await.unwrap().id();
    let state = Everything {
        smtp: Smtp("relay"),
    };
    let worker = stage.worker().state(state).handle(add);
    stage.run(worker, &[(id, JobState::Succeeded)]).await;
    assert_eq!(stage.record(id).await.result.unwrap(), "42");
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_with_its_text() {
    async fn panics(work: Work) -> TaskResult<u32> {
        panic!("no number {}", work.n)
    }
    let stage = Stage::new();
    let id = stage.enqueue(7).await;
    let worker = stage.worker().handle(panics);
    stage.run(worker, &[(id, JobState::Retrying)]).await;
    let record = stage.record(id).await;
    assert_eq!(record.errors[0].cause, ErrorCause::Panicked);
    assert_eq!(record.errors[0].message, "no number 7");
    assert_eq!(record.standing.failed_attempts, 1);
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_a_failed_attempt() {
    let stage = Stage::manual();
    let hangs = async |_: Work| -> TaskResult<u32> {
        for_ever().await;
        Ok(0)
    };
    let enqueue = stage.client().enqueue(Work::default());
    let id = enqueue.timeout(Duration::from_secs(3)).await.unwrap().id();
    let before = stage.env.now();
    let worker = stage.worker().handle(hangs);
    stage.run(worker, &[(id, JobState::Retrying)]).await;
    let error = &stage.record(id).await.errors[0];
    assert_eq!(
        (error.cause, error.message.as_str()),
        (ErrorCause::TimedOut, "timed out after 3s")
    );
    assert!(error.at >= before + Duration::from_secs(3));
}

#[tokio::test]
async fn a_failing_job_is_tried_again_by_its_backoff_and_then_set_aside() {
    let mut stage = Stage::manual();
    stage.config.tasks.insert(name(), policy());
    let id = stage.enqueue(0).await;
    let fails = async |_: Work, attempt: Attempt| -> TaskResult<u32> {
        Err(format!("failure {}", attempt.0).into())
    };
    let worker = stage.worker().handle(fails);
    stage.run(worker, &[(id, JobState::Dead)]).await;
    let record = stage.record(id).await;
    let texts: Vec<_> = record.errors.iter().map(|e| e.message.as_str()).collect();
    assert_eq!(texts, ["failure 1", "failure 2", "failure 3"]);
    assert_eq!(record.standing.reason, Some(DeadReason::AttemptsUsedUp));
    let waited = |n: usize| record.errors[n + 1].at.since(record.errors[n].at);
    assert!(waited(0) >= Duration::from_secs(10) && waited(0) < Duration::from_secs(20));
    assert!(waited(1) >= Duration::from_secs(20));
}

#[tokio::test]
async fn a_fatal_error_sets_the_job_aside_at_once() {
    async fn gives_up(_: Work) -> TaskResult<u32> {
        Err(TaskError::fatal("no such user"))
    }
    let stage = Stage::new();
    let id = stage.enqueue(0).await;
    let worker = stage.worker().handle(gives_up);
    stage.run(worker, &[(id, JobState::Dead)]).await;
    let record = stage.record(id).await;
    assert_eq!(record.standing.reason, Some(DeadReason::Fatal));
    assert_eq!(record.errors[0].message, "no such user");
}

#[tokio::test]
async fn retry_after_wins_over_the_backoff_and_uses_an_attempt() {
    async fn busy(_: Work) -> TaskResult<u32> {
        Err(TaskError::retry_after(Duration::from_secs(777), "busy"))
    }
    let stage = Stage::manual();
    let id = stage.enqueue(0).await;
    let worker = stage.worker().handle(busy);
    stage.run(worker, &[(id, JobState::Retrying)]).await;
    let record = stage.record(id).await;
    let delay = record.standing.run_at.unwrap().since(record.errors[0].at);
    assert_eq!(delay, Duration::from_secs(777));
    assert_eq!(record.standing.failed_attempts, 1);
}

#[tokio::test]
async fn snoozing_uses_no_attempt() {
    let stage = Stage::manual();
    let id = stage.enqueue(0).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let sleepy = move |_: Work, attempt: Attempt| {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_eq!(attempt.0, 1);
            if run == 0 {
                return Err(TaskError::snooze(Duration::from_secs(60)));
            }
            Ok(run)
        }
    };
    let started = stage.start(stage.worker().handle(sleepy));
    let record = stage.reaches(id, JobState::Scheduled).await;
    assert_eq!(record.note.as_deref(), Some("snoozed"));
    assert_eq!(record.standing.failed_attempts, 0);
    let record = stage.reaches(id, JobState::Succeeded).await;
    assert_eq!(record.result.unwrap(), "1");
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn a_job_of_an_unknown_task_is_put_off_and_says_why() {
    let stage = Stage::manual();
    let args = Args::encode(&()).unwrap();
    let other = TaskName::new("other").unwrap();
    let job = Job::new(stage.env.job_id(), other, args, stage.env.now());
    let id = job.id;
    stage
        .client()
        .enqueue_jobs(vec![job])
        .await
        .remove(0)
        .unwrap();
    async fn handler(_: Work) -> TaskResult<u32> {
        Ok(0)
    }
    let started = stage.start(stage.worker().handle(handler));
    let puts_off = async || stage.ledger.outcomes(id).len() >= 4;
    stage.eventually("it is put off four times", puts_off).await;
    started.stop(&stage).await.unwrap();
    let record = stage.record(id).await;
    assert_eq!(record.note.as_deref(), Some("no worker for task \"other\""));
    assert_eq!(record.standing.failed_attempts, 0);
    let waited = stage.env.now().since(record.created_at);
    assert!(
        waited >= Duration::from_secs(20),
        "each delay is longer: {waited:?}"
    );
}

#[tokio::test]
async fn arguments_that_do_not_fit_set_the_job_aside() {
    async fn handler(_: Work) -> TaskResult<u32> {
        Ok(0)
    }
    let stage = Stage::new();
    let args = Args::from_json("{\"n\": \"many\"}").unwrap();
    let job = Job::new(stage.env.job_id(), name(), args, stage.env.now());
    let id = job.id;
    stage
        .client()
        .enqueue_jobs(vec![job])
        .await
        .remove(0)
        .unwrap();
    let worker = stage.worker().handle(handler);
    stage.run(worker, &[(id, JobState::Dead)]).await;
    let record = stage.record(id).await;
    assert_eq!(record.standing.reason, Some(DeadReason::Fatal));
    let text = &record.errors[0].message;
    assert!(
        text.contains("arguments do not fit the task") && text.contains("u32"),
        "{text}"
    );
}

#[tokio::test]
async fn a_result_that_is_too_large_sets_the_job_aside_with_both_sizes() {
    async fn handler(_: Work) -> TaskResult<u32> {
        Ok(1_000_000)
    }
    let mut stage = Stage::new();
    stage.config.worker.max_result_bytes = 5;
    let id = stage.enqueue(0).await;
    let worker = stage.worker().handle(handler);
    stage.run(worker, &[(id, JobState::Dead)]).await;
    let record = stage.record(id).await;
    let text = &record.errors[0].message;
    for part in ["the run succeeded", "7 bytes", "is 5;"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(record.standing.reason, Some(DeadReason::Fatal));
}

#[tokio::test]
async fn what_has_ended_is_settled_when_the_store_is_back() {
    async fn handler(work: Work) -> TaskResult<u32> {
        Ok(work.n)
    }
    let stage = Stage::new();
    stage.ledger.failing_settles.store(3, Ordering::SeqCst);
    let ids = [stage.enqueue(1).await, stage.enqueue(2).await];
    let worker = stage.worker().handle(handler);
    stage
        .run(worker, &ids.map(|id| (id, JobState::Succeeded)))
        .await;
    assert_eq!(stage.ledger.failing_settles.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_job_that_cannot_be_settled_holds_up_no_other() {
    async fn handler(work: Work) -> TaskResult<u32> {
        Ok(work.n)
    }
    let stage = Stage::manual();
    let bad = stage.enqueue(0).await;
    *stage.ledger.unsettled.lock().unwrap() = Some(bad);
    let started = stage.start(stage.worker().handle(handler));
    // Until the waits between two trials are as long as they get.
    stage.pass(Duration::from_secs(60)).await;
    let before = stage.env.now();
    for n in 1..10 {
        let id = stage.enqueue(n).await;
        stage.reaches(id, JobState::Succeeded).await;
    }
    assert!(stage.env.now().since(before) < Duration::from_secs(5));
    assert_eq!(stage.record(bad).await.standing.state, JobState::Running);
    *stage.ledger.unsettled.lock().unwrap() = None;
    stage.reaches(bad, JobState::Succeeded).await;
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn blocking_handlers_run_side_by_side_up_to_their_number_of_threads() {
    let mut stage = Stage::new();
    stage.config.worker.blocking_threads = 3;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, high) = (Arc::clone(&now), Arc::clone(&most));
    let barrier = Arc::new(std::sync::Barrier::new(3));
    let blocks = move |work: Work| -> TaskResult<u32> {
        let here = inside.fetch_add(1, Ordering::SeqCst) + 1;
        high.fetch_max(here, Ordering::SeqCst);
        // Three must be here at once, or none gets on.
        barrier.wait();
        inside.fetch_sub(1, Ordering::SeqCst);
        if work.n == 0 {
            panic!("in a thread")
        } else {
            Ok(work.n)
        }
    };
    let mut until = Vec::new();
    for n in 0..9 {
        let state = if n == 0 {
            JobState::Retrying
        } else {
            JobState::Succeeded
        };
        until.push((stage.enqueue(n).await, state));
    }
    let worker = stage.worker().handle_blocking(blocks);
    stage.run(worker, &until).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(
        stage.record(until[0].0).await.errors[0].message,
        "in a thread"
    );
}

#[tokio::test]
async fn an_untracked_job_that_succeeds_leaves_nothing_behind() {
    async fn handler(work: Work) -> TaskResult<u32> {
        Ok(work.n)
    }
    let mut stage = Stage::new();
    let mut untracked = TaskConfig::default();
    untracked.track = Some(Track::None);
    stage.config.tasks.insert(name(), untracked);
    let id = stage.enqueue(1).await;
    let started = stage.start(stage.worker().handle(handler));
    let settles = async || stage.ledger.outcomes(id).len() == 1;
    stage.eventually("it is settled", settles).await;
    started.stop(&stage).await.unwrap();
    let left = stage.ledger.real_index(id).await;
    assert!(left.is_none());
}

#[tokio::test]
async fn a_success_is_recorded_as_one_however_the_store_refused_it_before() {
    async fn handler(work: Work) -> TaskResult<u32> {
        Ok(work.n)
    }
    let stage = Stage::new();
    *stage.ledger.settle_status.lock().unwrap() = bananas_core::Status::Permanent;
    stage.ledger.failing_settles.store(3, Ordering::SeqCst);
    let id = stage.enqueue(5).await;
    let worker = stage.worker().handle(handler);
    stage.run(worker, &[(id, JobState::Succeeded)]).await;
    let record = stage.record(id).await;
    assert_eq!(record.result.as_deref(), Some(b"5".as_slice()));
    assert!(record.errors.is_empty(), "{:?}", record.errors);
}
