//! A store that was closed.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Alteration, Claim, ClaimRequest, ErrorKind, JobFilter, JobSettle, Lost, Result,
};

use crate::case::{HOUR, StoreCase};
use crate::check::checks;
use crate::hand_worker::LONG_LEASE;
use crate::outcomes::success;
use crate::patience::{DEADLINE, Patience};
use crate::race::beside;

checks!(StoreCase:
    every_call_of_a_closed_store_is_answered_closed_at_once,
    closing_ends_the_watches_of_that_client_alone,
    closing_twice_is_fine_and_leaves_the_other_clients_open,
);

fn assert_closed<T: Debug>(what: &str, answer: Result<T>) {
    let error = answer.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Closed, "{what}: {error}");
    assert!(!error.is_retryable(), "{what}: {error}");
}

fn assert_each_closed<T: Debug>(what: &str, answers: Vec<Result<T>>) {
    assert_eq!(answers.len(), 2, "{what}");
    for answer in answers {
        assert_closed(what, answer);
    }
}

/// Proves S3, S5.
async fn every_call_of_a_closed_store_is_answered_closed_at_once(case: StoreCase) {
    let owner = case.owner().await;
    let job = case.recorded().await;
    case.start(&job, owner.id).await;
    let patience = Patience::new(&case.env);
    case.store.close(DEADLINE).await.unwrap();
    let (jobs, index) = (case.store.jobs(), case.store.index());
    let records = vec![case.new_record(&job), case.new_record(&case.job())];
    assert_each_closed("record", jobs.record(records, None).await);
    let claim = Claim {
        job: job.reference(),
        copy: 0,
        delivery: 1,
        redelivery_proves_lease_lost: true,
    };
    let request = ClaimRequest {
        owner: owner.id,
        suspects: 1,
        claims: vec![claim.clone(), claim],
    };
    assert_each_closed("claim", jobs.claim(request).await);
    let settle = JobSettle {
        job: job.reference(),
        epoch: 1,
        outcome: success(),
    };
    let batch = vec![settle.clone(), settle];
    assert_each_closed("settle", jobs.settle(batch).await);
    assert_closed("confirm", jobs.confirm(&[case.env.batch_id()]).await);
    assert_closed("due", jobs.due(case.due(None)).await);
    let lost = Lost {
        now: case.env.now(),
        open_for: HOUR,
        gone: std::iter::empty().collect(),
        evidence: vec![job.queue.clone()],
        max: 10,
        publication: case.publication(),
    };
    assert_closed("lost", jobs.lost(lost).await);
    assert_closed("open batches", jobs.open_batches().await);
    assert_closed("renew", jobs.renew(&owner, LONG_LEASE).await);
    assert_closed("owners", jobs.owners(Some(owner.id)).await);
    assert_closed("retire", jobs.retire(&[owner.id]).await);
    assert_closed("get", index.get(&[job.id]).await);
    let filter = JobFilter::default();
    assert_closed("query", index.query(&filter, None, 10).await);
    assert_closed("counts", index.counts().await);
    assert_closed("watch", index.watch(DEADLINE * 2).await);
    let cancel = Alteration::Cancel;
    assert_closed("alter", index.alter(&[job.id], cancel).await);
    assert_closed("prune", index.prune(case.prune_all()).await);
    patience.check("no call waits for its deadline");
}

/// Proves S5.
async fn closing_ends_the_watches_of_that_client_alone(case: StoreCase) {
    let watch = |store: &Arc<dyn bananas_core::StateStore>| {
        let store = Arc::clone(store);
        let watch = async move { store.index().watch(DEADLINE * 2).await };
        Box::pin(beside(&case.env, watch))
    };
    let patience = Patience::new(&case.env);
    let other = case.second_client().await;
    let change = async || {
        let record = case.new_record(&case.job());
        let mut recorded = other.jobs().record(vec![record], None).await;
        recorded.remove(0).unwrap();
    };
    // The first may have to connect, and may end once it has, for it may have missed something. Those after it wait.
    let moment = Duration::from_millis(100);
    let mut first = watch(&case.store);
    while case.env.within(moment, &mut first).await.is_err() {
        patience.check("a change ends a watch");
        change().await;
    }
    let mut here = watch(&case.store);
    while case.env.within(moment, &mut here).await.is_ok() {
        patience.check("a watch lasts while nothing changes");
        here = watch(&case.store);
    }
    let mut there = watch(&other);
    case.store.close(DEADLINE).await.unwrap();
    assert_closed("watch", here.await);
    patience.check("the watch ends with the close");
    // It may have begun after the first change, and then waits for another.
    let ended = loop {
        change().await;
        if let Ok(ended) = case.env.within(moment, &mut there).await {
            break ended;
        }
        patience.check("a change ends the watch of the other client");
    };
    ended.expect("the other client is open");
}

/// Proves S5.
async fn closing_twice_is_fine_and_leaves_the_other_clients_open(case: StoreCase) {
    let other = case.second_client().await;
    let late = case.second_client().await;
    let job = case.recorded().await;
    let patience = Patience::new(&case.env);
    for store in [&other, &other, &late] {
        store.close(DEADLINE).await.unwrap();
    }
    patience.check("the close ends");
    case.start(&job, case.owner().await.id).await;
    let again = case.second_client().await;
    let found = again.index().get(&[job.id]).await.unwrap();
    assert!(found[0].is_some(), "a new client finds what there was");
}
