//! How runs end.

use std::time::Duration;

use bananas_core::{Alteration, Altered, DeadReason, JobSettled, JobState};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::outcomes::{fatal, release, retry, success};

checks!(LedgerCase:
    a_settle_counts_once,
    two_ends_of_one_run_raced_by_two_clients_count_once,
    a_batch_of_ends_is_answered_in_order_each_by_itself,
    a_fatal_failure_keeps_the_errors_of_all_attempts,
    a_persons_retry_runs_a_dead_job_again_with_its_counts_at_zero,
    a_job_that_succeeded_cannot_be_retried,
);

/// Proves L30, S40.
async fn a_settle_counts_once(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let claimed = worker.one().await;
    let first = worker.settle(&claimed, success()).await;
    assert_eq!(first, JobSettled::Settled(JobState::Succeeded));
    let second = worker.settle(&claimed, fatal(&case.env, 1)).await;
    assert_eq!(second, JobSettled::AlreadySettled(JobState::Succeeded));
    let record = case.record(id).await;
    assert_eq!(
        (record.standing.state, record.errors.len()),
        (JobState::Succeeded, 0)
    );
}

/// Proves L30, S1, S40.
async fn two_ends_of_one_run_raced_by_two_clients_count_once(case: LedgerCase) {
    let other = case.second_client().await;
    let mut worker = case.worker().await;
    case.enqueue_all(case.jobs(20)).await;
    for claimed in worker.take(20).await {
        let here = case.ledger.settle(vec![(claimed.clone(), success())]);
        let there = other.settle(vec![(claimed.clone(), fatal(&case.env, 1))]);
        let (here, there) = futures::join!(here, there);
        let both = [here, there].map(|mut answers| answers.remove(0).unwrap());
        let counted = |settled: &&JobSettled| matches!(settled, JobSettled::Settled(_));
        assert_eq!(both.iter().filter(counted).count(), 1, "{both:?}");
        let record = case.record(claimed.job.id).await;
        let succeeded = record.standing.state == JobState::Succeeded;
        assert_eq!(
            record.result.is_some(),
            succeeded,
            "state and result go together"
        );
        assert_eq!(
            record.errors.is_empty(),
            succeeded,
            "state and error go together"
        );
    }
}

/// Proves S2, S3, S40.
async fn a_batch_of_ends_is_answered_in_order_each_by_itself(case: LedgerCase) {
    let mut worker = case.worker().await;
    case.enqueue_all(case.jobs(5)).await;
    let mut runs = worker.take(5).await;
    let mut stale = runs[0].clone();
    stale.epoch += 1;
    runs.push(stale);
    let hour = Duration::from_secs(3_600);
    let outcomes = [
        success(),
        fatal(&case.env, 1),
        retry(&case.env, 1, hour),
        release(),
        success(),
        success(),
    ];
    let batch = runs.iter().cloned().zip(outcomes).collect();
    let answers = case.ledger.settle(batch).await;
    let answers: Vec<JobSettled> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    let states = [
        JobState::Succeeded,
        JobState::Dead,
        JobState::Retrying,
        JobState::Ready,
        JobState::Succeeded,
    ];
    assert_eq!(answers[..5], states.map(JobSettled::Settled));
    assert!(
        matches!(answers[5], JobSettled::Stale { .. }),
        "{answers:?}"
    );
    for (run, state) in runs.iter().zip(states) {
        assert_eq!(case.record(run.job.id).await.standing.state, state);
    }
}

/// Proves S2, S40.
async fn a_fatal_failure_keeps_the_errors_of_all_attempts(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let first = worker.one().await;
    worker
        .settle(&first, retry(&case.env, 1, Duration::ZERO))
        .await;
    let second = worker.one().await;
    let settled = worker.settle(&second, fatal(&case.env, 2)).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Dead));
    let record = case.record(id).await;
    let errors: Vec<_> = record
        .errors
        .iter()
        .map(|e| (e.attempt, e.message.as_str()))
        .collect();
    assert_eq!(
        errors,
        [(1, "attempt 1 went wrong"), (2, "attempt 2 went wrong")]
    );
    assert_eq!(record.standing.reason, Some(DeadReason::Fatal));
    assert_eq!(record.standing.failed_attempts, 2);
    assert!(record.standing.finished_at.is_some());
    case.assert_drained(&mut worker).await;
}

/// Proves S64.
async fn a_persons_retry_runs_a_dead_job_again_with_its_counts_at_zero(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let claimed = worker.one().await;
    worker.settle(&claimed, fatal(&case.env, 1)).await;
    let altered = case.alter(id, Alteration::Retry).await;
    assert_eq!(altered, Altered::Done(JobState::Scheduled));
    let again = worker.one().await;
    assert_eq!((again.job.id, again.attempt, again.crashes), (id, 1, 0));
    let settled = worker.settle(&again, success()).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
    let late = worker.settle(&claimed, success()).await;
    assert!(matches!(late, JobSettled::Stale { .. }), "{late:?}");
}

/// Proves S1, S64.
async fn a_job_that_succeeded_cannot_be_retried(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let claimed = worker.one().await;
    worker.settle(&claimed, success()).await;
    let altered = case.alter(id, Alteration::Retry).await;
    assert_eq!(altered, Altered::Refused(JobState::Succeeded));
    case.assert_drained(&mut worker).await;
}
