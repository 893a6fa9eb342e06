//! A job's life in the store, from record to its end.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{JobSettled, JobState, Outcome, Recorded, Track, Unique};
use futures::future;

use super::{LEASE, assert_counts, due, failure, taker};
use crate::testing::{PATIENCE, Place, ended, settle_one, soon, success, take};

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
    let store = there.store();
    let (taken, ids) = soon(future::join(
        taker.take(1, 0, PATIENCE),
        place.record(&store, 1),
    ))
    .await;
    let taken = taken.unwrap();
    assert_eq!(taken[0].id, ids[0]);
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
    for polls in 0..20 {
        let ids = place.record(&store, 1).await;
        let mut abandoned = taker(&engine, &owner);
        let mut future = Box::pin(abandoned.take(1, 0, PATIENCE));
        let mut left = polls % 4;
        let returned = std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(taken) => std::task::Poll::Ready(taken.unwrap()),
            std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(Vec::new()),
            std::task::Poll::Pending => {
                left -= 1;
                std::task::Poll::Pending
            }
        })
        .await;
        drop(future);
        drop(abandoned);
        let taken = if returned.is_empty() {
            let mut next = taker(&engine, &owner);
            soon(next.take(1, 0, PATIENCE)).await.unwrap()
        } else {
            returned
        };
        assert_eq!(
            (taken[0].id, taken[0].attempt, taken[0].crashes),
            (ids[0], 1, 0)
        );
        settle_one(store.jobs(), ended(&taken[0], success())).await;
    }
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

#[tokio::test]
async fn a_due_job_that_has_expired_stands_in_nobodys_way() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let owner = place.enlisted(&store).await;
    let now = bananas_core::Env::now(&*place.env);
    let mut late = place.job();
    late.run_at = Some(now + Duration::from_secs(1));
    late.expires_at = late.run_at;
    let mut good = place.job();
    good.run_at = Some(now + Duration::from_secs(2));
    let records = vec![place.new_record(&late), place.new_record(&good)];
    store.jobs().record(records, None).await;
    place.advance(Duration::from_secs(3));
    let taken = take(&mut taker(&engine, &owner), 1).await;
    assert_eq!(
        taken.iter().map(|job| job.id).collect::<Vec<_>>(),
        [good.id]
    );
    assert_counts(&place, &engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_engines_write_at_once_and_every_job_runs_once() {
    let place = Place::new();
    let mut engines = Vec::new();
    for _ in 0..4 {
        engines.push(place.open().await);
    }
    let each = |engine: std::sync::Arc<crate::SqliteEngine>| {
        let place = &place;
        async move {
            let store = engine.store();
            let owner = place.enlisted(&store).await;
            let mut taker = taker(&engine, &owner);
            let mut runs = Vec::new();
            for _ in 0..20 {
                place.record(&store, 5).await;
                for taken in take(&mut taker, 7).await {
                    let settled = settle_one(store.jobs(), ended(&taken, success())).await;
                    assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
                    runs.push(taken.id);
                }
            }
            runs
        }
    };
    let engine = std::sync::Arc::clone(&engines[0]);
    let runs = soon(future::join_all(engines.into_iter().map(each))).await;
    let runs: Vec<_> = runs.into_iter().flatten().collect();
    let once: HashSet<_> = runs.iter().collect();
    assert_eq!(once.len(), runs.len(), "no job runs twice");
    assert_counts(&place, &engine).await;
}
