//! Jobs whose time comes later, or has passed.

use std::time::Duration;

use bananas_core::{Alteration, Altered, Chore, JobSettled, JobState};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::outcomes::{release, release_for, retry};
use crate::patience::eventually;

checks!(LedgerCase:
    a_delayed_job_is_not_early,
    two_delays_are_independent,
    a_time_in_the_past_is_now,
    a_retry_is_not_early_and_counts_its_attempt,
    a_release_uses_no_attempt,
    a_release_with_a_delay_is_not_early_and_shows_its_note,
    an_expired_job_never_runs,
    a_delayed_job_that_expires_before_its_time_never_runs,
    a_person_can_start_a_delayed_job_now,
    many_schedulers_at_once_move_each_due_job_once,
);

const HOUR: Duration = Duration::from_secs(3_600);

/// Proves L21, S50.
async fn a_delayed_job_is_not_early(case: LedgerCase) {
    let mut job = case.job();
    let run_at = case.env.now() + Duration::from_secs(1);
    job.run_at = Some(run_at);
    let id = case.enqueue(job).await;
    let before = case.record(id).await.standing;
    assert_eq!(
        (before.state, before.run_at),
        (JobState::Scheduled, Some(run_at))
    );
    let claimed = case.worker().await.one().await;
    assert!(case.env.now() >= run_at, "it ran too early");
    assert_eq!((claimed.job.id, claimed.attempt), (id, 1));
}

/// Proves L21, S50.
async fn two_delays_are_independent(case: LedgerCase) {
    let mut late = case.job();
    late.run_at = Some(case.env.now() + HOUR);
    let mut soon = case.job();
    soon.run_at = Some(case.env.now() + Duration::from_millis(500));
    let ids = case.enqueue_all(vec![late, soon]).await;
    let mut worker = case.worker().await;
    let claimed = worker.take(1).await;
    assert_eq!(claimed[0].job.id, ids[1]);
    worker.succeed(&claimed).await;
    case.assert_drained(&mut worker).await;
}

/// Proves L21.
async fn a_time_in_the_past_is_now(case: LedgerCase) {
    let mut job = case.job();
    job.run_at = Some(case.env.now() - HOUR);
    let id = case.enqueue(job).await;
    assert_eq!(case.record(id).await.standing.state, JobState::Ready);
    assert_eq!(case.worker().await.one().await.job.id, id);
}

/// Proves S2, S40.
async fn a_retry_is_not_early_and_counts_its_attempt(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let first = worker.one().await;
    let run_at = case.env.now() + Duration::from_secs(1);
    let settled = worker
        .settle(&first, retry(&case.env, 1, Duration::from_secs(1)))
        .await;
    assert_eq!(settled, JobSettled::Settled(JobState::Retrying));
    let waiting = case.record(id).await;
    assert_eq!(waiting.standing.failed_attempts, 1);
    assert_eq!(waiting.errors.len(), 1);
    let second = worker.one().await;
    assert!(case.env.now() >= run_at, "it ran too early");
    assert_eq!((second.job.id, second.attempt, second.crashes), (id, 2, 0));
    assert!(second.epoch > first.epoch, "the epoch grows with each run");
}

/// Proves S40.
async fn a_release_uses_no_attempt(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    for _ in 0..5 {
        let claimed = worker.one().await;
        assert_eq!(
            (claimed.job.id, claimed.attempt, claimed.crashes),
            (id, 1, 0)
        );
        let settled = worker.settle(&claimed, release()).await;
        assert_eq!(settled, JobSettled::Settled(JobState::Ready));
    }
    let record = case.record(id).await;
    assert_eq!(
        (record.standing.failed_attempts, record.errors.len()),
        (0, 0)
    );
}

/// Proves S2, S40.
async fn a_release_with_a_delay_is_not_early_and_shows_its_note(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let claimed = worker.one().await;
    let delay = Duration::from_secs(1);
    let run_at = case.env.now() + delay;
    let settled = worker
        .settle(&claimed, release_for(&case.env, delay, "no worker for it"))
        .await;
    assert_eq!(settled, JobSettled::Settled(JobState::Scheduled));
    assert_eq!(
        case.record(id).await.note.as_deref(),
        Some("no worker for it")
    );
    let again = worker.one().await;
    assert!(case.env.now() >= run_at, "it ran too early");
    assert_eq!((again.job.id, again.attempt), (id, 1));
}

/// Proves S1.
async fn an_expired_job_never_runs(case: LedgerCase) {
    let mut job = case.job();
    job.expires_at = Some(case.env.now());
    let id = case.enqueue(job).await;
    case.assert_drained(&mut case.worker().await).await;
    let record = case.record(id).await;
    assert_eq!(
        (record.standing.state, record.started_at),
        (JobState::Expired, None)
    );
}

/// Proves S1.
async fn a_delayed_job_that_expires_before_its_time_never_runs(case: LedgerCase) {
    let mut job = case.job();
    job.expires_at = Some(case.env.now() + Duration::from_millis(100));
    job.run_at = Some(case.env.now() + Duration::from_millis(300));
    let id = case.enqueue(job).await;
    let mut worker = case.worker().await;
    let expired = async || {
        assert!(worker.look(10).await.is_empty(), "an expired job came");
        case.record(id).await.standing.state == JobState::Expired
    };
    eventually(&case.env, "the job is expired", expired).await;
    assert_eq!(case.record(id).await.started_at, None);
}

/// Proves S64.
async fn a_person_can_start_a_delayed_job_now(case: LedgerCase) {
    let mut job = case.job();
    job.run_at = Some(case.env.now() + HOUR);
    let id = case.enqueue(job).await;
    let altered = case.alter(id, Alteration::Retry).await;
    assert_eq!(altered, Altered::Done(JobState::Scheduled));
    assert_eq!(case.worker().await.one().await.job.id, id);
}

/// Proves L50, S50.
async fn many_schedulers_at_once_move_each_due_job_once(case: LedgerCase) {
    let mut jobs = case.jobs(200);
    let run_at = case.env.now() + Duration::from_millis(500);
    for job in &mut jobs {
        job.run_at = Some(run_at);
    }
    case.enqueue_all(jobs).await;
    let due = async || case.env.now() >= run_at;
    eventually(&case.env, "the jobs are due", due).await;
    let other = case.second_client().await;
    let both = [&case.ledger, &other];
    let tends = (0..8).map(|n| both[n % 2].tend(Chore::Promote));
    let tended = futures::future::join_all(tends).await;
    let moved: u64 = tended.into_iter().map(|tended| tended.unwrap().jobs).sum();
    assert_eq!(moved, 200);
    let mut worker = case.worker().await;
    let claimed = worker.take(200).await;
    worker.succeed(&claimed).await;
    case.assert_drained(&mut worker).await;
}
