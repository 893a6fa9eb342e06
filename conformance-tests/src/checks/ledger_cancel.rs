//! Cancelling and dropping jobs.

use std::time::Duration;

use bananas_core::{Alteration, Altered, JobSettled, JobState, Outcome};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::outcomes::{release, retry, success};

checks!(LedgerCase:
    a_cancelled_waiting_job_never_runs,
    a_cancelled_delayed_job_never_runs,
    a_running_job_is_reported_to_its_owner_and_cancelled_on_release,
    a_cancelled_run_may_say_so_itself,
    a_cancelled_run_that_fails_is_not_tried_again,
    a_run_that_succeeds_in_spite_of_a_cancel_has_succeeded,
    a_cancel_says_what_became_of_it,
    only_an_ended_job_can_be_dropped,
);

/// Proves S64.
async fn a_cancelled_waiting_job_never_runs(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let altered = case.alter(id, Alteration::Cancel).await;
    assert_eq!(altered, Altered::Done(JobState::Cancelled));
    case.assert_drained(&mut case.worker().await).await;
    let record = case.record(id).await;
    assert_eq!(
        (record.standing.state, record.started_at),
        (JobState::Cancelled, None)
    );
}

/// Proves S64.
async fn a_cancelled_delayed_job_never_runs(case: LedgerCase) {
    let mut job = case.job();
    job.run_at = Some(case.env.now() + Duration::from_millis(300));
    let run_at = job.run_at;
    let id = case.enqueue(job).await;
    let altered = case.alter(id, Alteration::Cancel).await;
    assert_eq!(altered, Altered::Done(JobState::Cancelled));
    let mut worker = case.worker().await;
    while Some(case.env.now()) <= run_at {
        assert!(worker.look(1).await.is_empty(), "a cancelled job came");
    }
    case.assert_drained(&mut worker).await;
    assert_eq!(case.record(id).await.started_at, None);
}

/// Proves S64.
async fn a_running_job_is_reported_to_its_owner_and_cancelled_on_release(case: LedgerCase) {
    let ids = case.enqueue_all(case.jobs(2)).await;
    let mut worker = case.worker().await;
    let mut claimed = worker.take(2).await;
    claimed.sort_by_key(|run| run.job.id != ids[0]);
    let other = case.second_client().await;
    let altered = other
        .index()
        .unwrap()
        .alter(&ids[..1], Alteration::Cancel)
        .await
        .unwrap();
    assert_eq!(altered, [Altered::Requested]);
    assert_eq!(case.record(ids[0]).await.standing.state, JobState::Running);
    let (_, cancels) = case.ledger.owners(Some(&worker.owner)).await.unwrap();
    assert_eq!(cancels, ids[..1]);
    let settled = worker.settle(&claimed[0], release()).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Cancelled));
    let (_, cancels) = case.ledger.owners(Some(&worker.owner)).await.unwrap();
    assert!(cancels.is_empty(), "the wish was granted");
    case.assert_drained(&mut worker).await;
}

/// Proves S64.
async fn a_cancelled_run_may_say_so_itself(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let claimed = worker.one().await;
    case.alter(id, Alteration::Cancel).await;
    let settled = worker.settle(&claimed, Outcome::Cancelled).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Cancelled));
    case.assert_drained(&mut worker).await;
}

/// Proves S64.
async fn a_cancelled_run_that_fails_is_not_tried_again(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let claimed = worker.one().await;
    case.alter(id, Alteration::Cancel).await;
    let settled = worker
        .settle(&claimed, retry(&case.env, 1, Duration::ZERO))
        .await;
    assert_eq!(settled, JobSettled::Settled(JobState::Cancelled));
    case.assert_drained(&mut worker).await;
    assert_eq!(case.record(id).await.errors.len(), 1, "its error is kept");
}

/// Proves S64.
async fn a_run_that_succeeds_in_spite_of_a_cancel_has_succeeded(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let claimed = worker.one().await;
    case.alter(id, Alteration::Cancel).await;
    let settled = worker.settle(&claimed, success()).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
}

/// Proves S64.
async fn a_cancel_says_what_became_of_it(case: LedgerCase) {
    let ids = case.enqueue_all(case.jobs(3)).await;
    let mut worker = case.worker().await;
    let mut claimed = worker.take(2).await;
    worker.settle(&claimed.remove(0), success()).await;
    let unknown = case.env.job_id();
    let mut ids = [ids, vec![unknown]].concat();
    // Which of them ran is the broker's choice; the records tell.
    let mut expected = Vec::new();
    for id in &ids {
        expected.push(
            match case.find(*id).await.map(|record| record.standing.state) {
                Some(JobState::Ready) => Altered::Done(JobState::Cancelled),
                Some(JobState::Running) => Altered::Requested,
                Some(ended) => Altered::Refused(ended),
                None => Altered::Missing,
            },
        );
    }
    let answers = case.index().alter(&ids, Alteration::Cancel).await.unwrap();
    assert_eq!(answers, expected);
    ids.reverse();
    expected.reverse();
    let again = case.index().alter(&ids, Alteration::Cancel).await.unwrap();
    for (before, now) in expected.iter().zip(again) {
        let expected = match before {
            Altered::Done(state) => Altered::Refused(*state),
            same => *same,
        };
        assert_eq!(now, expected);
    }
}

/// Proves S64, S65.
async fn only_an_ended_job_can_be_dropped(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let refused = case.alter(id, Alteration::Drop).await;
    assert_eq!(refused, Altered::Refused(JobState::Ready));
    let mut worker = case.worker().await;
    let claimed = worker.one().await;
    let refused = case.alter(id, Alteration::Drop).await;
    assert_eq!(refused, Altered::Refused(JobState::Running));
    worker.settle(&claimed, success()).await;
    assert_eq!(case.alter(id, Alteration::Drop).await, Altered::Dropped);
    assert!(case.find(id).await.is_none());
    assert_eq!(case.alter(id, Alteration::Drop).await, Altered::Missing);
    let late = worker.settle(&claimed, success()).await;
    assert_eq!(late, JobSettled::Missing);
}
