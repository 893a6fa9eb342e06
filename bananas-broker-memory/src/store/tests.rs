//! The store's clauses, one by one, under a clock that the tests move.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Alteration, Altered, Broker, Claim, ClaimAnswer, ClaimRequest, Env, ErrorKind, JobFilter,
    JobId, JobIndex, JobSettled, JobState, JobStore, Lost, NewRecord, Prune, Recorded, Renewed,
    Result, StateStore, TakeStore, Taken, Track, Unique,
};

use crate::rig::{
    LEASE, NOW, Rig, id, job, later, owner, publication, queue, reference, release, soon, success,
    urgent,
};

const MINUTE: Duration = Duration::from_secs(60);

fn ids(taken: &[Taken]) -> Vec<JobId> {
    taken.iter().map(|job| job.id).collect()
}

fn lost(rig: &Rig, batch: u8, max: usize) -> Lost {
    Lost {
        now: rig.now(),
        open_for: Duration::from_secs(30),
        gone: HashSet::new(),
        evidence: Vec::new(),
        max,
        publication: publication(batch),
    }
}

async fn state(rig: &Rig, n: u64) -> JobState {
    let records = rig.store.get(&[id(n)]).await.unwrap();
    records[0].as_ref().unwrap().standing.state
}

async fn claim(rig: &Rig, n: u8, job: u64, suspects: usize) -> Result<ClaimAnswer> {
    let claim = Claim {
        job: reference(id(job)),
        copy: 0,
        delivery: 1,
        redelivery_proves_lease_lost: true,
    };
    let request = ClaimRequest {
        owner: owner(n).id,
        suspects,
        claims: vec![claim],
    };
    rig.store.claim(request).await.remove(0)
}

#[tokio::test]
async fn higher_priorities_are_taken_first_and_within_one_the_first_recorded() {
    let rig = Rig::new();
    for record in [job(1), urgent(2, 0), urgent(3, 100), job(4), urgent(5, 51)] {
        assert_eq!(rig.record(record).await, Recorded::New);
    }
    let owner = rig.owner(1).await;
    let taken = rig.take(owner, 10).await;
    assert_eq!(ids(&taken), [id(3), id(5), id(1), id(4), id(2)]);
}

#[tokio::test]
async fn a_job_given_back_has_its_old_place() {
    let rig = Rig::new();
    for n in 1..=3 {
        rig.record(job(n)).await;
    }
    let owner = rig.owner(1).await;
    let taken = rig.take(owner, 1).await;
    rig.settle(taken[0].id, taken[0].epoch, release()).await;
    assert_eq!(ids(&rig.take(owner, 2).await), [id(1), id(2)]);
}

#[tokio::test]
async fn a_due_job_that_was_claimed_before_it_was_ready_has_its_place_from_then_on() {
    let rig = Rig::new();
    rig.record(later(1, rig.now() + Duration::from_secs(1)))
        .await;
    rig.pass(1);
    rig.owner(1).await;
    claim(&rig, 1, 1, 0).await.unwrap();
    rig.record(job(2)).await;
    rig.settle(id(1), 1, release()).await;
    let taken = rig.take(owner(1).id, 2).await;
    assert_eq!(ids(&taken), [id(1), id(2)]);
}

#[tokio::test]
async fn the_same_id_or_unique_key_is_a_duplicate_and_changes_nothing() {
    let rig = Rig::new();
    let unique = |n| NewRecord {
        unique: Some(Unique {
            key: "k".to_owned(),
            lasts: MINUTE,
        }),
        ..job(n)
    };
    assert_eq!(rig.record(unique(1)).await, Recorded::New);
    assert_eq!(rig.record(urgent(1, 9)).await, Recorded::Duplicate(id(1)));
    assert_eq!(rig.record(unique(2)).await, Recorded::Duplicate(id(1)));
    assert_eq!(rig.store.get(&[id(2)]).await.unwrap(), [None]);
    rig.pass(60);
    assert_eq!(rig.record(unique(3)).await, Recorded::New);
}

#[tokio::test]
async fn a_waiting_taker_is_woken_by_a_job_and_by_the_clock() {
    let rig = Rig::new();
    let owner = rig.owner(1).await;
    let mut taker = rig.store.taker(&queue(), owner);
    let at = rig.now() + Duration::from_secs(10);
    let (taken, _) =
        soon(async { tokio::join!(taker.take(5, 5, MINUTE), rig.record(job(1))) }).await;
    assert_eq!(ids(&taken.unwrap()), [id(1)]);
    // Now it waits first, without knowing that something will be due.
    let (taken, ()) = soon(async {
        tokio::join!(taker.take(5, 5, MINUTE), async {
            rig.record(later(2, at)).await;
            tokio::task::yield_now().await;
            for _ in 0..10 {
                rig.pass(1);
                tokio::task::yield_now().await;
            }
        })
    })
    .await;
    assert_eq!(ids(&taken.unwrap()), [id(2)]);
    assert_eq!(rig.now(), at, "neither before its time nor after");
}

#[tokio::test]
async fn a_take_whose_future_is_dropped_has_started_nothing() {
    let rig = Rig::new();
    let owner = rig.owner(1).await;
    let mut taker = rig.store.taker(&queue(), owner);
    {
        let mut take = taker.take(5, 5, MINUTE);
        let polled =
            std::future::poll_fn(|cx| std::task::Poll::Ready(take.as_mut().poll(cx).is_pending()));
        assert!(polled.await);
    }
    rig.record(job(1)).await;
    assert_eq!(state(&rig, 1).await, JobState::Ready);
    assert_eq!(ids(&taker.take(5, 5, NOW).await.unwrap()), [id(1)]);
}

#[tokio::test]
async fn an_owner_without_a_valid_lease_takes_and_claims_nothing() {
    let rig = Rig::new();
    rig.record(job(1)).await;
    let mut taker = rig.store.taker(&queue(), owner(1).id);
    let error = taker.take(1, 1, NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "never enlisted");
    rig.owner(1).await;
    rig.pass(15);
    let error = taker.take(1, 1, NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "lapsed");
    let error = claim(&rig, 1, 1, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(state(&rig, 1).await, JobState::Ready);
}

#[tokio::test]
async fn a_wall_clock_that_jumps_neither_ends_nor_prolongs_a_lease() {
    let rig = Rig::new();
    rig.record(job(1)).await;
    let owner = rig.owner(1).await;
    rig.env.set_wall_clock(rig.now() + 1_000 * MINUTE);
    assert_eq!(rig.due(None).await.moved, 0);
    assert_eq!(rig.take(owner, 1).await.len(), 1);
    rig.env.set_wall_clock(rig.now() - 5_000 * MINUTE);
    rig.pass(15);
    assert_eq!(rig.due(None).await.moved, 1, "the job of the dead owner");
}

#[tokio::test]
async fn jobs_of_an_owner_whose_lease_lapsed_are_given_to_others_and_it_is_lost_for_ever() {
    let rig = Rig::new();
    for n in 1..=250 {
        rig.record(job(n)).await;
    }
    let first = rig.owner(1).await;
    let taken = rig.take(first, 250).await;
    rig.pass(14);
    assert_eq!(rig.due(None).await.moved, 0, "its lease is valid");
    rig.pass(1);
    let moved = [
        rig.due(None).await,
        rig.due(None).await,
        rig.due(None).await,
    ];
    assert_eq!(
        moved.each_ref().map(|page| (page.moved, page.more)),
        [(100, true), (100, true), (50, false)]
    );
    assert_eq!(
        rig.store.renew(&owner(1), LEASE).await.unwrap(),
        Renewed::Lost
    );
    let stale = rig.settle(id(1), taken[0].epoch, success()).await;
    assert_eq!(stale, JobSettled::Stale { epoch: 2 });
    let second = rig.owner(2).await;
    let again = rig.take(second, 1).await;
    assert_eq!(
        (again[0].id, again[0].crashes, again[0].attempt),
        (id(1), 1, 1)
    );
}

#[tokio::test]
async fn a_third_crash_is_poison() {
    let rig = Rig::new();
    rig.record(job(1)).await;
    for n in 1..=3 {
        let owner = rig.owner(n).await;
        assert_eq!(rig.take(owner, 1).await.len(), 1);
        rig.store.retire(&[owner]).await.unwrap();
        rig.due(None).await;
    }
    assert_eq!(state(&rig, 1).await, JobState::Dead);
    let record = rig.store.get(&[id(1)]).await.unwrap().remove(0).unwrap();
    assert_eq!(record.errors.len(), 3);
}

#[tokio::test]
async fn a_retired_owner_settles_nothing_and_leaves_the_list_when_it_runs_nothing() {
    let rig = Rig::new();
    rig.record(job(1)).await;
    let owner = rig.owner(1).await;
    let taken = rig.take(owner, 1).await;
    rig.store.retire(&[owner]).await.unwrap();
    let (rows, _) = rig.store.owners(None).await.unwrap();
    assert_eq!((rows[0].left, rows[0].running), (NOW, 1));
    let answer = rig.settle(id(1), taken[0].epoch, success()).await;
    assert!(matches!(answer, JobSettled::Stale { .. }));
    assert_eq!(rig.due(None).await.moved, 1);
    assert_eq!(rig.store.owners(None).await.unwrap().0, []);
}

#[tokio::test]
async fn no_more_suspects_are_started_than_asked_for() {
    let rig = Rig::new();
    for n in 1..=4 {
        rig.record(job(n)).await;
    }
    let dying = rig.owner(1).await;
    rig.take(dying, 3).await;
    rig.store.retire(&[dying]).await.unwrap();
    rig.due(None).await;
    let owner = rig.owner(2).await;
    let mut taker = rig.store.taker(&queue(), owner);
    assert_eq!(ids(&taker.take(9, 1, NOW).await.unwrap()), [id(1), id(4)]);
    assert_eq!(ids(&taker.take(9, 0, NOW).await.unwrap()), []);
    let busy = claim(&rig, 2, 2, 0).await.unwrap();
    assert!(matches!(busy, ClaimAnswer::Busy { .. }));
    let run = claim(&rig, 2, 2, 1).await.unwrap();
    assert!(matches!(run, ClaimAnswer::Run { crashes: 1, .. }));
}

#[tokio::test]
async fn one_batch_of_claims_runs_no_more_suspects_than_asked_for() {
    let rig = Rig::new();
    let dying = rig.owner(1).await;
    for n in 1..=3 {
        rig.record(job(n)).await;
    }
    rig.take(dying, 3).await;
    rig.store.retire(&[dying]).await.unwrap();
    rig.due(None).await;
    let claims = (1..=3).map(|n| Claim {
        job: reference(id(n)),
        copy: 0,
        delivery: 0,
        redelivery_proves_lease_lost: true,
    });
    let request = ClaimRequest {
        owner: rig.owner(2).await,
        suspects: 2,
        claims: claims.collect(),
    };
    let answers = rig.store.claim(request).await;
    let run = |answer: &Result<ClaimAnswer>| matches!(answer, Ok(ClaimAnswer::Run { .. }));
    assert_eq!(
        answers.iter().map(run).collect::<Vec<_>>(),
        [true, true, false]
    );
}

#[tokio::test]
async fn a_claim_takes_over_from_a_lapsed_owner_which_is_then_lost() {
    let rig = Rig::new();
    rig.record(job(1)).await;
    rig.owner(1).await;
    let run = claim(&rig, 1, 1, 1).await.unwrap();
    assert!(matches!(run, ClaimAnswer::Run { epoch: 1, .. }));
    rig.pass(15);
    rig.owner(2).await;
    let run = claim(&rig, 2, 1, 1).await.unwrap();
    assert!(
        matches!(run, ClaimAnswer::Run { crashes: 1, .. }),
        "{run:?}"
    );
    assert_eq!(
        rig.store.renew(&owner(1), LEASE).await.unwrap(),
        Renewed::Lost
    );
    assert_eq!(claim(&rig, 2, 9, 1).await.unwrap(), ClaimAnswer::Missing);
}

#[tokio::test]
async fn a_job_given_back_while_its_batch_is_open_is_published_again_with_it() {
    let rig = Rig::new();
    let (by, store) = (rig.owner(1).await, &rig.store);
    let batch = vec![job(1), job(2), job(3)];
    store.record(batch, Some(publication(1))).await;
    let run = claim(&rig, 1, 1, 1).await.unwrap();
    assert!(matches!(run, ClaimAnswer::Run { epoch: 1, .. }), "{run:?}");
    rig.pass(30);
    let page = store.lost(lost(&rig, 8, 1)).await.unwrap();
    assert_eq!(page.jobs[0].job.id, id(2));
    store.renew(&owner(1), MINUTE).await.unwrap();
    rig.settle(id(1), 1, release()).await;
    let page = store.lost(lost(&rig, 9, 9)).await.unwrap();
    let again: HashSet<JobId> = page.jobs.iter().map(|again| again.job.id).collect();
    assert_eq!(again, HashSet::from([id(1), id(3)]), "owner {by}");
}

#[tokio::test]
async fn a_batch_that_stays_open_is_published_again_once_and_a_closed_one_is_not() {
    let rig = Rig::new();
    let store = &rig.store;
    store
        .record(vec![job(1), job(2)], Some(publication(1)))
        .await;
    store.record(vec![job(3)], Some(publication(2))).await;
    store
        .confirm(&[publication(2).id, publication(2).id])
        .await
        .unwrap();
    rig.pass(29);
    assert_eq!(store.lost(lost(&rig, 8, 9)).await.unwrap().moved, 0);
    rig.pass(1);
    let page = store.lost(lost(&rig, 8, 1)).await.unwrap();
    assert_eq!(
        (page.jobs[0].job.id, page.jobs[0].copy, page.more),
        (id(1), 1, true)
    );
    let page = store.lost(lost(&rig, 9, 9)).await.unwrap();
    assert_eq!(
        (page.jobs.len(), page.jobs[0].job.id, page.more),
        (1, id(2), false)
    );
    let open = store.open_batches().await.unwrap();
    assert_eq!(open, [publication(8), publication(9)]);
    // A publisher that is known to be gone need not be waited for.
    let gone = HashSet::from([publication(8).id]);
    let page = store
        .lost(Lost {
            gone,
            ..lost(&rig, 10, 9)
        })
        .await
        .unwrap();
    assert_eq!((page.jobs[0].job.id, page.jobs[0].copy), (id(1), 2));
}

#[tokio::test]
async fn jobs_that_run_or_wait_for_their_time_are_not_published_again() {
    let rig = Rig::new();
    let at = rig.now() + 10 * MINUTE;
    let jobs = vec![job(1), later(2, at)];
    rig.store.record(jobs, Some(publication(1))).await;
    rig.owner(1).await;
    claim(&rig, 1, 1, 1).await.unwrap();
    rig.pass(31);
    let page = rig.store.lost(lost(&rig, 2, 9)).await.unwrap();
    assert_eq!(page.moved, 0);
    assert_eq!(rig.store.open_batches().await.unwrap(), []);
}

#[tokio::test]
async fn with_evidence_each_job_of_the_queue_is_published_again_once() {
    let rig = Rig::new();
    let other = NewRecord {
        queue: "other".parse().unwrap(),
        ..job(1_000)
    };
    let mut jobs: Vec<_> = (0..250).map(job).collect();
    jobs.push(other);
    rig.store.record(jobs, Some(publication(1))).await;
    rig.store.confirm(&[publication(1).id]).await.unwrap();
    rig.pass(3_600);
    assert_eq!(rig.store.lost(lost(&rig, 2, 100)).await.unwrap().moved, 0);
    let mut seen = Vec::new();
    for batch in 2..=4 {
        let evidence = vec![queue()];
        let lost = Lost {
            evidence,
            ..lost(&rig, batch, 100)
        };
        let page = rig.store.lost(lost).await.unwrap();
        assert_eq!(page.more, batch < 4);
        seen.extend(page.jobs.iter().map(|again| again.job.id));
    }
    assert_eq!(seen, (0..250).map(id).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_long_backlog_without_evidence_is_not_published_again_and_costs_nothing_to_look_at() {
    let rig = Rig::new();
    for batch in 0..100 {
        let jobs = (batch * 1_000..(batch + 1) * 1_000).map(job).collect();
        rig.store.record(jobs, Some(publication(1))).await;
        rig.store.confirm(&[publication(1).id]).await.unwrap();
    }
    for _ in 0..1_800 {
        rig.pass(1);
        let page = rig.store.lost(lost(&rig, 2, 1_000)).await.unwrap();
        assert_eq!(page.moved, 0);
    }
}

#[tokio::test]
async fn due_jobs_are_returned_for_publication_inside_an_open_batch() {
    let rig = Rig::new();
    let at = rig.now() + Duration::from_secs(5);
    rig.record(later(1, at)).await;
    rig.record(later(2, at + MINUTE)).await;
    assert_eq!(rig.due(Some(publication(1))).await.next, Some(at));
    assert_eq!(rig.store.open_batches().await.unwrap(), []);
    rig.pass(5);
    let page = rig.due(Some(publication(1))).await;
    assert_eq!((page.jobs.len(), page.jobs[0].copy), (1, 1));
    assert_eq!(
        (page.moved, page.more, page.next),
        (1, false, Some(at + MINUTE))
    );
    assert_eq!(rig.store.open_batches().await.unwrap(), [publication(1)]);
}

#[tokio::test]
async fn nothing_but_dead_jobs_is_kept_of_jobs_that_track_nothing() {
    let rig = Rig::new();
    for n in 1..=2 {
        rig.record(NewRecord {
            track: Track::None,
            ..job(n)
        })
        .await;
    }
    let owner = rig.owner(1).await;
    let taken = rig.take(owner, 2).await;
    rig.settle(id(1), taken[0].epoch, success()).await;
    let dead = bananas_core::Outcome::Dead {
        reason: bananas_core::DeadReason::Fatal,
        error: bananas_core::AttemptError::new(
            1,
            rig.now(),
            bananas_core::ErrorCause::Failed,
            "no",
        ),
    };
    rig.settle(id(2), taken[1].epoch, dead).await;
    assert_eq!(rig.store.get(&[id(1)]).await.unwrap(), [None]);
    assert_eq!(state(&rig, 2).await, JobState::Dead);
    let drained = rig.engine.drain(NOW).await.unwrap();
    assert_eq!((drained.succeeded, drained.dead), (1, 1));
}

#[tokio::test]
async fn people_cancel_retry_and_drop_jobs() {
    let rig = Rig::new();
    let store = &rig.store;
    let owner = rig.owner(1).await;
    rig.record(job(1)).await;
    rig.take(owner, 1).await;
    rig.record(job(2)).await;
    let both = [id(1), id(2), id(3)];
    let answers = store.alter(&both, Alteration::Cancel).await.unwrap();
    let cancelled = Altered::Done(JobState::Cancelled);
    assert_eq!(answers, [Altered::Requested, cancelled, Altered::Missing]);
    assert_eq!(store.owners(Some(owner)).await.unwrap().1, [id(1)]);
    let retried = store.alter(&[id(2)], Alteration::Retry).await.unwrap();
    assert_eq!(retried, [Altered::Done(JobState::Scheduled)]);
    let taken = rig.take(owner, 9).await;
    assert_eq!(ids(&taken), [id(2)]);
    let refused = store.alter(&[id(1)], Alteration::Drop).await.unwrap();
    assert_eq!(refused, [Altered::Refused(JobState::Running)]);
    rig.settle(id(2), taken[0].epoch, success()).await;
    let dropped = store.alter(&[id(2)], Alteration::Drop).await.unwrap();
    assert_eq!(dropped, [Altered::Dropped]);
    assert_eq!(store.get(&[id(2)]).await.unwrap(), [None]);
}

#[tokio::test]
async fn pages_show_the_newest_first_and_every_job_once() {
    let rig = Rig::new();
    for n in 0..25 {
        rig.record(job(n)).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = rig
            .store
            .query(&JobFilter::default(), after, 10)
            .await
            .unwrap();
        seen.extend(page.jobs.iter().map(|job| job.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..25).rev().map(id).collect::<Vec<_>>());
    let exactly = rig
        .store
        .query(&JobFilter::default(), None, 25)
        .await
        .unwrap();
    assert_eq!((exactly.jobs.len(), exactly.next), (25, None));
}

#[tokio::test]
async fn only_jobs_that_ended_before_the_given_times_are_pruned() {
    let rig = Rig::new();
    let owner = rig.owner(1).await;
    for n in 1..=3 {
        rig.record(job(n)).await;
    }
    for taken in rig.take(owner, 2).await {
        rig.settle(taken.id, taken.epoch, success()).await;
        rig.pass(1);
    }
    let prune = |before, max| Prune {
        finished_before: before,
        dead_before: before,
        max,
    };
    let start = rig.now() - Duration::from_secs(2);
    assert_eq!(rig.store.prune(prune(start, 9)).await.unwrap(), 0);
    assert_eq!(rig.store.prune(prune(rig.now(), 1)).await.unwrap(), 1);
    assert_eq!(
        rig.store.prune(prune(rig.now() + MINUTE, 9)).await.unwrap(),
        1
    );
    assert_eq!(state(&rig, 3).await, JobState::Ready);
    let fatal = bananas_core::Outcome::Dead {
        reason: bananas_core::DeadReason::Fatal,
        error: bananas_core::AttemptError::new(
            1,
            rig.now(),
            bananas_core::ErrorCause::Failed,
            "no",
        ),
    };
    let taken = rig.take(owner, 1).await;
    rig.settle(id(3), taken[0].epoch, fatal).await;
    let finished_only = Prune {
        dead_before: rig.now(),
        ..prune(rig.now() + MINUTE, 9)
    };
    assert_eq!(rig.store.prune(finished_only).await.unwrap(), 0);
    let counts = rig.store.counts().await.unwrap();
    assert_eq!(
        (counts.len(), counts[0].state, counts[0].jobs),
        (1, JobState::Dead, 1)
    );
}

#[tokio::test]
async fn a_watch_ends_with_the_next_change_and_a_close_ends_every_wait() {
    let rig = Rig::new();
    let (seen, _) = soon(async { tokio::join!(rig.store.watch(MINUTE), rig.record(job(1))) }).await;
    seen.unwrap();
    let owner = rig.owner(1).await;
    let other: bananas_core::QueueName = "other".parse().unwrap();
    let mut taker = rig.store.taker(&other, owner);
    let close = StateStore::close(&*rig.store, MINUTE);
    let (seen, taken, closed) =
        soon(async { tokio::join!(rig.store.watch(MINUTE), taker.take(1, 1, MINUTE), close) })
            .await;
    closed.unwrap();
    assert_eq!(seen.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::Closed);
    let again = rig.engine.store();
    assert!(again.index().get(&[id(1)]).await.unwrap()[0].is_some());
}

#[tokio::test]
async fn the_fused_ledger_is_for_the_engines_own_broker_only() {
    let rig = Rig::new();
    let env: Arc<dyn Env> = Arc::clone(&rig.env) as Arc<dyn Env>;
    let stranger = Rig::new();
    let fused = |broker: &Arc<dyn Broker>| rig.engine.store().fused(&**broker, &env).is_some();
    assert!(fused(&rig.broker) && fused(&rig.engine.broker()));
    assert!(!fused(&stranger.broker));
    assert_ne!(rig.broker.info().url, stranger.broker.info().url);
}

#[tokio::test]
async fn a_drain_waits_for_the_end_of_all_jobs_and_names_those_still_open() {
    let rig = Rig::new();
    rig.record(job(1)).await;
    let error = rig.engine.drain(NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let named = format!("email.welcome {} is ready", id(1));
    assert!(error.to_string().contains(&named), "{error}");
    let owner = rig.owner(1).await;
    let (drained, ()) = soon(async {
        tokio::join!(rig.engine.drain(MINUTE), async {
            let taken = rig.take(owner, 1).await;
            rig.settle(id(1), taken[0].epoch, success()).await;
        })
    })
    .await;
    assert_eq!(drained.unwrap().succeeded, 1);
}

#[tokio::test]
async fn a_body_or_result_beyond_the_limit_is_refused_alone() {
    let rig = Rig::new();
    let huge = bytes::Bytes::from(vec![0; 64 * 1024 * 1024 + 1]);
    let jobs = vec![
        job(1),
        NewRecord {
            body: huge.clone(),
            ..job(2)
        },
        job(3),
    ];
    let answers = rig.store.record(jobs, None).await;
    assert_eq!(answers[1].as_ref().unwrap_err().kind(), ErrorKind::TooLarge);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    let owner = rig.owner(1).await;
    let taken = rig.take(owner, 1).await;
    let settle = bananas_core::JobSettle {
        job: reference(id(1)),
        epoch: taken[0].epoch,
        outcome: bananas_core::Outcome::Succeeded { result: huge },
    };
    let answer = rig.store.settle(vec![settle]).await.remove(0);
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(state(&rig, 1).await, JobState::Running);
}

#[tokio::test]
async fn a_job_is_recorded_as_running_only_by_an_owner_with_a_lease() {
    let rig = Rig::new();
    let running = |n| {
        let mut new = job(n);
        new.standing.start(owner(1).id, (0, 1), rig.now());
        new
    };
    let answer = rig.store.record(vec![running(1)], None).await.remove(0);
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::InvalidArgument);
    rig.owner(1).await;
    assert_eq!(rig.record(running(1)).await, Recorded::New);
    assert_eq!(rig.store.owners(None).await.unwrap().0[0].running, 1);
}
