//! Waiting for jobs, and stopping.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{Chore, Claimed, JobId};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::hand_worker::{ANY, LONG_LEASE};
use crate::impatience::impatiently;
use crate::patience::{DEADLINE, Patience};

checks!(LedgerCase:
    next_is_empty_after_its_wait_and_not_before,
    next_never_returns_more_than_it_was_asked_for,
    a_waiting_source_wakes_when_another_client_enqueues,
    a_waiting_source_wakes_when_a_job_becomes_due,
    where_the_record_is_the_message_a_due_job_needs_no_scheduler with OneEngine,
    a_dropped_next_loses_nothing,
    stop_gives_back_at_once_and_uses_no_attempt,
    what_was_taken_can_be_settled_after_stop,
);

/// Proves L21, S70.
async fn next_is_empty_after_its_wait_and_not_before(case: LedgerCase) {
    let mut worker = case.worker().await;
    let wait = Duration::from_millis(300);
    let patience = Patience::new(&case.env);
    assert!(worker.source.next(10, ANY, wait).await.unwrap().is_empty());
    assert!(
        patience.spent() >= wait,
        "it returned after {:?}",
        patience.spent()
    );
    patience.check("the wait is over");
}

/// Proves L21, S70.
async fn next_never_returns_more_than_it_was_asked_for(case: LedgerCase) {
    case.enqueue_all(case.jobs(50)).await;
    let mut worker = case.worker().await;
    let mut came = 0;
    let patience = Patience::new(&case.env);
    while came < 50 {
        let claimed = worker.look(7).await;
        assert!(claimed.len() <= 7, "{} jobs came", claimed.len());
        came += claimed.len();
        patience.check("50 jobs came");
    }
}

/// Proves L21, S70.
async fn a_waiting_source_wakes_when_another_client_enqueues(case: LedgerCase) {
    let other = case.second_client().await;
    let mut worker = case.worker().await;
    let patience = Patience::new(&case.env);
    let enqueue = async {
        case.env.sleep(Duration::from_millis(200)).await;
        other.enqueue(vec![case.job()]).await.remove(0).unwrap().id
    };
    let (claimed, id) = futures::join!(worker.source.next(1, ANY, DEADLINE), enqueue);
    assert_eq!(claimed.unwrap()[0].job.id, id);
    patience.check("the source woke before its wait was over");
}

/// Proves L21, S70.
async fn a_waiting_source_wakes_when_a_job_becomes_due(case: LedgerCase) {
    let mut job = case.job();
    let run_at = case.env.now() + Duration::from_millis(500);
    job.run_at = Some(run_at);
    let id = case.enqueue(job).await;
    let mut worker = case.worker().await;
    let patience = Patience::new(&case.env);
    let schedule = async {
        while case.env.now() < run_at {
            case.env.sleep(Duration::from_millis(50)).await;
        }
        case.ledger.tend(Chore::Promote).await.unwrap();
    };
    let (claimed, ()) = futures::join!(worker.source.next(1, ANY, DEADLINE), schedule);
    assert_eq!(claimed.unwrap()[0].job.id, id);
    patience.check("the source woke before its wait was over");
}

/// Proves L21, S70.
async fn where_the_record_is_the_message_a_due_job_needs_no_scheduler(case: LedgerCase) {
    let mut worker = case.worker().await;
    let mut job = case.job();
    let run_at = case.env.now() + Duration::from_millis(300);
    job.run_at = Some(run_at);
    let id = case.enqueue(job).await;
    let patience = Patience::new(&case.env);
    let claimed = worker.source.next(1, ANY, DEADLINE * 2).await.unwrap();
    assert_eq!(claimed[0].job.id, id);
    assert!(case.env.now() >= run_at, "it ran too early");
    patience.check("it came before the wait was over");
}

/// Proves L23, S73, B74.
async fn a_dropped_next_loses_nothing(case: LedgerCase) {
    let mut worker = case.worker().await;
    let mut ran: Vec<JobId> = Vec::new();
    let mut all: HashSet<JobId> = HashSet::new();
    for _ in 0..400 {
        if all.len() < 300 {
            all.extend(case.enqueue_all(case.jobs(3)).await);
        }
        let next = worker.source.next(5, ANY, DEADLINE);
        if let Some(claimed) = impatiently(&case.env, next).await {
            let claimed = claimed.unwrap();
            worker.succeed(&claimed).await;
            ran.extend(ids(&claimed));
        }
    }
    let rest = worker.take(all.len() - ran.len()).await;
    worker.succeed(&rest).await;
    ran.extend(ids(&rest));
    assert!(
        rest.iter().all(|run| run.crashes == 0),
        "a drop is no crash"
    );
    let different: HashSet<JobId> = ran.iter().copied().collect();
    assert_eq!((ran.len(), different), (all.len(), all), "each ran once");
    case.assert_drained(&mut worker).await;
}

/// Proves L23, S73, B76.
async fn stop_gives_back_at_once_and_uses_no_attempt(case: LedgerCase) {
    let mut all: HashSet<JobId> = HashSet::new();
    let mut ran: Vec<Claimed> = Vec::new();
    let mut worker = case.worker_elsewhere(LONG_LEASE).await;
    for _ in 0..20 {
        let mut stopping = case.worker().await;
        all.extend(case.enqueue_all(case.jobs(5)).await);
        let next = stopping.source.next(10, ANY, DEADLINE);
        if let Some(claimed) = impatiently(&case.env, next).await {
            ran.extend(claimed.unwrap());
        }
        stopping.source.stop().await.unwrap();
        stopping.source.stop().await.unwrap();
        // The stopped owner keeps its long lease, and the others wait for it no moment.
        ran.extend(worker.take(all.len() - ran.len()).await);
    }
    assert_eq!(ids(&ran).collect::<HashSet<_>>(), all);
    assert!(ran.iter().all(|run| (run.attempt, run.crashes) == (1, 0)));
}

/// Proves B76.
async fn what_was_taken_can_be_settled_after_stop(case: LedgerCase) {
    case.enqueue_all(case.jobs(3)).await;
    let mut worker = case.worker().await;
    let claimed = worker.take(3).await;
    worker.source.stop().await.unwrap();
    worker.succeed(&claimed).await;
    case.assert_drained(&mut case.worker().await).await;
}

fn ids(claimed: &[Claimed]) -> impl Iterator<Item = JobId> {
    claimed.iter().map(|run| run.job.id)
}
