//! Two clients that want different things of one job at the same moment: one wins, and both are told the truth.

use bananas_core::{
    Alteration, Altered, ClaimAnswer, JobSettled, JobState, Outcome, Recorded, Renewed, Unique,
};

use crate::case::{HOUR, StoreCase};
use crate::check::checks;
use crate::hand_worker::{LONG_LEASE, new_owner};
use crate::outcomes::{fatal, release, success};
use crate::race::race;

checks!(StoreCase:
    of_two_clients_that_claim_a_job_one_runs_it,
    of_two_clients_that_settle_a_run_one_counts,
    a_settle_and_a_cancel_at_once_agree,
    a_release_and_a_cancel_at_once_cancel_the_job,
    a_claim_and_a_cancel_at_once_agree,
    a_due_job_that_is_cancelled_at_that_moment_is_cancelled,
    of_two_clients_that_record_one_unique_key_one_is_new,
    a_renewal_and_a_retirement_at_once_end_the_owner,
    a_retry_and_a_prune_at_once_agree,
    a_claim_and_a_scheduler_find_the_same_dead_owner_once,
);

/// How often each race is run.
const ROUNDS: usize = 20;

/// Proves S1, S30.
async fn of_two_clients_that_claim_a_job_one_runs_it(case: StoreCase) {
    let there = case.there().await;
    let owners = [case.owner().await.id, case.owner().await.id];
    for _ in 0..ROUNDS {
        let job = case.recorded().await;
        let first = case.here().claim(job.clone(), owners[0]);
        let second = there.clone().claim(job.clone(), owners[1]);
        let (first, second) = race(&case.env, first, second).await;
        let ran = |answer: &ClaimAnswer| matches!(answer, ClaimAnswer::Run { epoch: 1, .. });
        let busy = |answer: &ClaimAnswer| matches!(answer, ClaimAnswer::Busy { .. });
        let winner = match (&first, &second) {
            (won, lost) if ran(won) && busy(lost) => owners[0],
            (lost, won) if ran(won) && busy(lost) => owners[1],
            both => panic!("one runs it, the other is told that it is busy: {both:?}"),
        };
        let standing = case.found(job.id).await.standing;
        assert_eq!((standing.owner, standing.epoch), (Some(winner), 1));
    }
    case.assert_counts_are_exact().await;
}

/// Proves S1, S2, S40.
async fn of_two_clients_that_settle_a_run_one_counts(case: StoreCase) {
    let there = case.there().await;
    let owner = case.owner().await.id;
    for _ in 0..ROUNDS {
        let job = case.recorded().await;
        let epoch = case.start(&job, owner).await;
        let well = case.here().settle(job.clone(), epoch, success());
        let badly = there
            .clone()
            .settle(job.clone(), epoch, fatal(&case.env, 1));
        let both = race(&case.env, well, badly).await;
        let state = match both {
            (JobSettled::Settled(state), JobSettled::AlreadySettled(known))
            | (JobSettled::AlreadySettled(known), JobSettled::Settled(state))
                if state == known =>
            {
                state
            }
            _ => panic!("one counts, and the other hears of it: {both:?}"),
        };
        let found = case.found(job.id).await;
        assert_eq!(found.standing.state, state);
        let succeeded = state == JobState::Succeeded;
        let told = (found.result.is_some(), found.errors.is_empty());
        assert_eq!(told, (succeeded, succeeded));
    }
    case.assert_counts_are_exact().await;
}

/// Proves S1, S40, S64.
async fn a_settle_and_a_cancel_at_once_agree(case: StoreCase) {
    let there = case.there().await;
    let owner = case.owner().await.id;
    for _ in 0..ROUNDS {
        let job = case.recorded().await;
        let epoch = case.start(&job, owner).await;
        let settle = case.here().settle(job.clone(), epoch, success());
        let cancel = there.clone().alter(job.id, Alteration::Cancel);
        let (settled, altered) = race(&case.env, settle, cancel).await;
        assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
        let truths = [Altered::Requested, Altered::Refused(JobState::Succeeded)];
        assert!(truths.contains(&altered), "{altered:?}");
        let standing = case.found(job.id).await.standing;
        assert_eq!(standing.state, JobState::Succeeded);
        assert!(!standing.cancel_requested, "the wish is out of date");
    }
    case.assert_counts_are_exact().await;
}

/// Proves S1, S40, S64.
async fn a_release_and_a_cancel_at_once_cancel_the_job(case: StoreCase) {
    let there = case.there().await;
    let owner = case.owner().await.id;
    for _ in 0..ROUNDS {
        let job = case.recorded().await;
        let epoch = case.start(&job, owner).await;
        let settle = case.here().settle(job.clone(), epoch, release());
        let cancel = there.clone().alter(job.id, Alteration::Cancel);
        let both = race(&case.env, settle, cancel).await;
        let settled_first = (
            JobSettled::Settled(JobState::Ready),
            Altered::Done(JobState::Cancelled),
        );
        let cancelled_first = (JobSettled::Settled(JobState::Cancelled), Altered::Requested);
        assert!([settled_first, cancelled_first].contains(&both), "{both:?}");
        assert_eq!(case.state_of(job.id).await, JobState::Cancelled);
    }
    case.assert_counts_are_exact().await;
}

/// Proves S1, S30, S64.
async fn a_claim_and_a_cancel_at_once_agree(case: StoreCase) {
    let there = case.there().await;
    let owner = case.owner().await.id;
    for _ in 0..ROUNDS {
        let job = case.recorded().await;
        let claim = case.here().claim(job.clone(), owner);
        let cancel = there.clone().alter(job.id, Alteration::Cancel);
        let (claimed, altered) = race(&case.env, claim, cancel).await;
        let standing = case.found(job.id).await.standing;
        match (claimed, altered) {
            (ClaimAnswer::Run { .. }, Altered::Requested) => {
                assert_eq!(standing.state, JobState::Running);
                assert!(standing.cancel_requested, "its worker will be told");
            }
            (ClaimAnswer::Cancelled, Altered::Done(JobState::Cancelled)) => {
                assert_eq!(standing.state, JobState::Cancelled);
            }
            both => panic!("they contradict each other: {both:?}"),
        }
    }
    case.assert_counts_are_exact().await;
}

/// Proves S1, S50, S64.
async fn a_due_job_that_is_cancelled_at_that_moment_is_cancelled(case: StoreCase) {
    let there = case.there().await;
    for _ in 0..ROUNDS {
        let job = case.job_in(JobState::Scheduled).await;
        case.here().alter(job.id, Alteration::Retry).await;
        let due = case.here().due(case.due(Some(case.publication())));
        let cancel = there.clone().alter(job.id, Alteration::Cancel);
        let (page, altered) = race(&case.env, due, cancel).await;
        assert_eq!(altered, Altered::Done(JobState::Cancelled));
        let standing = case.found(job.id).await.standing;
        assert_eq!(standing.state, JobState::Cancelled);
        let returned = (page.moved, page.jobs.len());
        let copies = u64::from(standing.copy);
        assert_eq!(returned, (copies, page.jobs.len()), "what moved is a copy");
        assert_eq!(page.jobs.len() as u64, page.moved, "what moved is returned");
    }
    case.assert_counts_are_exact().await;
}

/// Proves S10, S11.
async fn of_two_clients_that_record_one_unique_key_one_is_new(case: StoreCase) {
    let there = case.there().await;
    for _ in 0..ROUNDS {
        let key = case.env.job_id().to_string();
        let mut jobs = [case.job(), case.job()];
        for job in &mut jobs {
            let key = key.clone();
            job.unique = Some(Unique { key, lasts: HOUR });
        }
        let first = case.here().record(case.new_record(&jobs[0]));
        let second = there.clone().record(case.new_record(&jobs[1]));
        let (first, second) = race(&case.env, first, second).await;
        let (winner, loser) = match first {
            Recorded::New => (&jobs[0], &jobs[1]),
            Recorded::Duplicate(_) => (&jobs[1], &jobs[0]),
        };
        let answers = [first, second];
        assert!(answers.contains(&Recorded::New), "{answers:?}");
        let duplicate = Recorded::Duplicate(winner.id);
        assert!(answers.contains(&duplicate), "{answers:?}");
        assert!(case.find(winner.id).await.is_some());
        assert!(case.find(loser.id).await.is_none());
    }
    case.assert_counts_are_exact().await;
}

/// Proves S54.
async fn a_renewal_and_a_retirement_at_once_end_the_owner(case: StoreCase) {
    let there = case.there().await;
    for _ in 0..ROUNDS {
        let owner = case.owner().await;
        let renew = case.here().renew(owner.clone(), LONG_LEASE);
        let retire = there.clone().retire(owner.id);
        race(&case.env, renew, retire).await;
        let renewed = case.here().renew(owner.clone(), LONG_LEASE).await;
        assert_eq!(renewed, Renewed::Lost, "the renewal brought it back");
        let rows = case.store.jobs().owners(None).await.unwrap().0;
        assert!(rows.iter().all(|row| row.owner != owner), "{rows:?}");
    }
}

/// Proves S64, S65.
async fn a_retry_and_a_prune_at_once_agree(case: StoreCase) {
    let there = case.there().await;
    for _ in 0..ROUNDS {
        let job = case.job_in(JobState::Dead).await;
        let prune = case.here().prune(case.prune_all());
        let again = there.clone().alter(job.id, Alteration::Retry);
        let both = race(&case.env, prune, again).await;
        let kept = case.find(job.id).await.map(|job| job.standing.state);
        let retried = (0, Altered::Done(JobState::Scheduled));
        match kept {
            Some(JobState::Scheduled) => assert_eq!(both, retried),
            None => assert_eq!(both, (1, Altered::Missing)),
            Some(state) => panic!("{both:?}, and the job is {state}"),
        }
    }
    case.assert_counts_are_exact().await;
}

/// Proves S1, S30, S50, S56.
async fn a_claim_and_a_scheduler_find_the_same_dead_owner_once(case: StoreCase) {
    let there = case.there().await;
    let living = case.owner().await.id;
    for _ in 0..ROUNDS {
        let job = case.recorded().await;
        let dying = new_owner(&case.env);
        case.here().renew(dying.clone(), LONG_LEASE).await;
        let old = case.start(&job, dying.id).await;
        case.here().retire(dying.id).await;
        let claim = case.here().claim(job.clone(), living);
        let due = there.clone().due(case.due(Some(case.publication())));
        let (claimed, page) = race(&case.env, claim, due).await;
        let ClaimAnswer::Run { epoch, crashes, .. } = claimed else {
            panic!("the job of a dead owner runs: {claimed:?}");
        };
        assert!(epoch > old && crashes == 1, "{claimed:?}");
        let found = case.found(job.id).await;
        assert_eq!(found.standing.state, JobState::Running);
        assert_eq!((found.standing.crashes, found.errors.len()), (1, 1));
        assert!(page.moved <= 1, "{page:?}");
        let late = case.here().settle(job.clone(), old, Outcome::Cancelled);
        assert_eq!(late.await, JobSettled::Stale { epoch });
    }
    case.assert_counts_are_exact().await;
}
