//! Claiming deliveries in a store.

use std::time::Duration;

use bananas_core::{ClaimAnswer, ErrorKind, JobSettle, JobState};

use crate::case::StoreCase;
use crate::check::checks;
use crate::hand_worker::new_owner;
use crate::outcomes::{fatal, retry, success};

checks!(StoreCase:
    one_of_many_claims_of_a_job_runs_it,
    a_claim_without_a_lease_is_closed_for_every_item,
    a_batch_of_claims_lets_at_most_the_allowed_suspects_run,
    a_redelivery_that_proves_the_lease_lost_is_a_crash,
    a_claim_says_what_became_of_the_job,
    a_claim_of_an_unknown_job_is_missing,
);

/// Proves S1, S30.
async fn one_of_many_claims_of_a_job_runs_it(case: StoreCase) {
    for _ in 0..10 {
        let job = case.recorded().await;
        let mut owners = Vec::new();
        for _ in 0..8 {
            owners.push(case.owner().await.id);
        }
        let claims = owners.iter().map(|owner| case.claim(&job, *owner, 1));
        let answers = futures::future::join_all(claims).await;
        let run = |answer: &&ClaimAnswer| matches!(answer, ClaimAnswer::Run { .. });
        let busy = |answer: &&ClaimAnswer| matches!(answer, ClaimAnswer::Busy { .. });
        assert_eq!(answers.iter().filter(run).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(busy).count(), 7, "{answers:?}");
    }
}

/// Proves S30.
async fn a_claim_without_a_lease_is_closed_for_every_item(case: StoreCase) {
    let jobs = [case.recorded().await, case.recorded().await];
    let nobody = new_owner(&case.env).id;
    let answers = case
        .claim_all(&[(&jobs[0], 1), (&jobs[1], 1)], nobody, 10)
        .await;
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);
    }
    for job in &jobs {
        assert_eq!(case.found(job.id).await.standing.state, JobState::Ready);
    }
}

/// Proves S31.
async fn a_batch_of_claims_lets_at_most_the_allowed_suspects_run(case: StoreCase) {
    let mut jobs = Vec::new();
    let owner = case.owner().await.id;
    for _ in 0..4 {
        let job = case.recorded().await;
        case.claim(&job, owner, 1).await;
        jobs.push(job);
    }
    case.store.jobs().retire(&[owner]).await.unwrap();
    jobs.push(case.recorded().await);
    let claims: Vec<_> = jobs.iter().map(|job| (job, 2)).collect();
    let answers = case.claim_all(&claims, case.owner().await.id, 2).await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    let suspects = answers
        .iter()
        .filter(|answer| matches!(answer, ClaimAnswer::Run { crashes, .. } if *crashes > 0));
    assert_eq!(suspects.count(), 2, "{answers:?}");
    let innocent = answers.last().unwrap();
    assert!(
        matches!(innocent, ClaimAnswer::Run { crashes: 0, .. }),
        "{answers:?}"
    );
}

/// Proves S1, S30.
async fn a_redelivery_that_proves_the_lease_lost_is_a_crash(case: StoreCase) {
    let job = case.recorded().await;
    let first = case.owner().await.id;
    let second = case.owner().await.id;
    let ClaimAnswer::Run { epoch, .. } = case.claim(&job, first, 1).await else {
        panic!("the first claim runs");
    };
    let same = case.claim(&job, second, 1).await;
    assert!(matches!(same, ClaimAnswer::Busy { .. }), "{same:?}");
    let answer = case.claim(&job, second, 2).await;
    let ClaimAnswer::Run {
        epoch: later,
        crashes,
        attempt,
    } = answer
    else {
        panic!("the redelivery runs: {answer:?}");
    };
    assert!(later > epoch, "the epoch grows");
    assert_eq!((attempt, crashes), (1, 1));
    assert_eq!(
        case.found(job.id).await.errors.len(),
        1,
        "the crash is listed"
    );
}

/// Proves S1.
async fn a_claim_says_what_became_of_the_job(case: StoreCase) {
    let owner = case.owner().await.id;
    let hour = Duration::from_secs(3_600);
    let outcomes = [success(), fatal(&case.env, 1), retry(&case.env, 1, hour)];
    let mut answers = Vec::new();
    for outcome in outcomes {
        let job = case.recorded().await;
        let ClaimAnswer::Run { epoch, .. } = case.claim(&job, owner, 1).await else {
            panic!("a new job runs");
        };
        let settle = JobSettle {
            job: job.reference(),
            epoch,
            outcome,
        };
        case.store
            .jobs()
            .settle(vec![settle])
            .await
            .remove(0)
            .unwrap();
        answers.push(case.claim(&job, owner, 2).await);
    }
    assert_eq!(answers[..2], [ClaimAnswer::Finished, ClaimAnswer::Finished]);
    assert!(
        matches!(answers[2], ClaimAnswer::NotYet { .. }),
        "{answers:?}"
    );
}

/// Proves S30.
async fn a_claim_of_an_unknown_job_is_missing(case: StoreCase) {
    let owner = case.owner().await.id;
    let known = case.recorded().await;
    let unknown = case.job();
    let answers = case
        .claim_all(&[(&unknown, 1), (&known, 1)], owner, 10)
        .await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    assert_eq!(answers[0], ClaimAnswer::Missing);
    assert!(matches!(answers[1], ClaimAnswer::Run { .. }), "{answers:?}");
}
