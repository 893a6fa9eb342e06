//! Owners and their leases.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Chore, ErrorCause, ErrorKind, JobSettled, JobState, Renewed, SourceSpec};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::hand_worker::{ANY, LONG_LEASE, SHORT_LEASE, new_owner};
use crate::outcomes::{fatal, success};
use crate::patience::Patience;

checks!(LedgerCase:
    an_owner_without_a_lease_takes_nothing,
    a_lapsed_owners_job_goes_to_another_and_its_late_settle_is_stale,
    a_retired_owners_jobs_go_at_once_and_count_a_crash,
    a_lost_owners_jobs_go_to_a_new_owner_of_the_same_client,
    an_owners_jobs_go_to_another_when_its_lease_ends_and_not_before,
    a_lapsed_owner_takes_nothing_more,
    an_owner_that_renews_keeps_its_jobs_beyond_its_first_lease,
    renewing_after_being_retired_is_lost_for_ever,
    a_retired_owner_settles_nothing_from_that_moment_on,
    an_owner_that_leaves_cleanly_leaves_no_crash_behind,
    owners_are_listed_with_what_they_run,
);

/// Proves L20, S30, S71.
async fn an_owner_without_a_lease_takes_nothing(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let nobody = SourceSpec::new(case.queue.clone(), new_owner(&case.env));
    let refused = match case.ledger.open(nobody).await {
        Ok(mut source) => source.next(1, ANY, SHORT_LEASE).await.map(|_| ()),
        Err(e) => Err(e),
    };
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let claimed = case.worker_elsewhere(LONG_LEASE).await.one().await;
    assert_eq!(
        (claimed.job.id, claimed.attempt, claimed.crashes),
        (id, 1, 0)
    );
}

/// Proves L22, L30, S30, S40.
async fn a_lapsed_owners_job_goes_to_another_and_its_late_settle_is_stale(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut lapsing = case.worker_elsewhere(LONG_LEASE).await;
    let old = lapsing.one().await;
    lapsing
        .ledger
        .renew(&lapsing.owner, SHORT_LEASE)
        .await
        .unwrap();
    let mut worker = case.worker().await;
    let new = worker.one().await;
    assert_eq!((new.job.id, new.attempt, new.crashes), (id, 1, 1));
    let late = lapsing.settle(&old, success()).await;
    assert!(matches!(late, JobSettled::Stale { .. }), "{late:?}");
    assert_eq!(case.record(id).await.standing.state, JobState::Running);
    let settled = worker.settle(&new, success()).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
}

/// Proves S56.
async fn a_retired_owners_jobs_go_at_once_and_count_a_crash(case: LedgerCase) {
    let mut ids = case.enqueue_all(case.jobs(3)).await;
    let mut dying = case.worker_elsewhere(LONG_LEASE).await;
    dying.take(3).await;
    dying.die().await;
    // The lease would have lasted far beyond the patience of `take`.
    let mut worker = case.worker().await;
    let mut claimed = worker.take(3).await;
    claimed.sort_by_key(|run| run.job.id);
    ids.sort();
    for (run, id) in claimed.iter().zip(ids) {
        assert_eq!((run.job.id, run.attempt, run.crashes), (id, 1, 1));
        let record = case.record(id).await;
        assert_eq!(
            (record.standing.failed_attempts, record.standing.crashes),
            (0, 1)
        );
        let causes: Vec<_> = record.errors.iter().map(|error| error.cause).collect();
        assert_eq!(causes, [ErrorCause::Crashed]);
    }
    worker.succeed(&claimed).await;
    case.assert_drained(&mut worker).await;
}

/// Proves L40, S54.
async fn a_lost_owners_jobs_go_to_a_new_owner_of_the_same_client(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut lost = case.worker().await;
    lost.one().await;
    let owner = lost.owner.clone();
    lost.die().await;
    let renewed = case.ledger.renew(&owner, LONG_LEASE).await.unwrap();
    assert_eq!(renewed, Renewed::Lost);
    let claimed = case.worker().await.one().await;
    assert_eq!((claimed.job.id, claimed.crashes), (id, 1));
}

/// Proves L22, S55.
async fn an_owners_jobs_go_to_another_when_its_lease_ends_and_not_before(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    let mut lapsing = case.worker_elsewhere(LONG_LEASE).await;
    lapsing.one().await;
    let mut worker = case.worker().await;
    let before = case.env.monotonic();
    let ledger = &lapsing.ledger;
    ledger.renew(&lapsing.owner, SHORT_LEASE).await.unwrap();
    let claimed = worker.one().await;
    let held = case.env.monotonic().since(before);
    assert_eq!((claimed.job.id, claimed.crashes), (id, 1));
    assert!(held >= SHORT_LEASE, "another owner took it after {held:?}");
}

/// Proves S30, S71.
async fn a_lapsed_owner_takes_nothing_more(case: LedgerCase) {
    let mut lapsing = case.worker_elsewhere(SHORT_LEASE).await;
    let patience = Patience::new(&case.env);
    let error = loop {
        let lapsed = patience.spent() > SHORT_LEASE;
        match lapsing.source.next(1, ANY, Duration::from_millis(50)).await {
            Ok(claimed) => {
                assert!(!lapsed || claimed.is_empty(), "a lapsed owner took a job");
                if claimed.is_empty() {
                    case.enqueue(case.job()).await;
                }
            }
            Err(e) => break e,
        }
        patience.check("the lapsed owner is refused");
    };
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

/// Proves S55.
async fn an_owner_that_renews_keeps_its_jobs_beyond_its_first_lease(case: LedgerCase) {
    let lease = SHORT_LEASE * 3;
    let patience = Patience::new(&case.env);
    let mut other = case.worker().await;
    'again: loop {
        patience.check("the machine renews in time");
        case.enqueue(case.job()).await;
        let mut keeping = case.worker_elsewhere(lease).await;
        let claimed = keeping.one().await;
        let kept = Patience::new(&case.env);
        let mut renewed_at = case.env.monotonic();
        let mut renewed = keeping.ledger.renew(&keeping.owner, lease).await.unwrap();
        while kept.spent() < lease * 2 {
            let taken = other.look(1).await;
            let asked_at = case.env.monotonic();
            let again = keeping.ledger.renew(&keeping.owner, lease).await.unwrap();
            if case.env.monotonic().since(renewed_at) >= lease {
                // The machine was too busy to renew in time, which proves nothing: all over again.
                other.succeed(&taken).await;
                keeping.die().await;
                while !case
                    .record(claimed.job.id)
                    .await
                    .standing
                    .state
                    .is_terminal()
                {
                    let again = other.look(1).await;
                    other.succeed(&again).await;
                }
                continue 'again;
            }
            assert!(matches!(renewed, Renewed::Held { .. }), "{renewed:?}");
            assert!(
                taken.is_empty(),
                "another owner took a job under a valid lease"
            );
            (renewed_at, renewed) = (asked_at, again);
        }
        let settled = keeping.settle(&claimed, success()).await;
        assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
        return;
    }
}

/// Proves L40, S54, S56.
async fn renewing_after_being_retired_is_lost_for_ever(case: LedgerCase) {
    case.enqueue(case.job()).await;
    let mut dying = case.worker_elsewhere(LONG_LEASE).await;
    let claimed = dying.one().await;
    let (owner, ledger) = (dying.owner.clone(), Arc::clone(&dying.ledger));
    dying.die().await;
    for _ in 0..2 {
        let renewed = ledger.renew(&owner, LONG_LEASE).await.unwrap();
        assert_eq!(renewed, Renewed::Lost);
        case.worker().await.tend().await;
    }
    let late = ledger
        .settle(vec![(claimed, success())])
        .await
        .remove(0)
        .unwrap();
    assert!(matches!(late, JobSettled::Stale { .. }), "{late:?}");
}

/// Proves L40, S41.
async fn a_retired_owner_settles_nothing_from_that_moment_on(case: LedgerCase) {
    let ids = case.enqueue_all(case.jobs(3)).await;
    let mut retired = case.worker_elsewhere(LONG_LEASE).await;
    let mut living = case.worker().await;
    let claimed = retired.take(2).await;
    let theirs = living.one().await;
    // Nobody looks for due jobs between this and the settles.
    let gone = Chore::Retire(vec![retired.owner.id]);
    case.ledger.tend(gone).await.unwrap();
    let batch = vec![
        (claimed[0].clone(), success()),
        (theirs, success()),
        (claimed[1].clone(), fatal(&case.env, 1)),
    ];
    let answers = retired.ledger.settle(batch).await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    assert!(
        matches!(answers[0], JobSettled::Stale { .. }),
        "{answers:?}"
    );
    assert_eq!(answers[1], JobSettled::Settled(JobState::Succeeded));
    assert!(
        matches!(answers[2], JobSettled::Stale { .. }),
        "{answers:?}"
    );
    let again = living.take(2).await;
    assert!(again.iter().all(|run| run.crashes == 1), "{again:?}");
    living.succeed(&again).await;
    for id in ids {
        assert_eq!(case.record(id).await.standing.state, JobState::Succeeded);
    }
}

/// Proves S56.
async fn an_owner_that_leaves_cleanly_leaves_no_crash_behind(case: LedgerCase) {
    let ids = case.enqueue_all(case.jobs(3)).await;
    let mut leaving = case.worker().await;
    let claimed = leaving.take(3).await;
    leaving.succeed(&claimed).await;
    leaving.source.stop().await.unwrap();
    leaving.die().await;
    case.assert_drained(&mut case.worker().await).await;
    for id in ids {
        let standing = case.record(id).await.standing;
        assert_eq!((standing.state, standing.crashes), (JobState::Succeeded, 0));
    }
}

/// Proves S55.
async fn owners_are_listed_with_what_they_run(case: LedgerCase) {
    case.enqueue_all(case.jobs(3)).await;
    let mut worker = case.worker().await;
    let idle = case.worker_elsewhere(LONG_LEASE).await;
    worker.take(3).await;
    let (rows, cancels) = idle.ledger.owners(None).await.unwrap();
    assert!(cancels.is_empty(), "nobody asked to cancel");
    for (owner, running) in [(&worker.owner, 3), (&idle.owner, 0)] {
        let row = rows.iter().find(|row| row.owner == *owner).unwrap();
        assert_eq!(row.running, running);
        assert!(
            row.left > LONG_LEASE / 2 && row.left <= LONG_LEASE,
            "{row:?}"
        );
    }
}
