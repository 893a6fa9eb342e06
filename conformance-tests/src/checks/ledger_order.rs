//! Which job is next.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{JobId, QueueName};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::hand_worker::{HandWorker, LONG_LEASE};
use crate::patience::eventually;

checks!(LedgerCase:
    higher_priorities_come_first if Priorities,
    a_late_urgent_job_overtakes_a_backlog if Priorities,
    the_most_urgent_of_the_due_jobs_comes_first if Priorities,
    jobs_of_one_priority_run_first_in_first_out if Order,
    a_worker_gets_the_jobs_of_its_own_queue_alone,
);

/// Runs so many jobs one after the other.
async fn run_in_order(worker: &mut HandWorker, jobs: usize) -> Vec<JobId> {
    let mut order = Vec::new();
    for _ in 0..jobs {
        let claimed = worker.one().await;
        worker.succeed(std::slice::from_ref(&claimed)).await;
        order.push(claimed.job.id);
    }
    order
}

/// Proves L24, S72.
async fn higher_priorities_come_first(case: LedgerCase) {
    let levels = u16::from(case.ledger.info().capabilities.priority_levels);
    let mut seen = HashSet::new();
    let mut priorities = vec![10, 100, 50, 0, 90, 30];
    // No two that the broker does not tell apart.
    priorities.retain(|priority| seen.insert(u16::from(*priority) * levels / 101));
    let jobs: Vec<_> = priorities.iter().map(|n| case.job_of(*n)).collect();
    let mut expected = jobs.clone();
    expected.sort_by_key(|job| std::cmp::Reverse(job.priority));
    let expected: Vec<JobId> = expected.iter().map(|job| job.id).collect();
    case.enqueue_all(jobs).await;
    let order = run_in_order(&mut case.worker().await, priorities.len()).await;
    assert_eq!(order, expected);
}

/// Proves L24, S72.
async fn a_late_urgent_job_overtakes_a_backlog(case: LedgerCase) {
    case.enqueue_all(case.jobs(20)).await;
    let mut worker = case.worker().await;
    run_in_order(&mut worker, 5).await;
    let urgent = case.enqueue(case.job_of(99)).await;
    assert_eq!(run_in_order(&mut worker, 1).await, [urgent]);
}

/// Proves L24, S70, S72.
async fn the_most_urgent_of_the_due_jobs_comes_first(case: LedgerCase) {
    let due = case.env.now() + Duration::from_millis(50);
    // The least urgent was due first.
    let jobs = [(10, 0), (50, 1), (90, 2)].map(|(priority, millis)| {
        let mut job = case.job_of(priority);
        job.run_at = Some(due + Duration::from_millis(millis));
        job
    });
    let mut expected = case.enqueue_all(jobs.to_vec()).await;
    expected.reverse();
    let all_due = async || case.env.now() > due + Duration::from_millis(2);
    eventually(&case.env, "all are due", all_due).await;
    let order = run_in_order(&mut case.worker().await, expected.len()).await;
    assert_eq!(order, expected);
}

/// Proves S72.
async fn jobs_of_one_priority_run_first_in_first_out(case: LedgerCase) {
    let mut expected = case.enqueue_all(case.jobs(20)).await;
    for _ in 0..10 {
        expected.push(case.enqueue(case.job()).await);
    }
    let order = run_in_order(&mut case.worker().await, expected.len()).await;
    assert_eq!(order, expected);
}

/// Proves L21.
async fn a_worker_gets_the_jobs_of_its_own_queue_alone(case: LedgerCase) {
    let other = QueueName::new("jobs.other").unwrap();
    case.ledger
        .ensure(std::slice::from_ref(&other))
        .await
        .unwrap();
    let mut job = case.job();
    job.queue = other.clone();
    let there = case.enqueue(job).await;
    case.assert_drained(&mut case.worker().await).await;
    let mut elsewhere = HandWorker::enlist(&case.env, &case.ledger, &other, LONG_LEASE).await;
    assert_eq!(elsewhere.one().await.job.id, there);
}
