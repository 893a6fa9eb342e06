//! Leases of owners in a store, and the clocks they are measured on.

use std::sync::Arc;

use bananas_core::{ClaimAnswer, JobState, Renewed};

use crate::case::StoreCase;
use crate::check::checks;
use crate::hand_worker::{LONG_LEASE, SHORT_LEASE, new_owner};
use crate::jumping_env::JumpingEnv;
use crate::patience::eventually;

checks!(StoreCase:
    a_wall_clock_that_jumps_ends_no_lease,
    a_wall_clock_that_jumps_makes_no_lease_longer,
);

/// In seconds.
const YEAR: i64 = 365 * 24 * 3_600;

/// Proves S4.
async fn a_wall_clock_that_jumps_ends_no_lease(case: StoreCase) {
    let clock = JumpingEnv::around(&case.env);
    let case = case.elsewhere(Arc::<JumpingEnv>::clone(&clock)).await;
    let (owner, other) = (case.owner().await, case.owner().await);
    let job = case.recorded().await;
    let run = case.claim(&job, owner.id, 1).await;
    assert!(matches!(run, ClaimAnswer::Run { .. }), "{run:?}");
    for years in [1, -1, 3] {
        clock.be_off_by(years * YEAR);
        let due = case.store.jobs().due(case.due(None)).await.unwrap();
        assert_eq!(due.moved, 0, "a job was taken from a living owner");
        let claimed = case.claim(&job, other.id, 1).await;
        assert!(matches!(claimed, ClaimAnswer::Busy { .. }), "{claimed:?}");
        let (rows, _) = case.store.jobs().owners(None).await.unwrap();
        let row = rows.iter().find(|row| row.owner.id == owner.id).unwrap();
        assert!(row.left > LONG_LEASE / 2, "{row:?}");
        assert!(row.left <= LONG_LEASE, "{row:?}");
    }
    let renewed = case.store.jobs().renew(&owner, LONG_LEASE).await.unwrap();
    assert!(matches!(renewed, Renewed::Held { .. }), "{renewed:?}");
}

/// Proves S4.
async fn a_wall_clock_that_jumps_makes_no_lease_longer(case: StoreCase) {
    let right = Arc::clone(&case.env);
    let clock = JumpingEnv::around(&case.env);
    let case = case.elsewhere(Arc::<JumpingEnv>::clone(&clock)).await;
    clock.be_off_by(YEAR);
    let owner = new_owner(&right);
    case.store.jobs().renew(&owner, LONG_LEASE).await.unwrap();
    let job = case.recorded().await;
    let run = case.claim(&job, owner.id, 1).await;
    assert!(matches!(run, ClaimAnswer::Run { .. }), "{run:?}");
    case.store.jobs().renew(&owner, SHORT_LEASE).await.unwrap();
    clock.be_off_by(-YEAR);
    let moved = async || case.store.jobs().due(case.due(None)).await.unwrap().moved > 0;
    eventually(&right, "the lease has ended", moved).await;
    let standing = case.found(job.id).await.standing;
    assert_eq!((standing.state, standing.crashes), (JobState::Ready, 1));
    let renewed = case.store.jobs().renew(&owner, LONG_LEASE).await.unwrap();
    assert_eq!(renewed, Renewed::Lost);
}
