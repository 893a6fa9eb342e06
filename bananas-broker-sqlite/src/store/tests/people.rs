//! What people look at and change; closing; the plans of the statements.

use std::time::Duration;

use bananas_core::{
    Alteration, Altered, ErrorKind, JobFilter, JobState, Outcome, Prune, Tags, Track,
};
use futures::future;

use super::{assert_counts, failure, taker};
use crate::testing::{PATIENCE, Place, ended, mail, settle_one, soon, success, take};

#[tokio::test]
async fn people_cancel_retry_and_drop_jobs() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let ids = place.record(&store, 2).await;
    let running = take(&mut taker(&engine, &owner), 1).await.remove(0);
    let cancelled = store.index().alter(&ids, Alteration::Cancel).await.unwrap();
    assert_eq!(
        cancelled,
        [Altered::Requested, Altered::Done(JobState::Cancelled)]
    );
    let (_, cancels) = store.jobs().owners(Some(owner.id)).await.unwrap();
    assert_eq!(cancels, [running.id]);
    settle_one(store.jobs(), ended(&running, Outcome::Cancelled)).await;
    let retried = store
        .index()
        .alter(&ids[1..], Alteration::Retry)
        .await
        .unwrap();
    assert_eq!(retried, [Altered::Done(JobState::Scheduled)]);
    assert_eq!(take(&mut taker(&engine, &owner), 9).await[0].id, ids[1]);
    let dropped = store.index().alter(&ids, Alteration::Drop).await.unwrap();
    assert_eq!(
        dropped,
        [Altered::Dropped, Altered::Refused(JobState::Running)]
    );
    let missing = store
        .index()
        .alter(&ids[..1], Alteration::Drop)
        .await
        .unwrap();
    assert_eq!(missing, [Altered::Missing]);
    assert_counts(&place, &engine).await;
}

#[tokio::test]
async fn pages_follow_each_other_and_filters_hold() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        place.env.advance(Duration::from_millis(2));
        ids.extend(place.record(&store, 1).await);
    }
    let first = take(&mut taker(&engine, &owner), 1).await.remove(0);
    let dead = Outcome::Dead {
        reason: bananas_core::DeadReason::Fatal,
        error: failure(),
    };
    settle_one(store.jobs(), ended(&first, dead)).await;
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store
            .index()
            .query(&JobFilter::default(), after, 3)
            .await
            .unwrap();
        seen.extend(page.jobs.iter().map(|job| job.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    ids.reverse();
    assert_eq!(seen, ids, "the newest first, each once");
    let mut filter = JobFilter::default();
    filter.states = vec![JobState::Dead];
    filter.queue = Some(mail());
    filter.task = Some("email.welcome".parse().unwrap());
    let page = store.index().query(&filter, None, 3).await.unwrap();
    assert_eq!(
        page.jobs.iter().map(|job| job.id).collect::<Vec<_>>(),
        [first.id]
    );
}

#[tokio::test]
async fn pruning_forgets_what_ended_long_ago_and_nothing_else() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    place.record(&store, 3).await;
    let taken = take(&mut taker(&engine, &owner), 2).await;
    settle_one(store.jobs(), ended(&taken[0], success())).await;
    place.advance(Duration::from_secs(10));
    let now = bananas_core::Env::now(&*place.env);
    let early = Prune {
        finished_before: now - Duration::from_secs(10),
        dead_before: now,
        max: 10,
    };
    assert_eq!(store.index().prune(early).await.unwrap(), 0);
    let late = Prune {
        finished_before: now,
        ..early
    };
    assert_eq!(store.index().prune(late).await.unwrap(), 1);
    let gone = store
        .index()
        .get(&[taken[0].id, taken[1].id])
        .await
        .unwrap();
    assert!(gone[0].is_none() && gone[1].is_some());
    assert_counts(&place, &engine).await;
}

#[tokio::test]
async fn the_tags_of_a_job_go_with_it_however_it_goes() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let mut ids = Vec::new();
    for track in [Track::None, Track::Full, Track::Full] {
        let mut job = place.job();
        job.track = track;
        job.tags = Tags::of(["mail", "größe \"XL\""]).unwrap();
        ids.push(job.id);
        let recorded = store.jobs().record(vec![place.new_record(&job)], None);
        recorded.await.remove(0).unwrap();
    }
    let file = rusqlite::Connection::open(place.config().path).unwrap();
    let rows = || -> i64 {
        file.query_row("SELECT count(*) FROM job_tags", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(rows(), 6);
    let taken = take(&mut taker(&engine, &owner), 2).await;
    settle_one(store.jobs(), ended(&taken[0], success())).await;
    assert_eq!(rows(), 4, "a job that is not tracked is forgotten");
    settle_one(store.jobs(), ended(&taken[1], success())).await;
    place.advance(Duration::from_secs(10));
    let now = bananas_core::Env::now(&*place.env);
    let prune = Prune {
        finished_before: now,
        dead_before: now,
        max: 10,
    };
    assert_eq!(store.index().prune(prune).await.unwrap(), 1);
    assert_eq!(rows(), 2, "it was pruned");
    for alteration in [Alteration::Cancel, Alteration::Drop] {
        store.index().alter(&ids[2..], alteration).await.unwrap();
    }
    assert_eq!(rows(), 0, "it was dropped");
}

#[tokio::test]
async fn a_watcher_wakes_at_any_change_of_any_engine() {
    let place = Place::new();
    let (here, there) = (place.open().await, place.open().await);
    let (store, other) = (here.store(), there.store());
    let (watched, _) = soon(future::join(
        store.index().watch(PATIENCE),
        place.record(&other, 1),
    ))
    .await;
    watched.unwrap();
}

#[tokio::test]
async fn a_closed_store_says_so_and_closing_again_is_fine() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let mut waiter = taker(&engine, &owner);
    let (waited, closed) = soon(future::join(
        waiter.take(1, 0, PATIENCE),
        store.close(PATIENCE),
    ))
    .await;
    closed.unwrap();
    store.close(PATIENCE).await.unwrap();
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::Closed);
    let error = store.index().counts().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    // The file itself is closed too: its log is gone.
    assert!(!place.directory.path().join("jobs.db-wal").exists());
    let again = place.open().await;
    assert_eq!(again.store().index().counts().await.unwrap(), []);
}

#[tokio::test]
async fn no_statement_of_the_daily_path_scans_a_table() {
    let place = Place::new();
    let engine = place.open().await;
    engine.store().close(PATIENCE).await.unwrap();
    let file = rusqlite::Connection::open(place.config().path).unwrap();
    let groups: [&[&str]; 11] = [
        &crate::store::blobs::STATEMENTS,
        &crate::store::row::STATEMENTS,
        &crate::store::record::STATEMENTS,
        &crate::store::settle::STATEMENTS,
        &crate::store::claim::STATEMENTS,
        &crate::store::check::STATEMENTS,
        &crate::store::due::STATEMENTS,
        &crate::store::lost::STATEMENTS,
        &crate::store::owners::STATEMENTS,
        &crate::store::prune::STATEMENTS,
        &[
            crate::store::query::STATEMENTS.as_slice(),
            crate::store::take::STATEMENTS.as_slice(),
        ]
        .concat(),
    ];
    for sql in groups.into_iter().flatten() {
        let mut plan = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = plan.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(3).unwrap();
            let is_small = step.contains("SCAN batches") || step.contains("CONSTANT");
            assert!(is_small || !step.contains("SCAN"), "{sql}\n{step}");
            assert!(!step.contains("TEMP B-TREE"), "{sql}\n{step}");
        }
    }
}
