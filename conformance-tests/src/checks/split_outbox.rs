//! The store as outbox: what was recorded is published, once the broker can be had, and not again.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{Accepted, Chore, Job, JobId, JobState, StateStore, Track};
use futures::FutureExt;

use crate::case::SplitCase;
use crate::check::checks;
use crate::hand_worker::LONG_LEASE;
use crate::patience::eventually;
use crate::watched_broker::Line;

checks!(SplitCase:
    a_million_waiting_jobs_see_no_republish_in_30_minutes,
    the_jobs_of_a_producer_killed_before_its_publish_run_once_within_30_s_and_a_tick,
    the_jobs_of_a_producer_that_is_surely_gone_are_published_at_once,
    jobs_are_accepted_while_the_broker_is_down_and_run_afterwards,
    an_untracked_job_is_refused_while_the_broker_is_down,
    a_scheduler_killed_before_its_publish_loses_no_due_job,
    the_due_job_of_a_scheduler_that_is_surely_gone_is_published_at_once,
);

/// How many jobs are enqueued at once.
const BATCH: usize = 10_000;

/// Proves L1, S52.
async fn a_million_waiting_jobs_see_no_republish_in_30_minutes(case: SplitCase) {
    for _ in 0..1_000_000 / BATCH {
        let accepted = case.enqueue(case.jobs(BATCH)).await;
        assert!(accepted.iter().all(|accepted| accepted.published));
    }
    case.confirmed().await;
    assert_eq!(case.broker.published(), 1_000_000);
    for minute in 1..=30 {
        case.pass(60).await;
        let again = case.broker.published() - 1_000_000;
        assert_eq!(again, 0, "published again in minute {minute}");
    }
    let mut worker = case.worker(LONG_LEASE).await;
    let claimed = worker.take(100).await;
    worker.succeed(&claimed).await;
}

/// Lets one job wait in the broker, so that no empty queue is taken as evidence of a loss.
async fn witness(case: &SplitCase) -> JobId {
    let job = case.job();
    let id = job.id;
    case.enqueue(vec![job]).await;
    case.confirmed().await;
    id
}

/// Enqueues jobs and is killed when they are recorded and about to be published.
async fn enqueue_and_die(case: &SplitCase, host: &str) -> HashSet<JobId> {
    let producer = case.ledger_on(host).await;
    let jobs: Vec<Job> = case.jobs(20);
    let ids = jobs.iter().map(|job| job.id).collect();
    case.broker.set(Line::Stuck);
    let mut enqueue = producer.enqueue(jobs);
    let recorded = async || {
        assert!(
            (&mut enqueue).now_or_never().is_none(),
            "the publish is stuck"
        );
        !case.store.jobs().open_batches().await.unwrap().is_empty()
    };
    eventually(&case.real, "the jobs are recorded", recorded).await;
    drop(enqueue);
    case.broker.set(Line::Up);
    ids
}

/// Runs all that is there, and checks that it is these jobs, each once.
async fn assert_each_runs_once(case: &SplitCase, ids: &HashSet<JobId>) {
    let mut worker = case.worker(LONG_LEASE).await;
    let claimed = worker.take(ids.len()).await;
    worker.succeed(&claimed).await;
    let ran: HashSet<JobId> = claimed.iter().map(|run| run.job.id).collect();
    assert_eq!(ran, *ids);
    case.pass(120).await;
    let more = worker.look_with(10, 10, Duration::ZERO).await;
    assert!(more.is_empty(), "a job came twice");
}

/// Proves L1, L12, S12, S53.
async fn the_jobs_of_a_producer_killed_before_its_publish_run_once_within_30_s_and_a_tick(
    case: SplitCase,
) {
    let witness = witness(&case).await;
    let mut ids = enqueue_and_die(&case, "elsewhere").await;
    ids.insert(witness);
    case.pass(25).await;
    assert_eq!(
        case.broker.published(),
        1,
        "the producer might still publish them"
    );
    case.pass(10).await;
    assert_eq!(case.broker.published(), 21);
    assert_each_runs_once(&case, &ids).await;
    assert_eq!(case.broker.published(), 21);
}

/// Proves L1, S53.
async fn the_jobs_of_a_producer_that_is_surely_gone_are_published_at_once(case: SplitCase) {
    let ids = enqueue_and_die(&case, crate::case::GONE).await;
    case.tend().await;
    assert_eq!(case.broker.published(), 20);
    assert_each_runs_once(&case, &ids).await;
}

/// Proves L1, L2.
async fn jobs_are_accepted_while_the_broker_is_down_and_run_afterwards(case: SplitCase) {
    let witness = witness(&case).await;
    case.broker.set(Line::Down);
    let jobs = case.jobs(20);
    let mut ids: HashSet<JobId> = jobs.iter().map(|job| job.id).collect();
    ids.insert(witness);
    let accepted = case.enqueue(jobs.clone()).await;
    for (job, accepted) in jobs.iter().zip(accepted) {
        let expected = Accepted {
            id: job.id,
            duplicate: false,
            published: false,
        };
        assert_eq!(accepted, expected);
    }
    case.broker.set(Line::Up);
    case.pass(35).await;
    assert_each_runs_once(&case, &ids).await;
}

/// Proves B20, L11.
async fn an_untracked_job_is_refused_while_the_broker_is_down(case: SplitCase) {
    case.broker.set(Line::Down);
    for track in [Track::None, Track::Outcome] {
        let mut jobs = case.jobs(2);
        jobs[0].track = track;
        let answers = case.ledger.enqueue(jobs).await;
        assert!(answers[0].is_err(), "nobody has the job: {answers:?}");
        assert!(
            !answers[1].as_ref().unwrap().published,
            "its neighbour is recorded"
        );
    }
}

/// Lets a scheduler be killed when it has made a due job ready and is about to publish it.
async fn schedule_and_die(case: &SplitCase, host: &str) -> JobId {
    let mut job = case.job();
    let id = job.id;
    job.run_at = Some(case.env.now() + Duration::from_secs(60));
    case.enqueue(vec![job]).await;
    case.confirmed().await;
    case.clock.advance(Duration::from_secs(61));
    case.broker.set(Line::Stuck);
    let scheduler = case.ledger_on(host).await;
    let mut promote = scheduler.tend(Chore::Promote);
    let moved = async || {
        assert!(
            (&mut promote).now_or_never().is_none(),
            "the publish is stuck"
        );
        case.state_of(id).await == JobState::Ready
    };
    eventually(&case.real, "the job is due", moved).await;
    drop(promote);
    case.broker.set(Line::Up);
    id
}

/// Proves S51, S53.
async fn a_scheduler_killed_before_its_publish_loses_no_due_job(case: SplitCase) {
    let witness = witness(&case).await;
    let id = schedule_and_die(&case, "elsewhere").await;
    case.pass(25).await;
    assert_eq!(case.broker.published(), 1, "it might still publish it");
    case.pass(10).await;
    assert_each_runs_once(&case, &HashSet::from([id, witness])).await;
}

/// Proves S51, S53.
async fn the_due_job_of_a_scheduler_that_is_surely_gone_is_published_at_once(case: SplitCase) {
    let witness = witness(&case).await;
    let id = schedule_and_die(&case, crate::case::GONE).await;
    case.tend().await;
    assert_eq!(case.broker.published(), 2);
    assert_each_runs_once(&case, &HashSet::from([id, witness])).await;
}
