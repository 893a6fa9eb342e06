//! What cannot be read holds up nothing, and a check finds and mends it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Check, CheckScope, Checked, DeadReason, Finding, FindingKind, JobFilter, JobId, JobState,
    StateStore,
};
use rusqlite::Connection;

use super::{assert_counts, due, taker};
use crate::testing::{Place, ended, settle_one, success, take};

/// The file as another program writes it, that knows none of our rules.
fn stranger(place: &Place) -> Connection {
    let file = Connection::open(place.config().path).unwrap();
    file.pragma_update(None, "ignore_check_constraints", true)
        .unwrap();
    file
}

/// Ways to spoil a row of `jobs`.
const DAMAGES: [&str; 8] = [
    "epoch = -1",
    "failed_attempts = 9999999999",
    "errors = 'no JSON'",
    "tags = '{'",
    "reason = 'because'",
    "owner = x'01'",
    "queue = 'not a name!'",
    "task = ''",
];

fn damage(place: &Place, id: JobId, how: &str) {
    let sql = format!("UPDATE jobs SET {how} WHERE id = ?1");
    let changed = stranger(place).execute(&sql, [id.as_bytes()]).unwrap();
    assert_eq!(changed, 1);
}

/// All pages of a check.
async fn check(store: &Arc<dyn StateStore>, repair: bool) -> (u64, Vec<Finding>) {
    let mut check = Check {
        repair,
        scope: CheckScope::Everything,
        ..Check::default()
    };
    let (mut records, mut findings) = (0, Vec::new());
    loop {
        let page: Checked = store.index().check(check.clone()).await.unwrap();
        records += page.records;
        findings.extend(page.findings);
        check.after = page.next;
        if check.after.is_none() {
            return (records, findings);
        }
    }
}

fn kinds(findings: &[Finding]) -> Vec<FindingKind> {
    findings.iter().map(|finding| finding.kind).collect()
}

#[tokio::test]
async fn a_record_that_cannot_be_read_becomes_a_dead_job_and_holds_up_no_other() {
    for how in DAMAGES {
        let place = Place::new();
        let engine = place.open().await;
        let store = engine.store();
        let owner = place.enlisted(&store).await;
        let ids = place.record(&store, 3).await;
        let body = store.index().get(&ids).await.unwrap()[0]
            .clone()
            .unwrap()
            .body;
        damage(&place, ids[0], how);
        let mut taker = taker(&engine, &owner);
        let mut taken = Vec::new();
        while taken.len() < 2 {
            taken.extend(taker.take(5, 1, Duration::from_secs(5)).await.unwrap());
        }
        let ran: HashSet<JobId> = taken.iter().map(|job| job.id).collect();
        // What stands in another queue, or whose damage the look for work does not meet, waits for a check.
        check(&store, true).await;
        if !ran.contains(&ids[0]) {
            assert_eq!(ran, HashSet::from([ids[1], ids[2]]), "{how}");
        }
        let set_aside = store
            .index()
            .get(&ids[..1])
            .await
            .unwrap()
            .remove(0)
            .unwrap();
        assert_eq!(set_aside.standing.state, JobState::Dead, "{how}");
        assert_eq!(set_aside.standing.reason, Some(DeadReason::Undecodable));
        assert_eq!(set_aside.body, body, "{how}");
        let told = &set_aside.errors.last().unwrap().message;
        let column = how.split_once(' ').unwrap().0;
        assert!(told.contains(column), "{how}: {told}");
        for job in taken {
            let settled = settle_one(store.jobs(), ended(&job, success())).await;
            let is_damaged = job.id == ids[0];
            let is_settled = matches!(settled, bananas_core::JobSettled::Settled(_));
            assert_eq!(is_settled, !is_damaged, "{how}");
        }
        assert_counts(&place, &engine).await;
        assert_eq!(check(&store, false).await, (3, Vec::new()), "{how}");
    }
}

#[tokio::test]
async fn damaged_records_are_shown_as_what_they_become_before_anybody_mends_them() {
    for how in DAMAGES {
        let place = Place::new();
        let engine = place.open().await;
        let store = engine.store();
        let ids = place.record(&store, 2).await;
        damage(&place, ids[0], how);
        let page = store.index().query(&JobFilter::default(), None, 9).await;
        let page = page.unwrap().jobs;
        let damaged = page.iter().find(|job| job.id == ids[0]).unwrap();
        assert_eq!((page.len(), damaged.standing.state), (2, JobState::Dead));
        let (records, findings) = check(&store, false).await;
        assert_eq!((records, kinds(&findings)[0]), (2, FindingKind::Unreadable));
        assert_eq!(findings[0].job, Some(ids[0]), "{how}");
        assert!(!findings[0].repaired);
    }
}

#[tokio::test]
async fn a_thousand_damaged_records_among_others_keep_none_of_them_from_running() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let ids = place.record(&store, 2_000).await;
    let sql = "UPDATE jobs SET epoch = -1 WHERE seq % 2 = 0";
    assert_eq!(stranger(&place).execute(sql, []).unwrap(), 1_000);
    let mut taker = taker(&engine, &owner);
    let mut ran = HashSet::new();
    while ran.len() < 1_000 {
        let taken = taker.take(100, 0, Duration::from_secs(5)).await.unwrap();
        assert!(!taken.is_empty(), "{} ran", ran.len());
        ran.extend(taken.iter().map(|job| job.id));
    }
    check(&store, true).await;
    let mut dead = JobFilter::default();
    dead.states = vec![JobState::Dead];
    let dead = store.index().query(&dead, None, 2_000).await.unwrap().jobs;
    assert_eq!((ran.len() + dead.len(), dead.len()), (ids.len(), 1_000));
    assert_counts(&place, &engine).await;
}

#[tokio::test]
async fn jobs_that_nothing_would_ever_move_are_found_and_go_on() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let ids = place.record(&store, 3).await;
    let running = take(&mut taker(&engine, &owner), 3).await;
    let file = stranger(&place);
    file.execute(
        "UPDATE jobs SET owner = NULL WHERE id = ?1",
        [ids[0].as_bytes()],
    )
    .unwrap();
    settle_one(store.jobs(), ended(&running[1], success())).await;
    let sql = "UPDATE jobs SET finished_at = NULL WHERE id = ?1";
    file.execute(sql, [running[1].id.as_bytes()]).unwrap();
    let sql = "UPDATE jobs SET state = 'retrying', owner = NULL, run_at = NULL WHERE id = ?1";
    file.execute(sql, [running[2].id.as_bytes()]).unwrap();
    let (_, found) = check(&store, false).await;
    let expected = [
        FindingKind::Stranded,
        FindingKind::NeverDue,
        FindingKind::NeverForgotten,
        // The stranger counts nothing.
        FindingKind::Count,
        FindingKind::Count,
    ];
    assert_eq!(kinds(&found), expected);
    let (_, mended) = check(&store, true).await;
    assert!(mended.iter().all(|finding| finding.repaired), "{mended:?}");
    assert_eq!(check(&store, false).await.1, []);
    assert_counts(&place, &engine).await;
    assert_eq!(store.jobs().due(due(&place)).await.unwrap().moved, 1);
    let again = take(&mut taker(&engine, &owner), 2).await;
    let again: HashSet<(JobId, u32)> = again.iter().map(|job| (job.id, job.crashes)).collect();
    assert_eq!(again, HashSet::from([(ids[0], 1), (running[2].id, 0)]));
}

#[tokio::test]
async fn an_index_that_misses_rows_is_found_and_made_anew() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    place.record(&store, 2).await;
    {
        let file = stranger(&place);
        // While it is gone from the schema, the index hears of nothing.
        file.execute_batch(
            "PRAGMA writable_schema = ON;
             CREATE TABLE hidden AS SELECT rowid AS place, * FROM sqlite_schema WHERE name = 'jobs_ready';
             DELETE FROM sqlite_schema WHERE name = 'jobs_ready';",
        )
        .unwrap();
    }
    {
        let file = stranger(&place);
        file.execute("UPDATE jobs SET priority = 99", []).unwrap();
        file.execute_batch(
            "PRAGMA writable_schema = ON;
             INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql)
                SELECT type, name, tbl_name, rootpage, sql FROM hidden;
             DROP TABLE hidden; PRAGMA schema_version = 4711;",
        )
        .unwrap();
    }
    let (_, found) = check(&store, false).await;
    assert_eq!(kinds(&found), [FindingKind::Index; 2], "{found:?}");
    let (_, mended) = check(&store, true).await;
    assert!(mended.iter().all(|finding| finding.repaired), "{mended:?}");
    assert_eq!(check(&store, false).await.1, []);
    let owner = place.enlisted(&store).await;
    assert_eq!(take(&mut taker(&engine, &owner), 2).await.len(), 2);
}

#[tokio::test]
async fn a_place_of_another_store_is_refused() {
    let place = Place::new();
    let store = place.open().await.store();
    let check = Check {
        after: Some(bananas_core::CheckPlace("nowhere".to_owned())),
        ..Check::default()
    };
    let error = store.index().check(check).await.unwrap_err();
    assert_eq!(error.kind(), bananas_core::ErrorKind::InvalidArgument);
}
