//! Schedulers on a store.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{
    Alteration, Altered, ClaimAnswer, Due, Job, JobId, JobState, Lost, Publication, QueueName,
};

use crate::case::{HOUR, StoreCase};
use crate::check::checks;
use crate::impatience::impatiently;
use crate::patience::eventually;
use crate::race::all_at_once;
use crate::store_client::StoreClient;

checks!(StoreCase:
    each_due_job_is_returned_to_one_of_many_schedulers,
    a_due_job_is_in_an_open_batch_until_it_is_confirmed,
    due_says_when_the_next_job_is_due,
    due_moves_no_more_than_it_was_asked_for,
    eight_schedulers_return_each_of_2000_due_jobs_once,
    a_scheduler_dropped_between_due_and_publish_loses_no_job,
    a_due_job_that_has_expired_is_moved_and_not_returned,
    what_waits_for_a_later_time_is_not_moved,
    a_retried_job_is_published_as_a_new_copy_whatever_became_of_it,
    due_jobs_of_all_queues_are_moved_and_the_earliest_of_all_is_next,
);

/// Records so many jobs whose time comes in an hour, so that none is ready at once on a slow machine.
async fn due_jobs(case: &StoreCase, count: usize) -> Vec<Job> {
    let run_at = case.env.now() + HOUR;
    let mut jobs: Vec<Job> = (0..count).map(|_| case.job()).collect();
    for job in &mut jobs {
        job.run_at = Some(run_at);
    }
    case.record(&jobs, None).await;
    jobs
}

/// Asks for what is due when that time has come.
fn due_later(case: &StoreCase, publication: Option<Publication>) -> Due {
    let mut due = case.due(publication);
    due.now = due.now + HOUR * 2;
    due
}

/// Proves S50.
async fn each_due_job_is_returned_to_one_of_many_schedulers(case: StoreCase) {
    let jobs = due_jobs(&case, 300).await;
    let other = case.second_client().await;
    let stores = [&case.store, &other];
    let schedulers = (0..16).map(|n| {
        let mut due = due_later(&case, Some(case.publication()));
        due.max = 50;
        stores[n % 2].jobs().due(due)
    });
    let pages = futures::future::join_all(schedulers).await;
    let mut returned: Vec<JobId> = Vec::new();
    for page in pages {
        let page = page.unwrap();
        assert_eq!(page.moved, page.jobs.len() as u64);
        returned.extend(page.jobs.iter().map(|job| job.job.id));
    }
    let different: HashSet<JobId> = returned.iter().copied().collect();
    let all: HashSet<JobId> = jobs.iter().map(|job| job.id).collect();
    assert_eq!(
        (returned.len(), different),
        (all.len(), all),
        "each came once"
    );
}

/// Proves S51, S53.
async fn a_due_job_is_in_an_open_batch_until_it_is_confirmed(case: StoreCase) {
    let jobs = due_jobs(&case, 1).await;
    let publication = case.publication();
    let page = case
        .store
        .jobs()
        .due(due_later(&case, Some(publication.clone())))
        .await
        .unwrap();
    assert_eq!(page.jobs[0].job, jobs[0].reference());
    assert_eq!(page.jobs[0].copy, 1, "it is a new copy");
    assert_eq!(case.found(jobs[0].id).await.standing.state, JobState::Ready);
    assert_eq!(case.open_batches().await, [publication.id]);
    case.store.jobs().confirm(&[publication.id]).await.unwrap();
    assert_eq!(case.open_batches().await, []);
}

/// Proves S50.
async fn due_says_when_the_next_job_is_due(case: StoreCase) {
    let mut jobs = [case.job(), case.job()];
    let soon = case.env.now() + Duration::from_secs(600);
    jobs[0].run_at = Some(soon + Duration::from_secs(600));
    jobs[1].run_at = Some(soon);
    case.record(&jobs, None).await;
    let page = case.store.jobs().due(case.due(None)).await.unwrap();
    assert_eq!((page.moved, page.more, page.next), (0, false, Some(soon)));
}

/// Proves S50.
async fn due_moves_no_more_than_it_was_asked_for(case: StoreCase) {
    due_jobs(&case, 25).await;
    let mut moved = Vec::new();
    loop {
        let mut due = due_later(&case, None);
        due.max = 10;
        let page = case.store.jobs().due(due).await.unwrap();
        moved.push(page.moved);
        if !page.more {
            break;
        }
    }
    assert!(moved.iter().all(|moved| *moved <= 10), "{moved:?}");
    assert_eq!(moved.iter().sum::<u64>(), 25);
}

/// Proves S50.
async fn eight_schedulers_return_each_of_2000_due_jobs_once(case: StoreCase) {
    let jobs = due_jobs(&case, 2_000).await;
    let there = case.there().await;
    let schedulers = (0..8).map(|n| {
        let client = if n % 2 == 0 {
            case.here()
        } else {
            there.clone()
        };
        let pages = (0..100).map(|_| {
            let mut due = due_later(&case, Some(case.publication()));
            due.max = 100;
            due
        });
        schedule(client, pages.collect())
    });
    let returned = all_at_once(&case.env, schedulers).await.concat();
    let different: HashSet<JobId> = returned.iter().copied().collect();
    assert_eq!(returned.len(), different.len(), "a job was returned twice");
    assert_eq!(different, jobs.iter().map(|job| job.id).collect());
    case.assert_counts_are_exact().await;
}

/// Takes page after page until there is none.
async fn schedule(client: StoreClient, pages: Vec<Due>) -> Vec<JobId> {
    let mut returned = Vec::new();
    for due in pages {
        let page = client.clone().due(due).await;
        returned.extend(page.jobs.iter().map(|job| job.job.id));
        if page.moved == 0 {
            break;
        }
    }
    returned
}

/// Proves S51, S52, S53.
async fn a_scheduler_dropped_between_due_and_publish_loses_no_job(case: StoreCase) {
    let jobs = due_jobs(&case, 200).await;
    let mut returned = HashSet::new();
    for _ in 0..40 {
        let publication = case.publication();
        let mut due = due_later(&case, Some(publication.clone()));
        due.max = 5;
        if let Some(page) = impatiently(&case.env, case.store.jobs().due(due)).await {
            returned.extend(page.unwrap().jobs.iter().map(|job| job.job.id));
            case.here().confirm(publication.id).await;
        }
    }
    let all: HashSet<JobId> = jobs.iter().map(|job| job.id).collect();
    // What a dropped call asked for may still be done a moment later.
    let found = async || {
        let rest = case
            .here()
            .due(due_later(&case, Some(case.publication())))
            .await;
        let lost = Lost {
            now: case.env.now(),
            open_for: HOUR,
            gone: case.open_batches().await.into_iter().collect(),
            evidence: Vec::new(),
            max: 1_000,
            publication: case.publication(),
        };
        let lost = case.here().lost(lost).await;
        returned.extend(rest.jobs.iter().chain(&lost.jobs).map(|job| job.job.id));
        returned == all
    };
    eventually(&case.env, "each job is returned or found", found).await;
    case.assert_counts_are_exact().await;
}

/// Proves S1, S50.
async fn a_due_job_that_has_expired_is_moved_and_not_returned(case: StoreCase) {
    let mut jobs = [case.job(), case.job()];
    let run_at = case.env.now() + HOUR;
    for job in &mut jobs {
        job.run_at = Some(run_at);
    }
    jobs[1].expires_at = Some(run_at);
    case.record(&jobs, None).await;
    let due = due_later(&case, Some(case.publication()));
    let page = case.here().due(due).await;
    let returned: Vec<JobId> = page.jobs.iter().map(|job| job.job.id).collect();
    assert_eq!((page.moved, returned), (2, vec![jobs[0].id]));
    assert_eq!(case.state_of(jobs[1].id).await, JobState::Expired);
}

/// Proves S50, S65.
async fn what_waits_for_a_later_time_is_not_moved(case: StoreCase) {
    let waiting = [
        case.job_in(JobState::Scheduled).await,
        case.job_in(JobState::Retrying).await,
    ];
    let before = case.listing().await;
    let page = case.here().due(case.due(Some(case.publication()))).await;
    assert_eq!((page.moved, page.jobs.len(), page.more), (0, 0, false));
    assert_eq!(case.open_batches().await, [], "a batch of nothing is none");
    assert_eq!(case.listing().await, before);
    // At their time, and not a moment before.
    for job in waiting {
        let at = case.found(job.id).await.standing.run_at.unwrap();
        let mut due = case.due(None);
        due.now = at - Duration::from_micros(1);
        assert_eq!(case.here().due(due.clone()).await.moved, 0);
        due.now = at;
        assert_eq!(case.here().due(due).await.moved, 1);
    }
}

/// Proves S1, S50, S64.
async fn a_retried_job_is_published_as_a_new_copy_whatever_became_of_it(case: StoreCase) {
    use JobState::{Cancelled, Dead, Expired, Retrying, Scheduled};
    for state in [Scheduled, Retrying, Dead, Cancelled, Expired] {
        let job = case.job_in(state).await;
        let before = case.found(job.id).await.standing;
        let altered = case.here().alter(job.id, Alteration::Retry).await;
        assert_eq!(altered, Altered::Done(Scheduled), "{state}");
        let page = case.here().due(case.due(Some(case.publication()))).await;
        let copies: Vec<_> = page.jobs.iter().map(|job| (job.job.id, job.copy)).collect();
        assert_eq!(copies, [(job.id, before.copy + 1)], "{state}");
        let owner = case.owner().await.id;
        let answer = case.claim(&job, owner, 1).await;
        let attempt = match state {
            Retrying => 2,
            _ => 1,
        };
        let run = ClaimAnswer::Run {
            epoch: before.epoch + 1,
            attempt,
            crashes: 0,
        };
        assert_eq!(answer, run, "{state}");
        let standing = case.found(job.id).await.standing;
        assert_eq!((standing.finished_at, standing.reason), (None, None));
    }
}

/// Proves S50.
async fn due_jobs_of_all_queues_are_moved_and_the_earliest_of_all_is_next(case: StoreCase) {
    let now = case.env.now();
    let mut jobs: Vec<Job> = (0..30).map(|_| case.job()).collect();
    for (n, job) in (0..).zip(&mut jobs) {
        job.queue = QueueName::new(format!("queue.{}", n % 3)).unwrap();
        job.run_at = Some(now + HOUR + Duration::from_secs(n));
    }
    case.record(&jobs, None).await;
    let mut due = case.due(Some(case.publication()));
    due.now = now + HOUR + Duration::from_secs(9);
    due.max = 8;
    let first = case.here().due(due.clone()).await;
    assert_eq!((first.moved, first.more), (8, true));
    due.publication = Some(case.publication());
    let second = case.here().due(due).await;
    assert_eq!((second.moved, second.more), (2, false));
    assert_eq!(second.next, jobs[10].run_at);
    let moved: HashSet<JobId> = [first, second]
        .iter()
        .flat_map(|page| page.jobs.iter().map(|job| job.job.id))
        .collect();
    assert_eq!(moved, jobs[..10].iter().map(|job| job.id).collect());
}
