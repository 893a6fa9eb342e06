//! The rules of [`Standing`], without a store.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{AttemptError, ErrorCause, JobRef, QueueName};

fn owner(n: u8) -> OwnerId {
    OwnerId::from_slice(&[n; 16]).unwrap()
}

fn claim(copy: u32, delivery: u32) -> Claim {
    Claim {
        job: JobRef {
            queue: QueueName::default_queue(),
            id: "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap(),
        },
        copy,
        delivery,
        redelivery_proves_lease_lost: true,
    }
}

fn by(n: u8, holder_alive: bool, suspects: usize) -> Claimant {
    Claimant {
        owner: owner(n),
        holder_alive,
        suspects,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn running() -> Standing {
    let mut standing = Standing::new(at(0), None, None);
    let answer = standing.claim(&claim(0, 1), &by(1, true, 1), at(1));
    assert_eq!(
        answer,
        ClaimAnswer::Run {
            epoch: 1,
            attempt: 1,
            crashes: 0
        }
    );
    standing
}

fn failure(attempt: u32) -> AttemptError {
    AttemptError::new(attempt, at(2), ErrorCause::Failed, "no")
}

fn success() -> Outcome {
    Outcome::Succeeded {
        result: Bytes::from_static(b"1"),
    }
}

#[test]
fn a_run_settles_once_and_the_end_is_final() {
    let mut job = running();
    assert_eq!(
        job.settle(1, &success(), at(2)),
        JobSettled::Settled(JobState::Succeeded)
    );
    assert_eq!(
        job.settle(1, &success(), at(3)),
        JobSettled::AlreadySettled(JobState::Succeeded)
    );
    assert_eq!(
        job.claim(&claim(0, 2), &by(2, true, 1), at(4)),
        ClaimAnswer::Finished
    );
    assert_eq!(job.finished_at, Some(at(2)));
}

#[test]
fn a_second_delivery_of_a_running_job_is_busy() {
    let mut job = running();
    let other_copy = job.claim(&claim(1, 5), &by(2, true, 1), at(2));
    assert!(matches!(other_copy, ClaimAnswer::Busy { .. }));
    let same_delivery = job.claim(&claim(0, 1), &by(2, true, 1), at(2));
    assert!(matches!(same_delivery, ClaimAnswer::Busy { .. }));
}

#[test]
fn a_redelivery_that_proves_a_lost_lease_is_a_crash_and_fences_the_old_run() {
    let mut job = running();
    let answer = job.claim(&claim(0, 2), &by(2, true, 1), at(2));
    assert_eq!(
        answer,
        ClaimAnswer::Run {
            epoch: 3,
            attempt: 1,
            crashes: 1
        }
    );
    assert_eq!(
        job.settle(1, &success(), at(3)),
        JobSettled::Stale { epoch: 3 }
    );
}

#[test]
fn a_third_crash_is_poison() {
    let mut job = running();
    for _ in 0..CRASH_LIMIT - 1 {
        let answer = job.claim(&claim(0, 1), &by(2, false, 1), at(2));
        assert!(matches!(answer, ClaimAnswer::Run { .. }), "{answer:?}");
    }
    assert_eq!(
        job.claim(&claim(0, 1), &by(2, false, 1), at(3)),
        ClaimAnswer::Finished
    );
    assert_eq!(
        (job.state, job.reason),
        (JobState::Dead, Some(DeadReason::Poison))
    );
    assert_eq!(job.failed_attempts, 0, "a crash uses no attempt");
}

#[test]
fn a_suspect_waits_until_no_other_suspect_runs() {
    let mut job = running();
    job.crash(at(2));
    assert!(matches!(
        job.claim(&claim(0, 2), &by(2, true, 0), at(3)),
        ClaimAnswer::Busy { .. }
    ));
    assert!(matches!(
        job.claim(&claim(0, 2), &by(2, true, 1), at(3)),
        ClaimAnswer::Run { .. }
    ));
}

#[test]
fn a_retry_waits_for_its_time_and_counts_the_attempt() {
    let mut job = running();
    let retry = Outcome::Retry {
        run_at: at(10),
        error: failure(1),
    };
    assert_eq!(
        job.settle(1, &retry, at(2)),
        JobSettled::Settled(JobState::Retrying)
    );
    assert_eq!(
        job.claim(&claim(0, 2), &by(1, true, 1), at(5)),
        ClaimAnswer::NotYet { at: at(10) }
    );
    job.due(at(10));
    let answer = job.claim(&claim(1, 1), &by(1, true, 1), at(10));
    assert_eq!(
        answer,
        ClaimAnswer::Run {
            epoch: 2,
            attempt: 2,
            crashes: 0
        }
    );
}

#[test]
fn a_release_uses_no_attempt() {
    let mut job = running();
    let release = Outcome::Release {
        run_at: None,
        note: None,
    };
    assert_eq!(
        job.settle(1, &release, at(2)),
        JobSettled::Settled(JobState::Ready)
    );
    assert_eq!(job.failed_attempts, 0);
}

#[test]
fn a_job_whose_time_has_passed_expires_instead_of_running() {
    let mut job = Standing::new(at(0), None, Some(at(5)));
    assert_eq!(
        job.claim(&claim(0, 1), &by(1, true, 1), at(5)),
        ClaimAnswer::Finished
    );
    assert_eq!(job.state, JobState::Expired);
}

#[test]
fn a_cancel_during_a_run_is_granted_when_the_run_gives_the_job_back() {
    let mut job = running();
    assert_eq!(job.alter(&Alteration::Cancel, at(2)), Altered::Requested);
    let retry = Outcome::Retry {
        run_at: at(10),
        error: failure(1),
    };
    assert_eq!(
        job.settle(1, &retry, at(3)),
        JobSettled::Settled(JobState::Cancelled)
    );
}

#[test]
fn a_persons_retry_of_a_dead_job_starts_its_counts_again() {
    let mut job = running();
    let dead = Outcome::Dead {
        reason: DeadReason::Fatal,
        error: failure(1),
    };
    job.settle(1, &dead, at(2));
    assert_eq!(
        job.alter(&Alteration::Retry, at(3)),
        Altered::Done(JobState::Scheduled)
    );
    assert_eq!(
        (job.failed_attempts, job.reason, job.finished_at),
        (0, None, None)
    );
    assert!(job.due(at(3)), "it is to be published");
    assert_eq!((job.state, job.copy), (JobState::Ready, 1));
}

#[derive(Clone, Debug)]
enum Move {
    Claim {
        copy: u32,
        delivery: u32,
        alive: bool,
    },
    Settle {
        epoch: u64,
        outcome: u8,
    },
    Crash,
    Due,
    Alter(Alteration),
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        (0..3_u32, 0..4_u32, any::<bool>()).prop_map(|(copy, delivery, alive)| Move::Claim {
            copy,
            delivery,
            alive
        }),
        (0..6_u64, 0..6_u8).prop_map(|(epoch, outcome)| Move::Settle { epoch, outcome }),
        Just(Move::Crash),
        Just(Move::Due),
        prop_oneof![
            Just(Alteration::Cancel),
            Just(Alteration::Retry),
            Just(Alteration::Drop)
        ]
        .prop_map(Move::Alter),
    ]
}

proptest! {
    #[test]
    fn every_sequence_of_moves_stays_inside_the_transition_table(moves in prop::collection::vec(any_move(), 0..40)) {
        let mut job = Standing::new(at(0), None, Some(at(1_000)));
        for (second, step) in (1_i64..).zip(moves) {
            let before = job.clone();
            let now = at(second);
            match step {
                Move::Claim { copy, delivery, alive } => {
                    job.claim(&claim(copy, delivery), &by(1, alive, 1), now);
                }
                Move::Settle { epoch, outcome } => {
                    let outcome = match outcome {
                        0 => success(),
                        1 => Outcome::Retry { run_at: now, error: failure(1) },
                        2 => Outcome::Dead { reason: DeadReason::Fatal, error: failure(1) },
                        3 => Outcome::Release { run_at: Some(at(second + 2)), note: None },
                        4 => Outcome::Cancelled,
                        _ => Outcome::Expired,
                    };
                    job.settle(epoch, &outcome, now);
                }
                // The store calls these only on the states they are for.
                Move::Crash if job.state == JobState::Running => job.crash(now),
                Move::Due if matches!(job.state, JobState::Scheduled | JobState::Retrying) => {
                    job.due(now);
                }
                Move::Crash | Move::Due => {}
                Move::Alter(alteration) => {
                    job.alter(&alteration, now);
                }
            }
            // A crash found by a claim passes through `Ready` on its way to `Running` or `Dead`.
            let through_ready = before.state.may_become(JobState::Ready)
                && (JobState::Ready.may_become(job.state));
            prop_assert!(
                before.state == job.state || before.state.may_become(job.state) || through_ready,
                "{} -> {}", before.state, job.state
            );
            prop_assert!(job.epoch >= before.epoch);
            prop_assert_eq!(job.owner.is_some(), job.state == JobState::Running);
            prop_assert_eq!(job.finished_at.is_some(), job.state.is_terminal());
            prop_assert_eq!(job.reason.is_some(), job.state == JobState::Dead);
        }
    }
}
