//! What is kept of a job, as its tracking says.

use std::time::Duration;

use bananas_core::{Bucket, Job, JobSettled, JobState, Track};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::outcomes::{fatal, release, retry, success};
use crate::patience::eventually;

checks!(LedgerCase:
    track_none_leaves_nothing_behind,
    track_outcome_leaves_the_end,
    track_outcome_keeps_the_error_of_a_dead_job,
    a_dead_job_of_track_none_is_kept_for_a_person,
    a_retry_of_an_untracked_job_is_not_early_and_counts_its_attempt,
    a_release_of_an_untracked_job_uses_no_attempt,
    an_untracked_delayed_job_is_not_early if Delay,
    a_settle_of_an_untracked_job_counts_once,
);

fn tracked(case: &LedgerCase, track: Track) -> Job {
    let mut job = case.job();
    job.track = track;
    job
}

/// Proves S2.
async fn track_none_leaves_nothing_behind(case: LedgerCase) {
    let mut worker = case.worker().await;
    case.enqueue(tracked(&case, Track::None)).await;
    let claimed = worker.one().await;
    let settled = worker.settle(&claimed, success()).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
    let forgotten = async || case.find(claimed.job.id).await.is_none();
    eventually(&case.env, "the job is forgotten", forgotten).await;
    case.assert_drained(&mut worker).await;
}

/// Proves S2.
async fn track_outcome_leaves_the_end(case: LedgerCase) {
    let mut worker = case.worker().await;
    let id = case.enqueue(tracked(&case, Track::Outcome)).await;
    let claimed = worker.one().await;
    let settled = worker.settle(&claimed, success()).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
    let record = case.record(id).await;
    assert_eq!(record.standing.state, JobState::Succeeded);
    assert_eq!(record.track, Track::Outcome);
    assert!(record.result.is_some() && record.standing.finished_at.is_some());
    case.assert_drained(&mut worker).await;
}

/// Proves S2.
async fn track_outcome_keeps_the_error_of_a_dead_job(case: LedgerCase) {
    let mut worker = case.worker().await;
    let id = case.enqueue(tracked(&case, Track::Outcome)).await;
    let claimed = worker.one().await;
    let settled = worker.settle(&claimed, fatal(&case.env, 1)).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Dead));
    let record = case.record(id).await;
    assert_eq!(record.standing.state, JobState::Dead);
    assert_eq!(record.errors[0].message, "attempt 1 went wrong");
    case.assert_drained(&mut worker).await;
}

/// Proves B43, S2.
async fn a_dead_job_of_track_none_is_kept_for_a_person(case: LedgerCase) {
    let mut worker = case.worker().await;
    let id = case.enqueue(tracked(&case, Track::None)).await;
    let claimed = worker.one().await;
    let settled = worker.settle(&claimed, fatal(&case.env, 1)).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Dead));
    let record = case.find(id).await;
    let broker = case.broker().await;
    match (record, broker.as_ref().and_then(|broker| broker.admin())) {
        (Some(record), _) => assert_eq!(record.standing.state, JobState::Dead),
        (None, Some(admin)) => {
            let dead = admin.peek(&case.queue, Bucket::Dead, 10).await.unwrap();
            assert_eq!(
                dead.iter().map(|message| message.id).collect::<Vec<_>>(),
                [Some(id)]
            );
        }
        (None, None) => panic!("the dead job is neither in the store nor in a dead queue"),
    }
    case.assert_drained(&mut worker).await;
}

/// Proves B41, S40.
async fn a_retry_of_an_untracked_job_is_not_early_and_counts_its_attempt(case: LedgerCase) {
    let mut worker = case.worker().await;
    for track in [Track::None, Track::Outcome] {
        let id = case.enqueue(tracked(&case, track)).await;
        let first = worker.one().await;
        let delay = Duration::from_millis(500);
        let run_at = case.env.now() + delay;
        let settled = worker.settle(&first, retry(&case.env, 1, delay)).await;
        assert_eq!(settled, JobSettled::Settled(JobState::Retrying));
        let second = worker.one().await;
        // The delay starts when the settle is made, a little before this clock was read again.
        assert!(
            case.env.now() + Duration::from_millis(5) >= run_at,
            "it ran too early"
        );
        assert_eq!((second.job.id, second.attempt, second.crashes), (id, 2, 0));
        worker.succeed(&[second]).await;
    }
}

/// Proves B42, S40.
async fn a_release_of_an_untracked_job_uses_no_attempt(case: LedgerCase) {
    let mut worker = case.worker().await;
    for track in [Track::None, Track::Outcome] {
        let id = case.enqueue(tracked(&case, track)).await;
        for _ in 0..5 {
            let claimed = worker.one().await;
            assert_eq!(
                (claimed.job.id, claimed.attempt, claimed.crashes),
                (id, 1, 0)
            );
            worker.settle(&claimed, release()).await;
        }
        let claimed = worker.take(1).await;
        worker.succeed(&claimed).await;
    }
}

/// Proves B25.
async fn an_untracked_delayed_job_is_not_early(case: LedgerCase) {
    let mut worker = case.worker().await;
    for track in [Track::None, Track::Outcome] {
        let mut job = tracked(&case, track);
        let run_at = case.env.now() + Duration::from_millis(500);
        job.run_at = Some(run_at);
        let id = case.enqueue(job).await;
        let claimed = worker.one().await;
        assert!(case.env.now() >= run_at, "it ran too early");
        assert_eq!(claimed.job.id, id);
        worker.succeed(&[claimed]).await;
    }
}

/// Proves L30, B44.
async fn a_settle_of_an_untracked_job_counts_once(case: LedgerCase) {
    let mut worker = case.worker().await;
    for track in [Track::None, Track::Outcome] {
        case.enqueue(tracked(&case, track)).await;
        let claimed = worker.one().await;
        let first = worker.settle(&claimed, success()).await;
        assert_eq!(first, JobSettled::Settled(JobState::Succeeded));
        let second = worker
            .settle(&claimed, retry(&case.env, 1, Duration::ZERO))
            .await;
        let counted = matches!(second, JobSettled::Settled(_));
        assert!(!counted, "a second end counted: {second:?}");
        case.assert_drained(&mut worker).await;
    }
}
