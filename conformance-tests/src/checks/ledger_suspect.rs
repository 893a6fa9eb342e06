//! Jobs that may have brought their process down.

use std::time::Duration;

use bananas_core::{DeadReason, ErrorCause, JobState};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::hand_worker::{ANY, LONG_LEASE};
use crate::patience::{Patience, eventually};

checks!(LedgerCase:
    at_most_the_allowed_suspects_are_handed_out,
    a_suspect_that_must_wait_holds_up_no_innocent_job,
    the_third_crash_is_poison,
    a_suspect_that_succeeds_is_none_any_more,
);

const LOOK: Duration = Duration::from_millis(50);

/// Makes suspects of so many new jobs.
async fn suspects(case: &LedgerCase, jobs: usize) {
    case.enqueue_all(case.jobs(jobs)).await;
    let mut dying = case.worker_elsewhere(LONG_LEASE).await;
    dying.take(jobs).await;
    dying.die().await;
    case.worker().await.tend().await;
}

/// Proves S31.
async fn at_most_the_allowed_suspects_are_handed_out(case: LedgerCase) {
    suspects(&case, 5).await;
    let mut worker = case.worker().await;
    let mut ran = 0;
    let patience = Patience::new(&case.env);
    while ran < 5 {
        let claimed = worker.look_with(10, 1, LOOK).await;
        assert!(claimed.len() <= 1, "{} suspects at once", claimed.len());
        worker.succeed(&claimed).await;
        ran += claimed.len();
        patience.check(&format!("{ran} of 5 suspects ran"));
    }
}

/// Proves S31.
async fn a_suspect_that_must_wait_holds_up_no_innocent_job(case: LedgerCase) {
    suspects(&case, 3).await;
    let innocent = case.enqueue(case.job()).await;
    let mut worker = case.worker().await;
    let patience = Patience::new(&case.env);
    loop {
        let claimed = worker.look_with(10, 0, LOOK).await;
        assert!(
            claimed.iter().all(|run| !run.is_suspect()),
            "a suspect was handed out"
        );
        if !claimed.is_empty() {
            assert_eq!(claimed[0].job.id, innocent);
            break;
        }
        patience.check("the innocent job came");
    }
    let claimed = worker.take(3).await;
    assert!(claimed.iter().all(|run| run.is_suspect()));
}

/// Proves S1, S2, S56.
async fn the_third_crash_is_poison(case: LedgerCase) {
    let id = case.enqueue(case.job()).await;
    for crashes in 0..3 {
        let mut dying = case.worker_elsewhere(LONG_LEASE).await;
        let claimed = dying.one().await;
        assert_eq!(
            (claimed.job.id, claimed.attempt, claimed.crashes),
            (id, 1, crashes)
        );
        dying.die().await;
    }
    let mut worker = case.worker().await;
    let dead = async || {
        assert!(
            worker.look_with(1, ANY, LOOK).await.is_empty(),
            "poison was handed out"
        );
        case.record(id).await.standing.state == JobState::Dead
    };
    eventually(&case.env, "the job is dead", dead).await;
    let record = case.record(id).await;
    assert_eq!(record.standing.reason, Some(DeadReason::Poison));
    assert_eq!(
        (record.standing.crashes, record.standing.failed_attempts),
        (3, 0)
    );
    let causes: Vec<_> = record.errors.iter().map(|error| error.cause).collect();
    assert_eq!(causes, [ErrorCause::Crashed; 3]);
}

/// Proves S1, S40.
async fn a_suspect_that_succeeds_is_none_any_more(case: LedgerCase) {
    suspects(&case, 1).await;
    let mut worker = case.worker().await;
    let claimed = worker.one().await;
    assert!(claimed.is_suspect());
    worker.succeed(std::slice::from_ref(&claimed)).await;
    case.assert_drained(&mut worker).await;
    let standing = case.record(claimed.job.id).await.standing;
    assert_eq!((standing.state, standing.crashes), (JobState::Succeeded, 1));
}
