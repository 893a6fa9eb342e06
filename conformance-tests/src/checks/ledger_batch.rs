//! Batches whose jobs fare differently, with and without a record.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::ledger::MAX_MESSAGE;
use bananas_core::{
    Args, Claimed, ErrorKind, Job, JobId, JobSettled, JobState, QueueName, Track, Unique,
};

use crate::case::{HOUR, LedgerCase};
use crate::check::checks;
use crate::outcomes::{fatal, release, retry, success};

checks!(LedgerCase:
    a_batch_of_all_sorts_of_jobs_is_answered_in_order_each_by_itself,
    a_batch_of_ends_of_every_tracking_is_answered_in_order,
    a_job_refused_for_its_size_holds_no_unique_key,
    an_empty_batch_is_answered_with_nothing,
);

/// So large that no ledger takes it.
fn too_large(case: &LedgerCase) -> Args {
    let limit = case.ledger.info().capabilities.max_message.min(MAX_MESSAGE);
    Args::from_json(&format!("\"{}\"", "x".repeat(limit + 10_000))).unwrap()
}

fn unique(key: &str) -> Option<Unique> {
    let key = key.to_owned();
    Some(Unique { key, lasts: HOUR })
}

/// Proves L3, L11, S3, S11.
async fn a_batch_of_all_sorts_of_jobs_is_answered_in_order_each_by_itself(case: LedgerCase) {
    let other = QueueName::new("jobs.other").unwrap();
    case.ledger
        .ensure(std::slice::from_ref(&other))
        .await
        .unwrap();
    let known = case.job();
    case.enqueue(known.clone()).await;
    let mut jobs = case.jobs(9);
    jobs[1].unique = unique("key");
    jobs[2].unique = unique("key");
    jobs[3].args = too_large(&case);
    jobs[4].run_at = Some(case.env.now() + HOUR);
    jobs[5].queue = other.clone();
    jobs[6].track = Track::None;
    jobs[7].track = Track::Outcome;
    jobs[8] = jobs[0].clone();
    jobs.push(known.clone());
    let answers = case.ledger.enqueue(jobs.clone()).await;
    let answers: Vec<Option<(JobId, bool)>> = answers
        .into_iter()
        .map(|answer| {
            answer
                .ok()
                .map(|accepted| (accepted.id, accepted.duplicate))
        })
        .collect();
    let mut expected: Vec<_> = jobs.iter().map(|job| Some((job.id, false))).collect();
    expected[2] = Some((jobs[1].id, true));
    expected[3] = None;
    expected[8] = Some((jobs[0].id, true));
    expected[9] = Some((known.id, true));
    assert_eq!(answers, expected);
    let here = [0, 1, 6, 7].map(|n: usize| jobs[n].id);
    let mut wanted: HashSet<JobId> = here.into_iter().collect();
    wanted.insert(known.id);
    let mut worker = case.worker().await;
    let claimed = worker.take(5).await;
    worker.succeed(&claimed).await;
    let ran: HashSet<JobId> = claimed.iter().map(|run| run.job.id).collect();
    assert_eq!(ran, wanted);
    case.assert_drained(&mut worker).await;
}

/// Proves L30, S2, S3, S40.
async fn a_batch_of_ends_of_every_tracking_is_answered_in_order(case: LedgerCase) {
    use JobState::{Dead, Ready, Retrying, Succeeded};
    let tracks = [Track::Full, Track::None, Track::Outcome];
    let jobs: Vec<Job> = (0..12)
        .map(|n| {
            let mut job = case.job();
            job.track = tracks[n % 3];
            job
        })
        .collect();
    let order: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    case.enqueue_all(jobs).await;
    let mut worker = case.worker().await;
    let mut runs: Vec<Claimed> = worker.take(12).await;
    runs.sort_by_key(|run| order.iter().position(|id| *id == run.job.id));
    let soon = Duration::from_millis(100);
    let ends = [
        (success(), Succeeded),
        (fatal(&case.env, 1), Dead),
        (release(), Ready),
        (retry(&case.env, 1, soon), Retrying),
    ];
    let end = |n: usize| ends[n / 3].clone();
    let batch = runs
        .iter()
        .enumerate()
        .map(|(n, run)| (run.clone(), end(n).0))
        .collect();
    let answers = case.ledger.settle(batch).await;
    let answers: Vec<JobSettled> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    let expected: Vec<JobSettled> = (0..12).map(|n| JobSettled::Settled(end(n).1)).collect();
    assert_eq!(answers, expected);
    let again = worker.take(6).await;
    let ran: HashSet<JobId> = again.iter().map(|run| run.job.id).collect();
    assert_eq!(ran, order[6..].iter().copied().collect());
    for run in &again {
        let retried = order[9..].contains(&run.job.id);
        assert_eq!((run.attempt, run.crashes), (1 + u32::from(retried), 0));
    }
    worker.succeed(&again).await;
    case.assert_drained(&mut worker).await;
}

/// Proves S2, S11.
async fn a_job_refused_for_its_size_holds_no_unique_key(case: LedgerCase) {
    let mut jobs = case.jobs(2);
    for job in &mut jobs {
        job.unique = unique("key");
    }
    jobs[0].args = too_large(&case);
    let mut answers = case.ledger.enqueue(jobs.clone()).await;
    let accepted = answers.remove(1).unwrap();
    assert_eq!((accepted.id, accepted.duplicate), (jobs[1].id, false));
    let error = answers.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}

/// Proves L11, L30.
async fn an_empty_batch_is_answered_with_nothing(case: LedgerCase) {
    assert!(case.ledger.enqueue(Vec::new()).await.is_empty());
    assert!(case.ledger.settle(Vec::new()).await.is_empty());
    case.ledger.ensure(&[]).await.unwrap();
    case.assert_drained(&mut case.worker().await).await;
}
