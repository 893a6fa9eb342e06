//! Batches whose items fare differently.

use std::time::Duration;

use bananas_core::{
    Alteration, Altered, ClaimAnswer, ErrorKind, Job, JobSettle, JobSettled, JobState, NewRecord,
    Outcome, Recorded, Unique,
};
use bytes::Bytes;

use crate::case::{HOUR, StoreCase};
use crate::check::checks;
use crate::outcomes::{fatal, release, release_for, retry, success};

checks!(StoreCase:
    one_batch_of_claims_can_get_every_answer,
    a_job_claimed_twice_in_one_batch_runs_once,
    one_batch_of_ends_can_get_every_answer,
    a_result_too_large_is_refused_alone_and_its_run_goes_on,
    a_record_too_large_is_refused_alone,
    a_job_that_was_not_recorded_holds_no_unique_key,
    one_batch_of_alterations_is_answered_in_order,
    empty_batches_are_answered_with_nothing,
    a_batch_of_12000_is_answered_in_order,
);

/// Proves S1, S3, S30, S31.
async fn one_batch_of_claims_can_get_every_answer(case: StoreCase) {
    let ready = case.job_in(JobState::Ready).await;
    let suspect = case.recorded().await;
    let dying = case.owner().await.id;
    case.start(&suspect, dying).await;
    case.here().retire(dying).await;
    case.here().due(case.due(None)).await;
    let mut late = case.job();
    late.expires_at = Some(case.env.now());
    case.record(std::slice::from_ref(&late), None).await;
    let mut jobs = vec![ready, suspect, late, case.job()];
    for state in JobState::ALL {
        if state != JobState::Ready {
            jobs.push(case.job_in(state).await);
        }
    }
    let claims: Vec<(&Job, u32)> = jobs.iter().map(|job| (job, 1)).collect();
    let answers = case.claim_all(&claims, case.owner().await.id, 0).await;
    let answers: Vec<String> = answers
        .into_iter()
        .map(|answer| word(&answer.unwrap()).to_owned())
        .collect();
    let mut expected = vec!["run", "busy", "finished", "missing"];
    for state in JobState::ALL {
        expected.extend(match state {
            JobState::Ready => None,
            JobState::Scheduled | JobState::Retrying => Some("not yet"),
            JobState::Running => Some("busy"),
            JobState::Cancelled => Some("cancelled"),
            JobState::Succeeded | JobState::Dead | JobState::Expired => Some("finished"),
        });
    }
    assert_eq!(answers, expected);
    assert_eq!(case.state_of(jobs[2].id).await, JobState::Expired);
    case.assert_counts_are_exact().await;
}

fn word(answer: &ClaimAnswer) -> &'static str {
    match answer {
        ClaimAnswer::Run { .. } => "run",
        ClaimAnswer::Finished => "finished",
        ClaimAnswer::Cancelled => "cancelled",
        ClaimAnswer::Busy { .. } => "busy",
        ClaimAnswer::NotYet { .. } => "not yet",
        ClaimAnswer::Missing => "missing",
    }
}

/// Proves S3, S30.
async fn a_job_claimed_twice_in_one_batch_runs_once(case: StoreCase) {
    let (job, other) = (case.recorded().await, case.recorded().await);
    let owner = case.owner().await.id;
    let answers = case
        .claim_all(&[(&job, 1), (&job, 1), (&other, 1)], owner, 10)
        .await;
    let answers: Vec<_> = answers.iter().map(|answer| answer.as_ref()).collect();
    let words: Vec<&str> = answers.into_iter().map(|a| word(a.unwrap())).collect();
    assert_eq!(words, ["run", "busy", "run"]);
    assert_eq!(case.found(job.id).await.standing.epoch, 1);
}

fn settle_of(job: &Job, epoch: u64, outcome: Outcome) -> JobSettle {
    JobSettle {
        job: job.reference(),
        epoch,
        outcome,
    }
}

/// Proves S2, S3, S40.
async fn one_batch_of_ends_can_get_every_answer(case: StoreCase) {
    use JobState::{Cancelled, Dead, Expired, Ready, Retrying, Scheduled, Succeeded};
    let owner = case.owner().await.id;
    let outcomes = [
        (success(), Succeeded),
        (retry(&case.env, 1, HOUR), Retrying),
        (fatal(&case.env, 1), Dead),
        (release(), Ready),
        (release_for(&case.env, HOUR, "no room"), Scheduled),
        (Outcome::Cancelled, Cancelled),
        (Outcome::Expired, Expired),
        // Two more, to be settled twice and by an epoch of the past.
        (success(), Succeeded),
        (success(), JobState::Running),
    ];
    let mut batch = Vec::new();
    let mut jobs = Vec::new();
    for (outcome, state) in outcomes {
        let job = case.recorded().await;
        let mut epoch = case.start(&job, owner).await;
        epoch -= u64::from(state == JobState::Running);
        batch.push(settle_of(&job, epoch, outcome));
        jobs.push((job, state));
    }
    batch.insert(
        8,
        settle_of(&jobs[7].0, batch[7].epoch, fatal(&case.env, 1)),
    );
    batch.insert(4, settle_of(&case.job(), 1, success()));
    let answers = case.store.jobs().settle(batch).await;
    let answers: Vec<JobSettled> = answers.into_iter().map(|a| a.unwrap()).collect();
    let mut expected: Vec<JobSettled> = jobs
        .iter()
        .map(|(_, state)| JobSettled::Settled(*state))
        .collect();
    expected[8] = JobSettled::Stale { epoch: 1 };
    expected.insert(8, JobSettled::AlreadySettled(Succeeded));
    expected.insert(4, JobSettled::Missing);
    assert_eq!(answers, expected);
    for (job, state) in &jobs {
        let found = case.found(job.id).await;
        assert_eq!(found.standing.state, *state);
        assert_eq!(found.result.is_some(), *state == Succeeded, "{found:?}");
        let failed = matches!(state, Retrying | Dead);
        assert_eq!(found.errors.len(), usize::from(failed), "{found:?}");
        assert_eq!(found.note.is_some(), *state == Scheduled, "{found:?}");
    }
    case.assert_counts_are_exact().await;
}

/// Proves S2, S3, S40.
async fn a_result_too_large_is_refused_alone_and_its_run_goes_on(case: StoreCase) {
    let owner = case.owner().await.id;
    let jobs = [case.recorded().await, case.recorded().await];
    let mut batch = Vec::new();
    for job in &jobs {
        batch.push(settle_of(job, case.start(job, owner).await, success()));
    }
    let result = Bytes::from(vec![b'1'; case.store.info().max_value + 1]);
    batch[0].outcome = Outcome::Succeeded { result };
    let epoch = batch[0].epoch;
    let mut answers = case.store.jobs().settle(batch).await;
    let neighbour = answers.remove(1).unwrap();
    assert_eq!(neighbour, JobSettled::Settled(JobState::Succeeded));
    let error = answers.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(!error.is_retryable(), "{error}");
    assert_eq!(case.state_of(jobs[0].id).await, JobState::Running);
    let end = fatal(&case.env, 1);
    let settled = case.here().settle(jobs[0].clone(), epoch, end).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Dead));
}

/// A record whose body is too large.
fn too_large(case: &StoreCase, job: &Job) -> NewRecord {
    let mut record = case.new_record(job);
    record.body = Bytes::from(vec![b' '; case.store.info().max_value + 1]);
    record
}

/// Proves S2, S3, S10.
async fn a_record_too_large_is_refused_alone(case: StoreCase) {
    let known = case.recorded().await;
    let jobs = [case.job(), case.job(), case.job()];
    let mut result = case.new_record(&jobs[1]);
    result.result = Some(Bytes::from(vec![b'1'; case.store.info().max_value + 1]));
    let records = vec![
        too_large(&case, &jobs[0]),
        case.new_record(&known),
        result,
        case.new_record(&jobs[2]),
    ];
    let publication = case.publication();
    let answers = case.store.jobs().record(records, Some(publication)).await;
    for refused in [&answers[0], &answers[2]] {
        let error = refused.as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }
    let duplicate = answers[1].as_ref().unwrap();
    assert_eq!(*duplicate, Recorded::Duplicate(known.id));
    assert_eq!(*answers[3].as_ref().unwrap(), Recorded::New);
    for (job, kept) in jobs.iter().zip([false, false, true]) {
        assert_eq!(case.find(job.id).await.is_some(), kept);
    }
    case.assert_counts_are_exact().await;
}

/// Proves S2, S11.
async fn a_job_that_was_not_recorded_holds_no_unique_key(case: StoreCase) {
    let key = |key: &str| {
        let key = key.to_owned();
        Some(Unique { key, lasts: HOUR })
    };
    let mut refused = case.job();
    refused.unique = key("of the refused");
    let mut duplicate = case.recorded().await;
    duplicate.unique = key("of the duplicate");
    let records = vec![too_large(&case, &refused), case.new_record(&duplicate)];
    let answers = case.store.jobs().record(records, None).await;
    assert!(answers[0].is_err(), "{answers:?}");
    let answer = answers[1].as_ref().unwrap();
    assert_eq!(*answer, Recorded::Duplicate(duplicate.id));
    for taken in [refused, duplicate] {
        let mut job = case.job();
        job.unique = taken.unique;
        let recorded = case.here().record(case.new_record(&job)).await;
        assert_eq!(recorded, Recorded::New, "{:?} is free", job.unique);
    }
}

/// Proves S3, S64.
async fn one_batch_of_alterations_is_answered_in_order(case: StoreCase) {
    let mut ids = Vec::new();
    for state in JobState::ALL {
        ids.push(case.job_in(state).await.id);
    }
    ids.push(case.env.job_id());
    ids.push(ids[0]);
    let answers = case.store.index().alter(&ids, Alteration::Cancel).await;
    let mut expected: Vec<Altered> = JobState::ALL
        .into_iter()
        .map(|state| match state {
            JobState::Scheduled | JobState::Ready | JobState::Retrying => {
                Altered::Done(JobState::Cancelled)
            }
            JobState::Running => Altered::Requested,
            ended => Altered::Refused(ended),
        })
        .collect();
    expected.push(Altered::Missing);
    // The first of them was just cancelled, if it had not ended before.
    expected.push(Altered::Refused(case.state_of(ids[0]).await));
    assert_eq!(answers.unwrap(), expected);
    case.assert_counts_are_exact().await;
}

/// Proves S3.
async fn empty_batches_are_answered_with_nothing(case: StoreCase) {
    let job = case.recorded().await;
    let (jobs, index) = (case.store.jobs(), case.store.index());
    assert!(jobs.record(Vec::new(), None).await.is_empty());
    assert!(jobs.settle(Vec::new()).await.is_empty());
    jobs.confirm(&[]).await.unwrap();
    jobs.retire(&[]).await.unwrap();
    assert_eq!(index.get(&[]).await.unwrap(), []);
    assert_eq!(index.alter(&[], Alteration::Cancel).await.unwrap(), []);
    let owner = case.owner().await.id;
    assert!(case.claim_all(&[], owner, 10).await.is_empty());
    index.watch(Duration::ZERO).await.unwrap();
    assert_eq!(case.state_of(job.id).await, JobState::Ready);
}

/// Proves S3, S11, S30, S40.
async fn a_batch_of_12000_is_answered_in_order(case: StoreCase) {
    let jobs: Vec<Job> = (0..12_000).map(|_| case.job()).collect();
    // Every seventh is known already, and every eleventh is never recorded.
    let known: Vec<Job> = jobs.iter().step_by(7).cloned().collect();
    case.record(&known, None).await;
    let unknown = |n: usize| n % 11 == 10;
    let recorded = |(n, _): &(usize, &Job)| !unknown(*n) || n % 7 == 0;
    let batch = jobs.iter().enumerate().filter(recorded);
    let records = batch.clone().map(|(_, job)| case.new_record(job));
    let answers = case.store.jobs().record(records.collect(), None).await;
    for ((n, job), answer) in batch.zip(answers) {
        let expected = match n % 7 {
            0 => Recorded::Duplicate(job.id),
            _ => Recorded::New,
        };
        assert_eq!(answer.unwrap(), expected, "the {n}th");
    }
    let owner = case.owner().await.id;
    let claims: Vec<(&Job, u32)> = jobs.iter().map(|job| (job, 1)).collect();
    let answers = case.claim_all(&claims, owner, 10).await;
    assert_eq!(answers.len(), jobs.len());
    let ends = jobs.iter().map(|job| settle_of(job, 1, success()));
    let ends = case.store.jobs().settle(ends.collect()).await;
    assert_eq!(ends.len(), jobs.len());
    for (n, (claimed, settled)) in answers.into_iter().zip(ends).enumerate() {
        let there = !unknown(n) || n % 7 == 0;
        let words = (word(&claimed.unwrap()), settled.unwrap());
        let expected = match there {
            true => ("run", JobSettled::Settled(JobState::Succeeded)),
            false => ("missing", JobSettled::Missing),
        };
        assert_eq!(words, expected, "the {n}th");
    }
}
