//! Leases of owners, crashes, and claims.

use std::time::Duration;

use bananas_core::{
    ClaimAnswer, ClaimRequest, ErrorCause, ErrorKind, JobSettled, JobState, Prune, Renewed,
};

use super::{LEASE, assert_counts, claim, due, taker};
use crate::testing::{Place, ended, settle_one, success, take};

#[tokio::test]
async fn an_owner_without_a_valid_lease_takes_and_claims_nothing() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let ids = place.record(&store, 1).await;
    let stranger = place.owner();
    let error = taker(&engine, &stranger)
        .take(1, 0, Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let owner = place.enlisted(&store).await;
    place.advance(LEASE);
    let error = taker(&engine, &owner)
        .take(1, 0, Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let request = ClaimRequest {
        owner: owner.id,
        suspects: 0,
        claims: vec![claim(ids[0], 1)],
    };
    let error = store.jobs().claim(request).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn the_jobs_of_a_lapsed_owner_come_back_once_and_it_stays_lost() {
    let place = Place::new();
    let (engine, other) = (place.open().await, place.open().await);
    let store = engine.store();
    let dead = place.enlisted(&store).await;
    place.record(&store, 2).await;
    let taken = take(&mut taker(&engine, &dead), 2).await;
    place.advance(LEASE);
    let alive = place.enlisted(&store).await;
    let first = store.jobs().due(due(&place)).await.unwrap();
    let second = other.store().jobs().due(due(&place)).await.unwrap();
    assert_eq!(
        (first.moved, second.moved),
        (2, 0),
        "one of many schedulers finds them"
    );
    assert_eq!(
        store.jobs().renew(&dead, LEASE).await.unwrap(),
        Renewed::Lost
    );
    let late = settle_one(store.jobs(), ended(&taken[0], success())).await;
    assert!(matches!(late, JobSettled::Stale { .. }));
    let mut taker = taker(&engine, &alive);
    let again = taker.take(10, 1, Duration::ZERO).await.unwrap();
    assert_eq!(again.len(), 1, "one suspect at a time");
    assert_eq!((again[0].crashes, again[0].attempt), (1, 1));
    let job = store
        .index()
        .get(&[again[0].id])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(job.errors[0].cause, ErrorCause::Crashed);
    assert_counts(&place, &engine).await;
}

#[tokio::test]
async fn a_lease_neither_ends_nor_lasts_longer_when_the_wall_clock_jumps() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    place.record(&store, 1).await;
    let mut taker = taker(&engine, &owner);
    assert_eq!(take(&mut taker, 1).await.len(), 1);
    let noon = bananas_core::Env::now(&*place.env);
    for wall in [
        noon + Duration::from_secs(3600),
        noon - Duration::from_secs(3600),
    ] {
        place.env.set_wall_clock(wall);
        assert_eq!(store.jobs().due(due(&place)).await.unwrap().moved, 0);
        let (owners, _) = store.jobs().owners(None).await.unwrap();
        assert_eq!((owners[0].left, owners[0].running), (LEASE, 1));
    }
    place.boot.advance(LEASE);
    assert_eq!(store.jobs().due(due(&place)).await.unwrap().moved, 1);
}

#[tokio::test]
async fn leases_of_an_earlier_boot_have_lapsed() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    place.record(&store, 1).await;
    take(&mut taker(&engine, &owner), 1).await;
    place.boot.reboot();
    assert_eq!(store.jobs().due(due(&place)).await.unwrap().moved, 1);
}

#[tokio::test]
async fn a_retired_owner_is_lost_and_forgotten_only_after_a_day() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    store.jobs().retire(&[owner.id]).await.unwrap();
    let prune = || Prune {
        finished_before: bananas_core::Env::now(&*place.env),
        dead_before: bananas_core::Env::now(&*place.env),
        max: 100,
    };
    store.index().prune(prune()).await.unwrap();
    assert_eq!(
        store.jobs().renew(&owner, LEASE).await.unwrap(),
        Renewed::Lost
    );
    place.advance(Duration::from_secs(24 * 3600));
    store.index().prune(prune()).await.unwrap();
    assert!(matches!(
        store.jobs().renew(&owner, LEASE).await.unwrap(),
        Renewed::Held { .. }
    ));
}

#[tokio::test]
async fn three_crashes_are_poison() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let ids = place.record(&store, 1).await;
    for _ in 0..3 {
        let owner = place.enlisted(&store).await;
        assert_eq!(take(&mut taker(&engine, &owner), 1).await.len(), 1);
        store.jobs().retire(&[owner.id]).await.unwrap();
        assert_eq!(store.jobs().due(due(&place)).await.unwrap().moved, 1);
    }
    let job = store.index().get(&ids).await.unwrap().remove(0).unwrap();
    assert_eq!(job.standing.state, JobState::Dead);
    assert_eq!(
        (job.standing.reason, job.errors.len()),
        (Some(bananas_core::DeadReason::Poison), 3)
    );
    assert_counts(&place, &engine).await;
}

#[tokio::test]
async fn claims_are_answered_once_per_epoch() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let (one, two) = (place.enlisted(&store).await, place.enlisted(&store).await);
    let ids = place.record(&store, 1).await;
    let ask = |owner: &bananas_core::Owner, delivery| ClaimRequest {
        owner: owner.id,
        suspects: 1,
        claims: vec![claim(ids[0], delivery), claim(place.job().id, 1)],
    };
    let answers = store.jobs().claim(ask(&one, 1)).await;
    assert!(matches!(answers[0], Ok(ClaimAnswer::Run { epoch: 1, .. })));
    assert!(matches!(answers[1], Ok(ClaimAnswer::Missing)));
    let busy = store.jobs().claim(ask(&two, 1)).await.remove(0).unwrap();
    assert!(matches!(busy, ClaimAnswer::Busy { .. }));
    let proven = store.jobs().claim(ask(&two, 2)).await.remove(0).unwrap();
    assert!(matches!(
        proven,
        ClaimAnswer::Run {
            epoch: 3,
            crashes: 1,
            ..
        }
    ));
    place.boot.advance(Duration::from_secs(10));
    store.jobs().renew(&one, LEASE).await.unwrap();
    place.boot.advance(Duration::from_secs(10));
    // The lease of the second owner has lapsed; acting upon it is for ever.
    let taken_over = store.jobs().claim(ask(&one, 2)).await.remove(0).unwrap();
    assert!(matches!(taken_over, ClaimAnswer::Run { crashes: 2, .. }));
    assert_eq!(
        store.jobs().renew(&two, LEASE).await.unwrap(),
        Renewed::Lost
    );
    assert_counts(&place, &engine).await;
}
