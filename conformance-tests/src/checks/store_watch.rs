//! Waiting for changes in a store.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Alteration, JobState};

use crate::case::StoreCase;
use crate::check::checks;
use crate::outcomes::release;
use crate::patience::{DEADLINE, Patience};
use crate::race::{all_at_once, beside};

checks!(StoreCase:
    every_kind_of_change_by_another_client_ends_a_watch,
    one_change_ends_all_watches_of_all_clients,
    a_watch_lasts_while_nothing_changes,
    what_was_recorded_is_found_at_once_by_every_client,
);

/// How long before a change the watch has surely begun, as a rule.
const HEADSTART: Duration = Duration::from_millis(30);

/// Watches here, while `change` is made again and again until the watch ends: the first changes may come
/// before it has begun.
async fn ends_a_watch(case: &StoreCase, what: &str, mut change: impl AsyncFnMut()) {
    let patience = Patience::new(&case.env);
    let store = Arc::clone(&case.store);
    let mut watch = Box::pin(beside(&case.env, async move {
        store.index().watch(DEADLINE * 2).await.unwrap();
    }));
    loop {
        if case.env.within(HEADSTART, &mut watch).await.is_ok() {
            return;
        }
        change().await;
        patience.check(&format!("{what} ends the watch"));
    }
}

/// Proves S63.
async fn every_kind_of_change_by_another_client_ends_a_watch(case: StoreCase) {
    let there = case.there().await;
    let owner = case.owner().await.id;
    let record = async || {
        let job = case.job();
        there.clone().record(case.new_record(&job)).await;
    };
    ends_a_watch(&case, "a new job", record).await;
    let mut last = case.recorded().await;
    let mut run = async || {
        let answer = there.clone().claim(last.clone(), owner).await;
        if let bananas_core::ClaimAnswer::Run { epoch, .. } = answer {
            there.clone().settle(last.clone(), epoch, release()).await;
        }
    };
    ends_a_watch(&case, "a claim or an end", &mut run).await;
    last = case.recorded().await;
    let alter = async || {
        there.clone().alter(last.id, Alteration::Retry).await;
        there.clone().alter(last.id, Alteration::Cancel).await;
    };
    ends_a_watch(&case, "an alteration", alter).await;
    let due = async || {
        there.clone().alter(last.id, Alteration::Retry).await;
        there.clone().due(case.due(None)).await;
        there.clone().alter(last.id, Alteration::Cancel).await;
    };
    ends_a_watch(&case, "a due job", due).await;
    let prune = async || {
        case.job_in(JobState::Cancelled).await;
        there.clone().prune(case.prune_all()).await;
    };
    ends_a_watch(&case, "a prune", prune).await;
}

/// Proves S63.
async fn one_change_ends_all_watches_of_all_clients(case: StoreCase) {
    let clients = [case.here(), case.there().await, case.there().await];
    let patience = Patience::new(&case.env);
    let watches = (0..30).map(|n| {
        let client = clients[n % 3].clone();
        async move { client.0.index().watch(DEADLINE * 2).await.unwrap() }
    });
    let mut watches = Box::pin(all_at_once(&case.env, watches));
    // Again and again, for a watch may begin late.
    while case.env.within(HEADSTART, &mut watches).await.is_err() {
        case.recorded().await;
        patience.check("all watches end");
    }
}

/// Proves S63.
async fn a_watch_lasts_while_nothing_changes(case: StoreCase) {
    case.recorded().await;
    let wait = Duration::from_millis(200);
    let mut lasted = 0;
    // One may end early, by the echo of an older change or a stranger's; not one after the other.
    for _ in 0..10 {
        let patience = Patience::new(&case.env);
        case.store.index().watch(wait).await.unwrap();
        lasted += u32::from(patience.spent() >= wait);
    }
    assert!(lasted >= 5, "{lasted} of 10 watches lasted to their end");
}

/// Proves S10, S60.
async fn what_was_recorded_is_found_at_once_by_every_client(case: StoreCase) {
    let clients = [case.here(), case.there().await, case.there().await];
    for n in 0..30 {
        let job = case.job();
        let record = case.new_record(&job);
        let writer = clients[n % 3].clone();
        writer.record(record).await;
        for reader in &clients {
            let found = reader.0.index().get(&[job.id]).await.unwrap().remove(0);
            assert_eq!(found.map(|found| found.id), Some(job.id));
        }
    }
}
