//! The store first, then the broker: what lies between two settlements.

use std::time::Duration;

use bananas_core::{Chore, ErrorCause, JobSettled, JobState, Renewed};

use crate::case::SplitCase;
use crate::check::checks;
use crate::hand_worker::{ANY, LONG_LEASE};
use crate::outcomes::success;
use crate::watched_broker::Line;

checks!(SplitCase:
    a_delivery_that_could_not_be_acknowledged_is_not_run_again,
    a_lost_lease_of_the_broker_is_a_crash,
    a_late_settle_leaves_the_delivery_of_the_new_owner_alone,
    a_wall_clock_that_jumps_ends_no_lease_and_makes_none_longer,
    a_silent_owner_loses_its_jobs_at_the_end_of_its_lease_and_not_before,
    an_owner_that_is_seen_to_be_gone_loses_its_jobs_at_once,
);

const LEASE: Duration = Duration::from_secs(15);

/// Proves L2.
async fn a_delivery_that_could_not_be_acknowledged_is_not_run_again(case: SplitCase) {
    case.enqueue_confirmed(1).await;
    let mut worker = case.worker(LEASE).await;
    let claimed = worker.one().await;
    case.broker.set(Line::Down);
    let settled = worker.settle(&claimed, success()).await;
    assert_eq!(
        settled,
        JobSettled::Settled(JobState::Succeeded),
        "the store has it"
    );
    case.broker.set(Line::Up);
    case.clock.advance(LEASE * 2);
    let mut other = case.worker(LEASE).await;
    assert!(other.look_with(10, ANY, Duration::ZERO).await.is_empty());
    assert_eq!(case.state_of(claimed.job.id).await, JobState::Succeeded);
    assert_eq!(
        case.depth().await.ready.value(),
        Some(0),
        "the redelivery is used up"
    );
}

/// Proves S30, B72.
async fn a_lost_lease_of_the_broker_is_a_crash(case: SplitCase) {
    case.enqueue_confirmed(1).await;
    let dead = case.ledger_on("elsewhere").await;
    let mut dead = case.worker_on(&dead, LEASE).await;
    let old = dead.one().await;
    case.clock.advance(LEASE * 2);
    let mut worker = case.worker(LONG_LEASE).await;
    let new = worker.one().await;
    assert_eq!((new.job.id, new.attempt, new.crashes), (old.job.id, 1, 1));
    let late = dead.settle(&old, success()).await;
    assert!(matches!(late, JobSettled::Stale { .. }), "{late:?}");
    let causes: Vec<_> = case
        .record(new.job.id)
        .await
        .errors
        .iter()
        .map(|e| e.cause)
        .collect();
    assert_eq!(causes, [ErrorCause::Crashed]);
}

/// Proves L22, L40, B45.
async fn a_late_settle_leaves_the_delivery_of_the_new_owner_alone(case: SplitCase) {
    case.enqueue_confirmed(1).await;
    let mut lost = case.worker(LEASE).await;
    let old = lost.one().await;
    case.clock.advance(LEASE * 2);
    let mut worker = case.worker(LEASE).await;
    let new = worker.one().await;
    assert_eq!(
        lost.ledger.renew(&lost.owner, LEASE).await.unwrap(),
        Renewed::Lost
    );
    let late = lost.settle(&old, success()).await;
    assert!(matches!(late, JobSettled::Stale { .. }), "{late:?}");
    let other = case.ledger_on("elsewhere").await;
    let mut other = case.worker_on(&other, LONG_LEASE).await;
    for _ in 0..8 {
        case.clock.advance(LEASE / 3);
        worker.ledger.renew(&worker.owner, LEASE).await.unwrap();
        let taken = other.look_with(10, ANY, Duration::ZERO).await;
        assert!(taken.is_empty(), "the job runs twice");
    }
    let settled = worker.settle(&new, success()).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
    assert_eq!(case.record(new.job.id).await.standing.crashes, 1);
    let depth = case.depth().await;
    assert_eq!(
        (depth.ready.value(), depth.in_flight.value()),
        (Some(0), Some(0))
    );
}

/// Proves S4.
async fn a_wall_clock_that_jumps_ends_no_lease_and_makes_none_longer(case: SplitCase) {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
    case.enqueue_confirmed(1).await;
    let mut worker = case.worker(LEASE).await;
    let claimed = worker.one().await;
    let now = case.env.now();
    case.clock.set_wall_clock(now + YEAR);
    case.tend().await;
    assert_eq!(case.state_of(claimed.job.id).await, JobState::Running);
    let renewed = worker.ledger.renew(&worker.owner, LEASE).await.unwrap();
    assert!(matches!(renewed, Renewed::Held { .. }), "{renewed:?}");
    case.clock.set_wall_clock(now - YEAR);
    case.clock.advance(LEASE * 2);
    let mut other = case.worker(LEASE).await;
    let again = other.one().await;
    assert_eq!((again.job.id, again.crashes), (claimed.job.id, 1));
}

/// Proves L22, S55, S56.
async fn a_silent_owner_loses_its_jobs_at_the_end_of_its_lease_and_not_before(case: SplitCase) {
    const MOMENT: Duration = Duration::from_millis(1);
    case.enqueue_confirmed(3).await;
    let elsewhere = case.ledger_on("elsewhere").await;
    // The broker's lease is long: what ends is the owner's in the store.
    let mut silent = case.worker_on(&elsewhere, LONG_LEASE).await;
    silent.take(3).await;
    elsewhere.renew(&silent.owner, LEASE).await.unwrap();
    case.clock.advance(LEASE - MOMENT);
    let promoted = case.ledger.tend(Chore::Promote).await.unwrap();
    assert_eq!(promoted.jobs, 0, "its lease is valid");
    case.clock.advance(MOMENT * 2);
    let promoted = case.ledger.tend(Chore::Promote).await.unwrap();
    assert_eq!(promoted.jobs, 3, "its lease has ended");
    let renewed = elsewhere.renew(&silent.owner, LEASE).await.unwrap();
    assert_eq!(renewed, Renewed::Lost);
    let mut worker = case.worker(LONG_LEASE).await;
    let claimed = worker.take(3).await;
    assert!(claimed.iter().all(|run| run.crashes == 1));
    worker.succeed(&claimed).await;
}

/// Proves S54, S55, S56.
async fn an_owner_that_is_seen_to_be_gone_loses_its_jobs_at_once(case: SplitCase) {
    case.enqueue_confirmed(3).await;
    let neighbour = case.ledger_on("here").await;
    let mut gone = case.worker_on(&neighbour, LONG_LEASE).await;
    let mut living = case.worker(LONG_LEASE).await;
    gone.take(2).await;
    let kept = living.take(1).await;
    let (rows, _) = case.ledger.owners(None).await.unwrap();
    let row = rows.iter().find(|row| row.owner == gone.owner).unwrap();
    assert_eq!(row.running, 2);
    // As a neighbour does that looked at the process named in the row.
    let retire = Chore::Retire(vec![row.owner.id]);
    case.ledger.tend(retire).await.unwrap();
    let promoted = case.ledger.tend(Chore::Promote).await.unwrap();
    assert_eq!(promoted.jobs, 2);
    let claimed = living.take(2).await;
    assert!(claimed.iter().all(|run| run.crashes == 1));
    living.succeed(&claimed).await;
    living.succeed(&kept).await;
}
