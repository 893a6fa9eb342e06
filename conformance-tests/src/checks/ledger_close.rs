//! A ledger that was closed.

use std::fmt::Debug;
use std::time::Duration;

use bananas_core::{Chore, ErrorKind, JobId, Result};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::hand_worker::{ANY, LONG_LEASE};
use crate::outcomes::success;
use crate::patience::{DEADLINE, Patience};

checks!(LedgerCase:
    every_call_of_a_closed_ledger_is_answered_closed_at_once,
    a_waiting_source_ends_when_its_ledger_is_closed,
    what_a_closed_client_ran_runs_again_when_its_owner_is_gone,
);

fn assert_closed<T: Debug>(what: &str, answer: Result<T>) {
    let error = answer.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Closed, "{what}: {error}");
    assert!(!error.is_retryable(), "{what}: {error}");
}

/// Proves S5, B60.
async fn every_call_of_a_closed_ledger_is_answered_closed_at_once(case: LedgerCase) {
    case.enqueue_all(case.jobs(2)).await;
    let mut closed = case.worker_elsewhere(LONG_LEASE).await;
    let claimed = closed.take(2).await;
    let patience = Patience::new(&case.env);
    let ledger = std::sync::Arc::clone(&closed.ledger);
    ledger.close(DEADLINE).await.unwrap();
    for answer in ledger.enqueue(case.jobs(2)).await {
        assert_closed("enqueue", answer);
    }
    let ends = claimed.iter().map(|run| (run.clone(), success())).collect();
    let answers = ledger.settle(ends).await;
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert_closed("settle", answer);
    }
    assert_closed("next", closed.source.next(1, ANY, DEADLINE * 2).await);
    assert_closed("renew", ledger.renew(&closed.owner, LONG_LEASE).await);
    assert_closed("owners", ledger.owners(None).await);
    assert_closed("promote", ledger.tend(Chore::Promote).await);
    let retire = Chore::Retire(vec![closed.owner.id]);
    assert_closed("retire", ledger.tend(retire).await);
    let prune = Chore::Prune {
        finished: Duration::ZERO,
        dead: Duration::ZERO,
    };
    assert_closed("prune", ledger.tend(prune).await);
    let index = ledger.index().unwrap();
    assert_closed("counts", index.counts().await);
    patience.check("no call waits for its deadline");
}

/// Proves S5, B60.
async fn a_waiting_source_ends_when_its_ledger_is_closed(case: LedgerCase) {
    let mut waiting = case.worker_elsewhere(LONG_LEASE).await;
    let ledger = std::sync::Arc::clone(&waiting.ledger);
    let patience = Patience::new(&case.env);
    let close = async {
        case.env.sleep(Duration::from_millis(100)).await;
        ledger.close(DEADLINE).await.unwrap();
    };
    let (ended, ()) = futures::join!(waiting.source.next(1, ANY, DEADLINE * 2), close);
    assert_closed("next", ended);
    patience.check("the wait ends with the close");
}

/// Proves L22, S56.
async fn what_a_closed_client_ran_runs_again_when_its_owner_is_gone(case: LedgerCase) {
    let ids = case.enqueue_all(case.jobs(3)).await;
    let mut closed = case.worker_elsewhere(LONG_LEASE).await;
    closed.take(3).await;
    closed.ledger.close(DEADLINE).await.unwrap();
    let gone = vec![closed.owner.id];
    drop(closed);
    let mut worker = case.worker().await;
    assert!(worker.look(10).await.is_empty(), "its lease is valid");
    case.ledger.tend(Chore::Retire(gone)).await.unwrap();
    let claimed = worker.take(3).await;
    let mut ran: Vec<JobId> = claimed.iter().map(|run| run.job.id).collect();
    ran.sort();
    let mut expected = ids;
    expected.sort();
    assert_eq!(ran, expected);
    assert!(claimed.iter().all(|run| run.crashes == 1));
    worker.succeed(&claimed).await;
}
