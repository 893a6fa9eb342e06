//! Schedulers on a store.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{Job, JobId, JobState};

use crate::case::StoreCase;
use crate::check::checks;

checks!(StoreCase:
    each_due_job_is_returned_to_one_of_many_schedulers,
    a_due_job_is_in_an_open_batch_until_it_is_confirmed,
    due_says_when_the_next_job_is_due,
    due_moves_no_more_than_it_was_asked_for,
);

/// Records so many jobs and lets their time come.
async fn due_jobs(case: &StoreCase, count: usize) -> Vec<Job> {
    let run_at = case.env.now() + Duration::from_millis(200);
    let mut jobs: Vec<Job> = (0..count).map(|_| case.job()).collect();
    for job in &mut jobs {
        job.run_at = Some(run_at);
    }
    case.record(&jobs, None).await;
    while case.env.now() < run_at {
        case.env.sleep(Duration::from_millis(20)).await;
    }
    jobs
}

/// Proves S50.
async fn each_due_job_is_returned_to_one_of_many_schedulers(case: StoreCase) {
    let jobs = due_jobs(&case, 300).await;
    let other = case.second_client().await;
    let stores = [&case.store, &other];
    let schedulers = (0..16).map(|n| {
        let mut due = case.due(Some(case.publication()));
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
        .due(case.due(Some(publication.clone())))
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
        let mut due = case.due(None);
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
