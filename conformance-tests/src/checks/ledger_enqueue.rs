//! Accepting jobs.

use std::collections::HashSet;

use bananas_core::ledger::MAX_MESSAGE;
use bananas_core::{Args, ErrorKind, Job};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::impatience::impatiently;
use crate::patience::Patience;

checks!(LedgerCase:
    a_job_arrives_as_it_was_enqueued,
    a_batch_of_1000_is_answered_in_order_and_each_job_runs_once,
    the_same_id_is_one_job,
    the_same_id_twice_in_one_batch_is_one_job,
    a_job_too_large_is_refused_with_both_numbers_and_takes_no_neighbour_with_it,
    a_dropped_enqueue_was_accepted_whole_or_not_at_all,
    ensuring_a_queue_again_changes_nothing,
    closing_a_client_twice_is_fine_and_leaves_the_others_open,
);

/// Proves L1, S10, S60.
async fn a_job_arrives_as_it_was_enqueued(case: LedgerCase) {
    let mut job = case.job_of(73);
    job.args =
        Args::from_json(r#"{"text":"ü\u0000 \"quoted\"","big":12345678901234567890}"#).unwrap();
    job.meta.insert("trace".to_owned(), "a b\nc".to_owned());
    job.max_attempts = Some(3);
    job.unknown
        .push(("from_the_future".to_owned(), "[1,2]".into()));
    case.enqueue(job.clone()).await;
    assert_eq!(case.record(job.id).await.created_at, job.created_at);
    let claimed = case.worker().await.one().await;
    assert_eq!(*claimed.job, job);
    assert_eq!((claimed.attempt, claimed.crashes), (1, 0));
}

/// Proves L11, L22, S3.
async fn a_batch_of_1000_is_answered_in_order_and_each_job_runs_once(case: LedgerCase) {
    let ids = case.enqueue_all(case.jobs(1_000)).await;
    let mut worker = case.worker().await;
    let claimed = worker.take(1_000).await;
    worker.succeed(&claimed).await;
    let ran: HashSet<_> = claimed.iter().map(|run| run.job.id).collect();
    assert_eq!(ran, ids.into_iter().collect());
    case.assert_drained(&mut worker).await;
}

/// Proves L3, S11.
async fn the_same_id_is_one_job(case: LedgerCase) {
    let job = case.job();
    case.enqueue(job.clone()).await;
    let again = case
        .second_client()
        .await
        .enqueue(vec![job.clone()])
        .await
        .remove(0)
        .unwrap();
    assert_eq!((again.id, again.duplicate), (job.id, true));
    let mut worker = case.worker().await;
    let claimed = worker.take(1).await;
    worker.succeed(&claimed).await;
    let finished = case.ledger.enqueue(vec![job]).await.remove(0).unwrap();
    assert!(finished.duplicate, "an ended job is still the same job");
    case.assert_drained(&mut worker).await;
}

/// Proves L3, L11, S11.
async fn the_same_id_twice_in_one_batch_is_one_job(case: LedgerCase) {
    let job = case.job();
    let answers = case.ledger.enqueue(vec![job.clone(), job.clone()]).await;
    let duplicates: Vec<bool> = answers
        .into_iter()
        .map(|answer| answer.unwrap().duplicate)
        .collect();
    assert_eq!(duplicates, [false, true]);
    let mut worker = case.worker().await;
    let claimed = worker.take(1).await;
    worker.succeed(&claimed).await;
    case.assert_drained(&mut worker).await;
}

/// Proves L11, S3.
async fn a_job_too_large_is_refused_with_both_numbers_and_takes_no_neighbour_with_it(
    case: LedgerCase,
) {
    let limit = case.ledger.info().capabilities.max_message.min(MAX_MESSAGE);
    let mut jobs = case.jobs(3);
    jobs[1].args = Args::from_json(&format!("\"{}\"", "x".repeat(limit + 10_000))).unwrap();
    let mut answers = case.ledger.enqueue(jobs.clone()).await;
    let error = answers.remove(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(!error.is_retryable(), "{error}");
    assert!(numbers_in(&error.to_string()).len() >= 2, "{error}");
    for answer in answers {
        answer.unwrap();
    }
    let mut worker = case.worker().await;
    let ran: HashSet<_> = worker.take(2).await.iter().map(|run| run.job.id).collect();
    assert_eq!(ran, HashSet::from([jobs[0].id, jobs[2].id]));
    assert!(case.find(jobs[1].id).await.is_none());
}

/// Proves L12, S12.
async fn a_dropped_enqueue_was_accepted_whole_or_not_at_all(case: LedgerCase) {
    let mut jobs: Vec<Job> = Vec::new();
    for _ in 0..100 {
        let batch = case.jobs(3);
        jobs.extend(batch.iter().cloned());
        impatiently(&case.env, case.ledger.enqueue(batch)).await;
    }
    // Enqueueing again is what a program does after an unclear answer.
    let all: HashSet<_> = jobs.iter().map(|job| job.id).collect();
    for answer in case.ledger.enqueue(jobs).await {
        answer.unwrap();
    }
    let mut worker = case.worker().await;
    let claimed = worker.take(all.len()).await;
    worker.succeed(&claimed).await;
    let ran: HashSet<_> = claimed.iter().map(|run| run.job.id).collect();
    assert_eq!(ran, all, "each ran once");
    case.assert_drained(&mut worker).await;
}

/// Proves L10.
async fn ensuring_a_queue_again_changes_nothing(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let queues = [case.queue.clone()];
    let all = (0..10).map(|_| case.ledger.ensure(&queues));
    for ensured in futures::future::join_all(all).await {
        ensured.unwrap();
    }
    assert_eq!(case.worker().await.one().await.job.id, id);
}

/// Proves B60.
async fn closing_a_client_twice_is_fine_and_leaves_the_others_open(case: LedgerCase) {
    let other = case.second_client().await;
    let patience = Patience::new(&case.env);
    other.close(crate::patience::DEADLINE).await.unwrap();
    other.close(crate::patience::DEADLINE).await.unwrap();
    patience.check("the close ends");
    let id = case.enqueue(case.job()).await;
    assert_eq!(case.worker().await.one().await.job.id, id);
}

fn numbers_in(text: &str) -> HashSet<u64> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}
