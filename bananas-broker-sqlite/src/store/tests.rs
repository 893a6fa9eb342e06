//! The clauses of the store, on one file opened by several engines.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{
    Alteration, Altered, AttemptError, Claim, ClaimAnswer, ClaimRequest, Due, ErrorCause,
    ErrorKind, JobFilter, JobSettled, JobState, Lost, Outcome, Prune, Publication, Recorded,
    Renewed, StateCount, TakeStore, Taker, Track, Unique,
};

use super::SqliteStore;
use crate::SqliteEngine;
use crate::testing::{PATIENCE, Place, ended, mail, settle_one, success, take};

const LEASE: Duration = Duration::from_secs(15);

/// A taker as the fused ledger opens it.
fn taker(engine: &SqliteEngine, owner: &bananas_core::Owner) -> Box<dyn Taker> {
    SqliteStore::new(engine.shared_for_tests()).taker(&mail(), owner.id)
}

fn due(place: &Place) -> Due {
    Due {
        now: bananas_core::Env::now(&*place.env),
        max: 100,
        publication: None,
    }
}

fn failure() -> AttemptError {
    AttemptError::new(
        1,
        bananas_core::Timestamp::default(),
        ErrorCause::Failed,
        "no",
    )
}

/// The counts kept along the way are those of the table.
async fn assert_counts(place: &Place, engine: &SqliteEngine) {
    let counts = engine.store().index().counts().await.unwrap();
    let file = rusqlite::Connection::open(place.config().path).unwrap();
    let mut recount = file
        .prepare("SELECT queue, state, count(*) FROM jobs GROUP BY queue, state")
        .unwrap();
    let mut recount: Vec<StateCount> = recount
        .query_map([], |row| {
            Ok(StateCount {
                queue: row.get::<_, String>(0)?.parse().unwrap(),
                state: row.get::<_, String>(1)?.parse().unwrap(),
                jobs: u64::try_from(row.get::<_, i64>(2)?).unwrap(),
            })
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    recount.sort_by_key(|count| (count.queue.clone(), count.state as usize));
    assert_eq!(counts, recount);
}

#[tokio::test]
async fn a_job_lives_from_record_to_result() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let ids = place.record(&store, 3).await;
    let mut taker = taker(&engine, &owner);
    let taken = take(&mut taker, 10).await;
    assert_eq!(
        taken.iter().map(|t| t.id).collect::<Vec<_>>(),
        ids,
        "first in, first out"
    );
    assert!(
        taken
            .iter()
            .all(|t| (t.epoch, t.attempt, t.crashes) == (1, 1, 0))
    );
    let settled = settle_one(store.jobs(), ended(&taken[0], success())).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
    let again = settle_one(store.jobs(), ended(&taken[0], success())).await;
    assert_eq!(again, JobSettled::AlreadySettled(JobState::Succeeded));
    let job = store
        .index()
        .get(&ids[..1])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(job.result.as_deref(), Some(b"42".as_slice()));
    assert!(job.started_at.is_some() && job.standing.finished_at.is_some());
    assert_counts(&place, &engine).await;
}

#[tokio::test]
async fn the_same_id_and_the_same_unique_key_are_one_job() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let mut job = place.job();
    job.unique = Some(Unique {
        key: "user-1".to_owned(),
        lasts: Duration::from_secs(60),
    });
    let mut other = place.job();
    other.unique = job.unique.clone();
    let batch = vec![
        place.new_record(&job),
        place.new_record(&job),
        place.new_record(&other),
    ];
    let answers = store.jobs().record(batch, None).await;
    let answers: Vec<Recorded> = answers.into_iter().map(Result::unwrap).collect();
    let duplicate = Recorded::Duplicate(job.id);
    assert_eq!(answers, [Recorded::New, duplicate, duplicate]);
    place.advance(Duration::from_secs(61));
    let late = store
        .jobs()
        .record(vec![place.new_record(&other)], None)
        .await
        .remove(0);
    assert_eq!(late.unwrap(), Recorded::New, "the key's time is over");
    assert_counts(&place, &engine).await;
}

#[tokio::test]
async fn higher_priorities_come_first_and_a_scheduled_job_when_it_is_due() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let mut records = Vec::new();
    for priority in [10, 90, 50] {
        let mut job = place.job();
        job.priority = bananas_core::Priority::new(priority).unwrap();
        records.push(place.new_record(&job));
    }
    let mut later = place.job();
    later.priority = bananas_core::Priority::MAX;
    later.run_at = Some(bananas_core::Env::now(&*place.env) + Duration::from_secs(5));
    records.push(place.new_record(&later));
    store.jobs().record(records, None).await;
    let mut taker = taker(&engine, &owner);
    let order: Vec<u8> = take(&mut taker, 10)
        .await
        .iter()
        .map(|t| t.priority.get())
        .collect();
    assert_eq!(order, [90, 50, 10]);
    assert!(take(&mut taker, 10).await.is_empty(), "not due yet");
    place.advance(Duration::from_secs(5));
    assert_eq!(take(&mut taker, 10).await[0].id, later.id);
    assert_counts(&place, &engine).await;
}

#[tokio::test]
async fn a_waiting_taker_wakes_when_another_engine_records_a_job() {
    let place = Place::new();
    let (here, there) = (place.open().await, place.open().await);
    let owner = place.enlisted(&here.store()).await;
    let mut taker = taker(&here, &owner);
    let waiting = tokio::spawn(async move { taker.take(1, 0, PATIENCE).await });
    let ids = place.record(&there.store(), 1).await;
    let taken = tokio::spawn(waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(taken[0].id, ids[0]);
}

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
}

#[tokio::test]
async fn what_a_dropped_take_has_started_comes_with_the_next_one() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let ids: HashSet<_> = place.record(&store, 40).await.into_iter().collect();
    let mut taker = taker(&engine, &owner);
    let mut seen = HashSet::new();
    for polls in 0..60 {
        let mut future = Box::pin(taker.take(1, 0, Duration::ZERO));
        let mut left = polls;
        // Drops the call after a few polls, wherever it is.
        let polled = std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(taken) => std::task::Poll::Ready(Some(taken)),
            std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => {
                left -= 1;
                std::task::Poll::Pending
            }
        })
        .await;
        drop(future);
        for taken in polled.into_iter().flat_map(Result::unwrap) {
            assert!(seen.insert(taken.id), "twice");
        }
    }
    taker.stop().await.unwrap();
    taker.stop().await.unwrap();
    let counts = store.index().counts().await.unwrap();
    let of = |state| {
        counts
            .iter()
            .find(|c| c.state == state)
            .map_or(0, |c| c.jobs)
    };
    assert_eq!(
        of(JobState::Running),
        seen.len() as u64,
        "only what was returned runs"
    );
    assert_eq!(of(JobState::Ready), (ids.len() - seen.len()) as u64);
}

#[tokio::test]
async fn a_dropped_taker_gives_back_what_it_held_and_uses_no_attempt() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    place.record(&store, 1).await;
    let mut abandoned = taker(&engine, &owner);
    {
        let mut future = Box::pin(abandoned.take(1, 0, PATIENCE));
        std::future::poll_fn(|cx| {
            assert!(future.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    drop(abandoned);
    let taken = taker(&engine, &owner).take(1, 0, PATIENCE).await.unwrap();
    assert_eq!((taken.len(), taken[0].attempt, taken[0].crashes), (1, 1, 0));
}

#[tokio::test]
async fn a_failed_attempt_waits_for_its_time_and_keeps_its_error() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let ids = place.record(&store, 1).await;
    let mut taker = taker(&engine, &owner);
    let taken = take(&mut taker, 1).await;
    let run_at = bananas_core::Env::now(&*place.env) + Duration::from_secs(9);
    let retry = Outcome::Retry {
        run_at,
        error: failure(),
    };
    let settled = settle_one(store.jobs(), ended(&taken[0], retry)).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Retrying));
    assert_eq!(
        store.jobs().due(due(&place)).await.unwrap().next,
        Some(run_at)
    );
    place.advance(Duration::from_secs(9));
    store.jobs().renew(&owner, LEASE).await.unwrap();
    let again = take(&mut taker, 1).await;
    assert_eq!((again[0].attempt, again[0].epoch), (2, 2));
    let job = store.index().get(&ids).await.unwrap().remove(0).unwrap();
    assert_eq!(job.errors, [failure()]);
    let release = Outcome::Release {
        run_at: None,
        note: Some("no worker for it".to_owned()),
    };
    settle_one(store.jobs(), ended(&again[0], release)).await;
    let job = store.index().get(&ids).await.unwrap().remove(0).unwrap();
    assert_eq!(
        (job.standing.state, job.note.as_deref()),
        (JobState::Ready, Some("no worker for it"))
    );
    assert_counts(&place, &engine).await;
}

#[tokio::test]
async fn nothing_is_kept_of_an_untracked_job_that_ended_well() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let mut job = place.job();
    job.track = Track::None;
    store
        .jobs()
        .record(vec![place.new_record(&job)], None)
        .await;
    let taken = take(&mut taker(&engine, &owner), 1).await;
    settle_one(store.jobs(), ended(&taken[0], success())).await;
    assert_eq!(store.index().get(&[job.id]).await.unwrap(), [None]);
    assert_counts(&place, &engine).await;
}

#[tokio::test]
async fn a_job_that_has_expired_is_not_started() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let mut job = place.job();
    job.expires_at = Some(bananas_core::Env::now(&*place.env) + Duration::from_secs(1));
    store
        .jobs()
        .record(vec![place.new_record(&job)], None)
        .await;
    place.advance(Duration::from_secs(2));
    let owner = place.enlisted(&store).await;
    assert!(take(&mut taker(&engine, &owner), 1).await.is_empty());
    let job = store
        .index()
        .get(&[job.id])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(job.standing.state, JobState::Expired);
    assert_counts(&place, &engine).await;
}

fn claim(id: bananas_core::JobId, delivery: u32) -> Claim {
    Claim {
        job: bananas_core::JobRef { queue: mail(), id },
        copy: 0,
        delivery,
        redelivery_proves_lease_lost: true,
    }
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

#[tokio::test]
async fn only_unconfirmed_batches_and_evidence_lead_to_a_republish() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let jobs = store.jobs();
    let batch = || Publication {
        id: (&*place.env as &dyn bananas_core::Env).batch_id(),
        owner: place.owner(),
    };
    let (confirmed, open) = (batch(), batch());
    for publication in [&confirmed, &open] {
        let record = place.new_record(&place.job());
        jobs.record(vec![record], Some(publication.clone())).await;
    }
    jobs.confirm(&[confirmed.id]).await.unwrap();
    jobs.confirm(&[confirmed.id]).await.unwrap();
    assert_eq!(jobs.open_batches().await.unwrap(), [open.clone()]);
    let lost = |evidence: Vec<_>, gone: Vec<_>| Lost {
        now: bananas_core::Env::now(&*place.env),
        open_for: Duration::from_secs(30),
        gone: gone.into_iter().collect(),
        evidence,
        max: 10,
        publication: batch(),
    };
    assert!(
        jobs.lost(lost(vec![], vec![]))
            .await
            .unwrap()
            .jobs
            .is_empty(),
        "too early"
    );
    let dead = jobs.lost(lost(vec![], vec![open.id])).await.unwrap();
    assert_eq!((dead.jobs.len(), dead.jobs[0].copy), (1, 1));
    assert_eq!(
        jobs.open_batches().await.unwrap().len(),
        1,
        "the old batch is closed, a new one open"
    );
    place.advance(Duration::from_secs(31));
    let old = jobs.lost(lost(vec![], vec![])).await.unwrap();
    assert_eq!((old.jobs.len(), old.jobs[0].copy), (1, 2));
    let by_evidence = jobs.lost(lost(vec![mail()], vec![])).await.unwrap();
    assert_eq!(
        (by_evidence.jobs.len(), by_evidence.jobs[0].copy),
        (1, 1),
        "the confirmed one only"
    );
}

#[tokio::test]
async fn due_jobs_are_stamped_and_returned_when_they_are_to_be_published() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let mut job = place.job();
    job.run_at = Some(bananas_core::Env::now(&*place.env) + Duration::from_secs(1));
    store
        .jobs()
        .record(vec![place.new_record(&job)], None)
        .await;
    place.advance(Duration::from_secs(1));
    let publication = Publication {
        id: (&*place.env as &dyn bananas_core::Env).batch_id(),
        owner: place.owner(),
    };
    let page = Due {
        publication: Some(publication.clone()),
        ..due(&place)
    };
    let page = store.jobs().due(page).await.unwrap();
    assert_eq!((page.jobs[0].job.id, page.jobs[0].copy), (job.id, 1));
    assert_eq!(store.jobs().open_batches().await.unwrap(), [publication]);
}

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
async fn a_watcher_wakes_at_any_change_of_any_engine() {
    let place = Place::new();
    let (here, there) = (place.open().await, place.open().await);
    let store = here.store();
    let watching = tokio::spawn(async move { store.index().watch(PATIENCE).await });
    place.record(&there.store(), 1).await;
    watching.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_closed_store_says_so_and_closing_again_is_fine() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let mut waiter = taker(&engine, &owner);
    let waiting = tokio::spawn(async move { waiter.take(1, 0, PATIENCE).await });
    tokio::task::yield_now().await;
    store.close(PATIENCE).await.unwrap();
    store.close(PATIENCE).await.unwrap();
    assert_eq!(
        waiting.await.unwrap().unwrap_err().kind(),
        ErrorKind::Closed
    );
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
    let groups: [&[&str]; 9] = [
        &super::row::STATEMENTS,
        &super::record::STATEMENTS,
        &super::settle::STATEMENTS,
        &super::claim::STATEMENTS,
        &super::due::STATEMENTS,
        &super::lost::STATEMENTS,
        &super::owners::STATEMENTS,
        &super::prune::STATEMENTS,
        &[
            super::query::STATEMENTS.as_slice(),
            super::take::STATEMENTS.as_slice(),
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
