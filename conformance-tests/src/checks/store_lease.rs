//! Owners that are alive, lapsed, dead, and what becomes of their jobs.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{
    Alteration, Altered, ClaimAnswer, DeadReason, ErrorCause, ErrorKind, Job, JobId, JobSettled,
    JobState, Owner, OwnerId, Renewed,
};

use crate::case::StoreCase;
use crate::check::checks;
use crate::hand_worker::{LONG_LEASE, SHORT_LEASE, new_owner};
use crate::outcomes::{fatal, retry, success};
use crate::patience::eventually;
use crate::race::all_at_once;
use crate::store_client::StoreClient;

checks!(StoreCase:
    an_epoch_of_the_past_settles_nothing_whatever_became_of_the_job,
    a_retired_owner_claims_nothing_and_is_lost_for_every_client,
    an_owner_retired_before_it_was_enlisted_is_lost,
    a_lapsed_lease_that_nobody_acted_upon_can_be_renewed,
    a_claim_that_acts_upon_a_lapsed_lease_ends_its_owner,
    jobs_of_a_dead_owner_are_due_page_by_page_and_those_of_others_are_not,
    many_schedulers_find_each_job_of_a_dead_owner_once,
    a_third_crash_is_moved_and_not_published,
    a_cancelled_run_whose_owner_dies_is_cancelled_and_not_published,
    owners_are_listed_as_they_were_enlisted,
    wishes_to_cancel_are_told_to_the_owner_alone,
);

/// Claims new jobs for an owner.
async fn running(case: &StoreCase, owner: OwnerId, count: usize) -> Vec<Job> {
    let jobs: Vec<Job> = (0..count).map(|_| case.job()).collect();
    case.record(&jobs, None).await;
    for job in &jobs {
        case.start(job, owner).await;
    }
    jobs
}

/// Proves S1, S40, S56.
async fn an_epoch_of_the_past_settles_nothing_whatever_became_of_the_job(case: StoreCase) {
    let dying = case.owner().await.id;
    let jobs = running(&case, dying, 4).await;
    case.here().retire(dying).await;
    case.here().due(case.due(None)).await;
    let owner = case.owner().await.id;
    let hour = Duration::from_secs(3_600);
    let ends = [Some(success()), Some(retry(&case.env, 1, hour)), None];
    for (job, end) in jobs.iter().zip(ends) {
        let epoch = case.start(job, owner).await;
        if let Some(end) = end {
            case.here().settle(job.clone(), epoch, end).await;
        }
    }
    for job in jobs {
        let before = case.found(job.id).await;
        let now = before.standing.epoch;
        for end in [success(), fatal(&case.env, 1)] {
            let late = case.here().settle(job.clone(), 1, end).await;
            assert_eq!(late, JobSettled::Stale { epoch: now });
        }
        let future = case.here().settle(job.clone(), now + 1, success()).await;
        assert_eq!(future, JobSettled::Stale { epoch: now });
        assert_eq!(case.found(job.id).await, before);
    }
}

/// Proves S30, S54.
async fn a_retired_owner_claims_nothing_and_is_lost_for_every_client(case: StoreCase) {
    let job = case.recorded().await;
    let owner = case.owner().await;
    let there = case.there().await;
    there.clone().retire(owner.id).await;
    let answers = case.claim_all(&[(&job, 1)], owner.id, 10).await;
    let error = answers[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    for client in [case.here(), there, case.there().await] {
        let renewed = client.renew(owner.clone(), LONG_LEASE).await;
        assert_eq!(renewed, Renewed::Lost);
    }
    assert_eq!(case.state_of(job.id).await, JobState::Ready);
}

/// Proves S54.
async fn an_owner_retired_before_it_was_enlisted_is_lost(case: StoreCase) {
    let owner = new_owner(&case.env);
    case.here().retire(owner.id).await;
    let renewed = case.here().renew(owner, LONG_LEASE).await;
    assert_eq!(renewed, Renewed::Lost);
}

/// Enlists an owner for a moment, and waits until its lease has lapsed.
async fn lapsed(case: &StoreCase, jobs: usize) -> (Owner, Vec<Job>) {
    let owner = case.owner().await;
    let jobs = running(case, owner.id, jobs).await;
    case.here().renew(owner.clone(), SHORT_LEASE).await;
    let lapsed = async || {
        let rows = case.store.jobs().owners(None).await.unwrap().0;
        let row = rows.iter().find(|row| row.owner == owner).unwrap();
        row.left.is_zero()
    };
    eventually(&case.env, "the lease lapses", lapsed).await;
    (owner, jobs)
}

/// Proves S30, S54, S55.
async fn a_lapsed_lease_that_nobody_acted_upon_can_be_renewed(case: StoreCase) {
    let (owner, jobs) = lapsed(&case, 2).await;
    let ready = case.recorded().await;
    let refused = case.claim_all(&[(&ready, 1)], owner.id, 10).await;
    let error = refused[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let renewed = case.here().renew(owner.clone(), LONG_LEASE).await;
    assert!(matches!(renewed, Renewed::Held { .. }), "{renewed:?}");
    case.here().due(case.due(None)).await;
    for job in jobs {
        let settled = case.here().settle(job, 1, success()).await;
        assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
    }
    case.start(&ready, owner.id).await;
}

/// Proves S1, S30, S54.
async fn a_claim_that_acts_upon_a_lapsed_lease_ends_its_owner(case: StoreCase) {
    let (lapsed, jobs) = lapsed(&case, 2).await;
    let owner = case.owner().await.id;
    let claimed = case.claim(&jobs[0], owner, 1).await;
    let crash = matches!(claimed, ClaimAnswer::Run { crashes: 1, .. });
    assert!(crash, "{claimed:?}");
    let renewed = case.here().renew(lapsed, LONG_LEASE).await;
    assert_eq!(renewed, Renewed::Lost);
    let late = case.here().settle(jobs[0].clone(), 1, success()).await;
    assert!(matches!(late, JobSettled::Stale { .. }), "{late:?}");
    let page = case.here().due(case.due(None)).await;
    assert_eq!(page.moved, 1, "its other job is found");
    assert_eq!(case.state_of(jobs[1].id).await, JobState::Ready);
}

/// Proves S50, S51, S55, S56.
async fn jobs_of_a_dead_owner_are_due_page_by_page_and_those_of_others_are_not(case: StoreCase) {
    let (dying, living) = (case.owner().await.id, case.owner().await.id);
    let orphans = running(&case, dying, 25).await;
    let others = running(&case, living, 5).await;
    case.here().retire(dying).await;
    let mut found = HashSet::new();
    loop {
        let publication = case.publication();
        let mut due = case.due(Some(publication.clone()));
        due.max = 10;
        let page = case.here().due(due).await;
        assert!(page.jobs.len() <= 10, "{} jobs", page.jobs.len());
        for job in page.jobs {
            assert_eq!(job.copy, 1, "it is a new copy");
            assert!(found.insert(job.job.id), "a job came twice");
            assert!(case.open_batches().await.contains(&publication.id));
        }
        if !page.more {
            break;
        }
    }
    assert_eq!(found, orphans.iter().map(|job| job.id).collect());
    for job in orphans {
        let found = case.found(job.id).await;
        let standing = &found.standing;
        assert_eq!((standing.state, standing.owner), (JobState::Ready, None));
        assert_eq!((standing.crashes, standing.failed_attempts), (1, 0));
        assert_eq!(found.errors[0].cause, ErrorCause::Crashed);
    }
    for job in others {
        let standing = case.found(job.id).await.standing;
        assert_eq!((standing.owner, standing.crashes), (Some(living), 0));
    }
    case.assert_counts_are_exact().await;
}

/// Proves S50, S56.
async fn many_schedulers_find_each_job_of_a_dead_owner_once(case: StoreCase) {
    let there = case.there().await;
    let dying = case.owner().await.id;
    let jobs = running(&case, dying, 100).await;
    case.here().retire(dying).await;
    let schedulers = (0..8).map(|n| {
        let client = if n % 2 == 0 {
            case.here()
        } else {
            there.clone()
        };
        let mut due = case.due(Some(case.publication()));
        due.max = 30;
        client.due(due)
    });
    let mut pages = all_at_once(&case.env, schedulers).await;
    pages.push(case.here().due(case.due(Some(case.publication()))).await);
    let returned: Vec<JobId> = pages
        .iter()
        .flat_map(|page| page.jobs.iter().map(|job| job.job.id))
        .collect();
    assert_eq!(returned.len(), 100, "each came once");
    for job in jobs {
        assert!(returned.contains(&job.id));
        assert_eq!(case.found(job.id).await.standing.crashes, 1);
    }
}

/// Proves S1, S56.
async fn a_third_crash_is_moved_and_not_published(case: StoreCase) {
    let job = case.recorded().await;
    for crash in 1..=3 {
        let dying = case.owner().await.id;
        case.start(&job, dying).await;
        case.here().retire(dying).await;
        let page = case.here().due(case.due(Some(case.publication()))).await;
        let published = usize::from(crash < 3);
        assert_eq!((page.moved, page.jobs.len()), (1, published));
    }
    let found = case.found(job.id).await;
    assert_eq!(found.standing.state, JobState::Dead);
    assert_eq!(found.standing.reason, Some(DeadReason::Poison));
    assert_eq!((found.standing.crashes, found.errors.len()), (3, 3));
    assert_eq!(case.here().due(case.due(None)).await.moved, 0);
}

/// Proves S1, S56, S64.
async fn a_cancelled_run_whose_owner_dies_is_cancelled_and_not_published(case: StoreCase) {
    let dying = case.owner().await.id;
    let job = running(&case, dying, 1).await.remove(0);
    let altered = case.here().alter(job.id, Alteration::Cancel).await;
    assert_eq!(altered, Altered::Requested);
    case.here().retire(dying).await;
    let page = case.here().due(case.due(Some(case.publication()))).await;
    assert_eq!((page.moved, page.jobs.len()), (1, 0));
    let standing = case.found(job.id).await.standing;
    assert_eq!(standing.state, JobState::Cancelled);
    assert!(standing.finished_at.is_some() && !standing.cancel_requested);
}

/// Proves S54, S55, S56.
async fn owners_are_listed_as_they_were_enlisted(case: StoreCase) {
    let mut enlisted = Vec::new();
    for (host, boot_id, pid) in [("a", "boot 1", 17), ("höst b", "", u32::MAX)] {
        let mut owner = new_owner(&case.env);
        host.clone_into(&mut owner.host);
        boot_id.clone_into(&mut owner.boot_id);
        (owner.pid, owner.pid_started) = (pid, u64::from(pid) + 1);
        case.here().renew(owner.clone(), LONG_LEASE).await;
        enlisted.push(owner);
    }
    running(&case, enlisted[0].id, 1).await;
    let StoreClient(there) = case.there().await;
    let list = async || there.jobs().owners(None).await.unwrap().0;
    let listed: Vec<Owner> = list().await.into_iter().map(|row| row.owner).collect();
    for owner in &enlisted {
        assert!(listed.contains(owner), "{owner:?} in {listed:?}");
    }
    for owner in &enlisted {
        case.here().retire(owner.id).await;
    }
    let rows = list().await;
    assert_eq!(rows.len(), 1, "who is gone and runs nothing is no news");
    assert_eq!((rows[0].left, rows[0].running), (Duration::ZERO, 1));
    case.here().due(case.due(None)).await;
    assert_eq!(list().await, []);
}

/// Proves S1, S64.
async fn wishes_to_cancel_are_told_to_the_owner_alone(case: StoreCase) {
    let (owner, other) = (case.owner().await.id, case.owner().await.id);
    let jobs = running(&case, owner, 3).await;
    running(&case, other, 1).await;
    let StoreClient(there) = case.there().await;
    let cancels = async |of| there.jobs().owners(of).await.unwrap().1;
    for job in &jobs[..2] {
        case.here().alter(job.id, Alteration::Cancel).await;
    }
    let told: HashSet<JobId> = cancels(Some(owner)).await.into_iter().collect();
    assert_eq!(told, HashSet::from([jobs[0].id, jobs[1].id]));
    assert_eq!(cancels(Some(other)).await, []);
    assert_eq!(cancels(None).await, []);
    case.here().settle(jobs[0].clone(), 1, success()).await;
    assert_eq!(cancels(Some(owner)).await, [jobs[1].id]);
}
