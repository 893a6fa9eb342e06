//! Chores that many workers do at once, and that are dropped on the way.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Alteration, Chore, Claimed, Job, JobId, JobSettled, JobState, Ledger};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::hand_worker::{HandWorker, LONG_LEASE};
use crate::impatience::impatiently;
use crate::outcomes::success;
use crate::patience::{a_later_time, eventually};
use crate::race::{all_at_once, beside};

checks!(LedgerCase:
    all_chores_at_once_by_many_clients_disturb_no_job,
    prunes_by_many_clients_count_each_job_once,
    an_owner_retired_by_many_clients_at_once_leaves_one_crash,
    a_dropped_promotion_loses_no_due_job_and_runs_none_twice,
    a_dropped_settle_counts_once_and_leaves_nothing_behind,
);

const HOUR: Duration = Duration::from_secs(3_600);

/// Some jobs that have been due for a moment.
async fn due_jobs(case: &LedgerCase, count: usize) -> HashSet<JobId> {
    let run_at = case.env.now() + Duration::from_millis(200);
    let mut jobs: Vec<Job> = case.jobs(count);
    for job in &mut jobs {
        job.run_at = Some(run_at);
    }
    let ids = case.enqueue_all(jobs).await;
    let due = async || case.env.now() >= run_at;
    eventually(&case.env, "the jobs are due", due).await;
    ids.into_iter().collect()
}

/// Runs all that comes until these have run, and checks that each came once.
async fn assert_each_runs_once(case: &LedgerCase, worker: &mut HandWorker, all: &HashSet<JobId>) {
    let claimed: Vec<Claimed> = worker.take(all.len()).await;
    worker.succeed(&claimed).await;
    let ran: HashSet<JobId> = claimed.iter().map(|run| run.job.id).collect();
    assert_eq!(ran, *all);
    assert!(claimed.iter().all(|run| run.crashes == 0));
    case.assert_drained(worker).await;
}

async fn tend_all(ledger: Arc<dyn Ledger>) {
    for _ in 0..5 {
        for chore in [
            Chore::Promote,
            Chore::Republish,
            Chore::Retire(Vec::new()),
            Chore::Prune {
                finished: HOUR,
                dead: HOUR,
            },
        ] {
            ledger.tend(chore).await.unwrap();
        }
    }
}

/// Proves L22, L50, S50, S52, S65.
async fn all_chores_at_once_by_many_clients_disturb_no_job(case: LedgerCase) {
    let mut all = due_jobs(&case, 100).await;
    all.extend(case.enqueue_all(case.jobs(100)).await);
    let clients = [Arc::clone(&case.ledger), case.second_client().await];
    let tends: Vec<_> = (0..8)
        .map(|n| tend_all(Arc::clone(&clients[n % 2])))
        .collect();
    let mut worker = case.worker().await;
    let tended = beside(&case.env, {
        let env = Arc::clone(&case.env);
        async move { all_at_once(&env, tends).await }
    });
    assert_each_runs_once(&case, &mut worker, &all).await;
    tended.await;
    let found = case.index().get(&Vec::from_iter(all)).await.unwrap();
    for record in found {
        assert_eq!(record.unwrap().standing.state, JobState::Succeeded);
    }
}

/// Proves L50, S65.
async fn prunes_by_many_clients_count_each_job_once(case: LedgerCase) {
    let ids = case.enqueue_all(case.jobs(60)).await;
    let cancel = Alteration::Cancel;
    case.index().alter(&ids[..50], cancel).await.unwrap();
    a_later_time(&case.env).await;
    let clients = [Arc::clone(&case.ledger), case.second_client().await];
    let prunes = (0..8).map(|n| {
        let ledger = Arc::clone(&clients[n % 2]);
        let chore = Chore::Prune {
            finished: Duration::ZERO,
            dead: Duration::ZERO,
        };
        async move { ledger.tend(chore).await.unwrap().jobs }
    });
    let pruned: u64 = all_at_once(&case.env, prunes).await.into_iter().sum();
    assert_eq!(pruned, 50);
    let found = case.index().get(&ids).await.unwrap();
    let kept: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(kept, [vec![false; 50], vec![true; 10]].concat());
}

/// Proves L50, S56.
async fn an_owner_retired_by_many_clients_at_once_leaves_one_crash(case: LedgerCase) {
    let ids = case.enqueue_all(case.jobs(10)).await;
    let mut dying = case.worker_elsewhere(LONG_LEASE).await;
    dying.take(10).await;
    let clients = [Arc::clone(&case.ledger), case.second_client().await];
    let retires = (0..8).map(|n| {
        let ledger = Arc::clone(&clients[n % 2]);
        let chore = Chore::Retire(vec![dying.owner.id]);
        async move {
            ledger.tend(chore).await.unwrap();
            ledger.tend(Chore::Promote).await.unwrap().jobs
        }
    });
    let moved: u64 = all_at_once(&case.env, retires).await.into_iter().sum();
    assert_eq!(moved, 10);
    let mut worker = case.worker().await;
    let claimed = worker.take(10).await;
    assert!(claimed.iter().all(|run| run.crashes == 1));
    worker.succeed(&claimed).await;
    for id in ids {
        assert_eq!(case.record(id).await.errors.len(), 1, "one crash each");
    }
    case.assert_drained(&mut worker).await;
}

/// Proves L50, S50, S51, S52.
async fn a_dropped_promotion_loses_no_due_job_and_runs_none_twice(case: LedgerCase) {
    let mut all = HashSet::new();
    for _ in 0..10 {
        all.extend(due_jobs(&case, 10).await);
        for _ in 0..3 {
            impatiently(&case.env, case.ledger.tend(Chore::Promote)).await;
        }
    }
    assert_each_runs_once(&case, &mut case.worker().await, &all).await;
}

/// Proves L30, S2, S40.
async fn a_dropped_settle_counts_once_and_leaves_nothing_behind(case: LedgerCase) {
    let mut worker = case.worker().await;
    for _ in 0..30 {
        let ids = case.enqueue_all(case.jobs(3)).await;
        let claimed = worker.take(3).await;
        let ends = || claimed.iter().map(|run| (run.clone(), success())).collect();
        impatiently(&case.env, case.ledger.settle(ends())).await;
        // What a worker does that got no answer.
        for settled in case.ledger.settle(ends()).await {
            let succeeded = JobState::Succeeded;
            let truths = [
                JobSettled::Settled(succeeded),
                JobSettled::AlreadySettled(succeeded),
            ];
            let settled = settled.unwrap();
            assert!(truths.contains(&settled), "{settled:?}");
        }
        for id in ids {
            let record = case.record(id).await;
            assert_eq!(record.standing.state, JobState::Succeeded);
            assert!(record.result.is_some() && record.errors.is_empty());
        }
    }
    case.assert_drained(&mut worker).await;
}
