//! Running jobs: each once, whoever looks for them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use bananas_core::{JobId, JobState};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::hand_worker::{HandWorker, LONG_LEASE};
use crate::outcomes::success;
use crate::patience::Patience;

checks!(LedgerCase:
    one_job_runs_once_and_its_result_is_stored,
    many_sources_on_two_clients_run_2000_jobs_and_none_twice,
    a_running_job_is_shown_as_running,
);

/// Proves L1, L22, S2, S60.
async fn one_job_runs_once_and_its_result_is_stored(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let claimed = worker.one().await;
    assert_eq!((claimed.job.id, claimed.attempt), (id, 1));
    worker.settle(&claimed, success()).await;
    let record = case.record(id).await;
    let result: serde_json::Value = serde_json::from_slice(&record.result.unwrap()).unwrap();
    assert_eq!(result, serde_json::json!({ "ok": true }));
    assert_eq!(record.standing.state, JobState::Succeeded);
    assert!(record.standing.finished_at >= record.started_at);
    case.assert_drained(&mut worker).await;
}

/// Proves L22, L30, S30, B71.
async fn many_sources_on_two_clients_run_2000_jobs_and_none_twice(case: LedgerCase) {
    const JOBS: usize = 2_000;
    let clients = [Arc::clone(&case.ledger), case.second_client().await];
    let ran = Arc::new(Mutex::new(Vec::<JobId>::new()));
    let mut running = Vec::new();
    for n in 0..8 {
        let worker = case.worker_on(&clients[n % 2], LONG_LEASE).await;
        let ran = Arc::clone(&ran);
        let patience = Patience::new(&case.env);
        let work = Box::pin(work(worker, ran, patience, JOBS));
        running.push(case.env.spawn("hand worker", work));
    }
    for _ in 0..4 {
        case.enqueue_all(case.jobs(JOBS / 4)).await;
    }
    for worker in &mut running {
        assert!(
            worker.ended().await,
            "a worker failed; its message is above"
        );
    }
    let ran = ran.lock().unwrap();
    let different: HashSet<_> = ran.iter().collect();
    assert_eq!((ran.len(), different.len()), (JOBS, JOBS));
}

/// Runs jobs until all have run, here or elsewhere.
async fn work(mut worker: HandWorker, ran: Arc<Mutex<Vec<JobId>>>, patience: Patience, all: usize) {
    while ran.lock().unwrap().len() < all {
        let claimed = worker.look(20).await;
        worker.succeed(&claimed).await;
        ran.lock()
            .unwrap()
            .extend(claimed.iter().map(|run| run.job.id));
        patience.check("all jobs have run");
    }
}

/// Proves S30, S60.
async fn a_running_job_is_shown_as_running(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let claimed = worker.one().await;
    let record = case.record(id).await;
    assert_eq!(record.standing.state, JobState::Running);
    assert_eq!(record.standing.owner, Some(worker.owner.id));
    assert_eq!(record.standing.epoch, claimed.epoch);
    assert!(record.started_at >= Some(record.created_at));
}
