//! What is left of jobs when the process of a client or a worker dies.

use std::collections::HashSet;

use bananas_core::{JobId, JobState};

use crate::case::{LedgerCase, sorted};
use crate::check::checks;
use crate::hand_worker::SHORT_LEASE;
use crate::ledger_role::LedgerRole;
use crate::patience::Patience;

checks!(LedgerCase:
    a_killed_workers_jobs_run_again_and_count_a_crash if Shared with Child in Fault,
    what_a_killed_client_had_accepted_runs_once if Shared with Child in Fault,
    what_a_killed_worker_had_settled_has_ended if Shared with Child in Fault,
    processes_share_jobs_without_running_one_twice if Shared with Child in Fault,
);

/// Proves L22, S30, S50. Case F01.
async fn a_killed_workers_jobs_run_again_and_count_a_crash(case: LedgerCase) {
    let enqueued = case.enqueue_all(case.jobs(3)).await;
    let mut child = case.child(LedgerRole::Hold, 3);
    child.ids_until("held").await;
    child.kill().await;
    let mut worker = case.worker().await;
    let claimed = worker.take(3).await;
    let ids = claimed.iter().map(|run| run.job.id).collect();
    assert_eq!(sorted(ids), sorted(enqueued));
    assert!(
        claimed
            .iter()
            .all(|run| run.crashes == 1 && run.attempt == 1)
    );
    worker.succeed(&claimed).await;
}

/// Proves L1, L12, S10, S12. Case B01.
async fn what_a_killed_client_had_accepted_runs_once(case: LedgerCase) {
    let mut child = case.child(LedgerRole::Enqueue, 10);
    let mut accepted = child.ids(100).await;
    accepted.extend(child.kill().await);
    let mut missing: HashSet<JobId> = accepted.into_iter().collect();
    let mut ran = HashSet::new();
    let mut worker = case.worker().await;
    let patience = Patience::new(&case.env);
    // The last batch may be there, too, though nobody was told.
    loop {
        let claimed = worker.look(50).await;
        for run in &claimed {
            assert!(ran.insert(run.job.id), "{} ran twice", run.job.id);
            missing.remove(&run.job.id);
        }
        worker.succeed(&claimed).await;
        if claimed.is_empty() && missing.is_empty() {
            return;
        }
        patience.check(&format!("{} accepted jobs ran", missing.len()));
    }
}

/// Proves L2, S40. Case D11.
async fn what_a_killed_worker_had_settled_has_ended(case: LedgerCase) {
    const JOBS: usize = 300;
    let enqueued = case.enqueue_all(case.jobs(JOBS)).await;
    let mut child = case.child(LedgerRole::Work, 10);
    let mut settled: HashSet<JobId> = child.ids(100).await.into_iter().collect();
    settled.extend(child.kill().await);
    for id in &settled {
        let state = case.record(*id).await.standing.state;
        assert_eq!(state, JobState::Succeeded, "{id} was settled");
    }
    let mut worker = case.worker().await;
    let patience = Patience::new(&case.env);
    let open = async |id: &JobId| case.record(*id).await.standing.state != JobState::Succeeded;
    for id in &enqueued {
        while open(id).await {
            let claimed = worker.look(100).await;
            let again = claimed.iter().find(|run| settled.contains(&run.job.id));
            assert!(again.is_none(), "a settled job ran again: {again:?}");
            worker.succeed(&claimed).await;
            patience.check("all jobs have succeeded");
            if claimed.is_empty() {
                case.env.sleep(SHORT_LEASE / 10).await;
            }
        }
    }
}

/// Proves L22, S30. Case K02.
async fn processes_share_jobs_without_running_one_twice(case: LedgerCase) {
    const JOBS: usize = 1_000;
    let enqueued = case.enqueue_all(case.jobs(JOBS)).await;
    let mut children: Vec<_> = (0..4).map(|_| case.child(LedgerRole::Drain, 20)).collect();
    let mut ran = Vec::new();
    for child in &mut children {
        ran.extend(child.ids_until("drained").await);
    }
    assert_eq!(sorted(ran), sorted(enqueued), "each ran once");
}
