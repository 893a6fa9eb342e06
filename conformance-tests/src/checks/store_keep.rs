//! What a store keeps of a job, and what it forgets at its end.

use std::time::Duration;

use bananas_core::{
    Alteration, AttemptError, DeadReason, ErrorCause, Job, JobSettled, JobState, MAX_ERRORS_KEPT,
    NewRecord, Outcome, Priority, QueueName, TaskName, Timestamp, Track, Unique,
};
use bytes::Bytes;

use crate::case::{HOUR, StoreCase};
use crate::check::checks;
use crate::outcomes::{fatal, release, release_for, retry, success};

checks!(StoreCase:
    a_record_comes_back_as_it_went_in,
    a_record_of_an_end_comes_back_as_it_went_in,
    an_untracked_job_is_forgotten_at_its_end_unless_it_is_dead,
    of_many_errors_the_newest_are_kept,
    a_note_is_kept_until_the_run_that_follows_has_ended,
);

/// Records one job, and reads it back with another client.
async fn there_and_back(case: &StoreCase, record: NewRecord) -> bananas_core::JobRecord {
    case.here().record(record.clone()).await;
    let other = case.second_client().await;
    let mut found = other.index().get(&[record.id]).await.unwrap();
    found.remove(0).expect("the job has a record")
}

/// Proves S2, S10, S60.
async fn a_record_comes_back_as_it_went_in(case: StoreCase) {
    let mut job = case.job();
    job.queue = QueueName::new("a.long-name_of.a.queue").unwrap();
    job.task = TaskName::new("another.task").unwrap();
    job.priority = Priority::new(100).unwrap();
    job.track = Track::Outcome;
    job.created_at = Timestamp::from_micros(1_234_567_890_123_456);
    job.run_at = Some(case.env.now() + HOUR);
    job.expires_at = Some(case.env.now() + HOUR * 2);
    let (key, lasts) = ("ключ ' \" \\ %".to_owned(), HOUR);
    job.unique = Some(Unique { key, lasts });
    let mut record = case.new_record(&job);
    // A store never looks into a body.
    record.body = Bytes::from_static(b"\x00\xff\xfe not text ' \r\n");
    let found = there_and_back(&case, record.clone()).await;
    assert_eq!(found, record.into_record());
}

/// Proves S2, S10, S60.
async fn a_record_of_an_end_comes_back_as_it_went_in(case: StoreCase) {
    let now = case.env.now();
    for outcome in [success(), fatal(&case.env, 3), Outcome::Expired] {
        let mut record = case.new_record(&case.job());
        record.standing.failed_attempts = 2;
        record.standing.crashes = 1;
        record.standing.start(case.env.owner_id(), (3, 2), now);
        let mut whole = record.clone().into_record();
        let crashed = AttemptError::new(1, now, ErrorCause::Crashed, "it ' \u{1F34C} crashed");
        whole.push_error(crashed);
        whole.settle(whole.standing.epoch, outcome, now);
        record.standing = whole.standing.clone();
        record.errors.clone_from(&whole.errors);
        record.result.clone_from(&whole.result);
        let found = there_and_back(&case, record).await;
        assert_eq!(found, whole);
    }
    case.assert_counts_are_exact().await;
    assert_eq!(case.here().prune(case.prune_all()).await, 3);
}

fn untracked(case: &StoreCase) -> Job {
    let mut job = case.job();
    job.track = Track::None;
    job
}

/// Proves S2, S62.
async fn an_untracked_job_is_forgotten_at_its_end_unless_it_is_dead(case: StoreCase) {
    let owner = case.owner().await.id;
    let mut gone = Vec::new();
    for outcome in [success(), Outcome::Cancelled, Outcome::Expired] {
        let job = untracked(&case);
        case.here().record(case.new_record(&job)).await;
        let epoch = case.start(&job, owner).await;
        case.here().settle(job.clone(), epoch, outcome).await;
        gone.push((job, epoch));
    }
    let cancelled = untracked(&case);
    case.here().record(case.new_record(&cancelled)).await;
    case.here().alter(cancelled.id, Alteration::Cancel).await;
    let mut expired = untracked(&case);
    expired.expires_at = Some(case.env.now());
    case.here().record(case.new_record(&expired)).await;
    case.claim(&expired, owner, 1).await;
    let mut late = untracked(&case);
    late.expires_at = Some(case.env.now() + HOUR);
    late.run_at = late.expires_at;
    case.here().record(case.new_record(&late)).await;
    let mut due = case.due(None);
    due.now = case.env.now() + HOUR * 2;
    case.here().due(due).await;
    gone.extend([cancelled, expired, late].map(|job| (job, 1)));
    for (job, epoch) in gone {
        assert!(case.find(job.id).await.is_none(), "{job:?}");
        let late = case.here().settle(job, epoch, success()).await;
        assert_eq!(late, JobSettled::Missing);
    }
    let dead = untracked(&case);
    case.here().record(case.new_record(&dead)).await;
    let epoch = case.start(&dead, owner).await;
    let end = fatal(&case.env, 1);
    case.here().settle(dead.clone(), epoch, end).await;
    let kept = case.found(dead.id).await;
    assert_eq!(kept.standing.reason, Some(DeadReason::Fatal));
    assert_eq!(kept.errors.len(), 1);
    case.assert_counts_are_exact().await;
    assert_eq!(case.listing().await.len(), 1);
}

/// Proves S2, S40.
async fn of_many_errors_the_newest_are_kept(case: StoreCase) {
    let job = case.recorded().await;
    let owner = case.owner().await.id;
    let attempts = u32::try_from(MAX_ERRORS_KEPT).unwrap() + 5;
    for attempt in 1..=attempts {
        let epoch = case.start(&job, owner).await;
        let end = retry(&case.env, attempt, Duration::ZERO);
        let settled = case.here().settle(job.clone(), epoch, end).await;
        assert_eq!(settled, JobSettled::Settled(JobState::Retrying));
    }
    let found = case.found(job.id).await;
    assert_eq!(found.standing.failed_attempts, attempts);
    let kept: Vec<u32> = found.errors.iter().map(|error| error.attempt).collect();
    assert_eq!(kept, (6..=attempts).collect::<Vec<_>>());
}

/// Proves S2, S40.
async fn a_note_is_kept_until_the_run_that_follows_has_ended(case: StoreCase) {
    let job = case.recorded().await;
    let owner = case.owner().await.id;
    let later = release_for(&case.env, HOUR, "no room");
    for (outcome, note) in [
        (later.clone(), Some("no room")),
        (release(), None),
        (later, Some("no room")),
        (success(), None),
    ] {
        if case.state_of(job.id).await == JobState::Scheduled {
            case.here().alter(job.id, Alteration::Retry).await;
            case.here().due(case.due(None)).await;
            assert_eq!(case.found(job.id).await.note.as_deref(), Some("no room"));
        }
        let epoch = case.start(&job, owner).await;
        case.here().settle(job.clone(), epoch, outcome).await;
        assert_eq!(case.found(job.id).await.note.as_deref(), note);
    }
}
