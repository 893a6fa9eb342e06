//! Publication batches in a store.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{BatchId, DuePage, JobId, JobState, Lost, QueueName, Recorded};

use crate::case::{HOUR, StoreCase};
use crate::check::checks;
use crate::impatience::impatiently;
use crate::outcomes::{release, release_for, success};
use crate::patience::eventually;
use crate::race::all_at_once;

checks!(StoreCase:
    a_batch_is_open_until_it_is_confirmed_and_confirming_twice_is_fine,
    a_closed_batch_is_lost_only_with_evidence,
    an_open_batch_is_lost_when_its_publisher_is_gone,
    an_open_batch_is_lost_after_its_time_and_not_before,
    what_is_lost_is_found_page_by_page_and_each_job_once,
    evidence_finds_the_jobs_of_the_named_queues_alone,
    evidence_finds_ready_jobs_that_were_never_published,
    only_ready_jobs_of_an_open_batch_are_lost,
    a_duplicate_is_not_in_the_batch_that_it_came_with,
    many_schedulers_find_each_lost_job_once,
    a_dropped_search_for_lost_jobs_loses_none,
);

fn lost(case: &StoreCase) -> Lost {
    Lost {
        now: case.env.now(),
        open_for: HOUR,
        gone: HashSet::new(),
        evidence: Vec::new(),
        max: 1_000,
        publication: case.publication(),
    }
}

async fn find(case: &StoreCase, lost: Lost) -> DuePage {
    case.store.jobs().lost(lost).await.unwrap()
}

/// Records jobs in a new batch that stays open.
async fn published(case: &StoreCase, count: usize) -> BatchId {
    let publication = case.publication();
    let jobs: Vec<_> = (0..count).map(|_| case.job()).collect();
    case.record(&jobs, Some(&publication)).await;
    publication.id
}

/// Proves S20, S53.
async fn a_batch_is_open_until_it_is_confirmed_and_confirming_twice_is_fine(case: StoreCase) {
    let first = published(&case, 2).await;
    let second = published(&case, 1).await;
    let open: HashSet<BatchId> = case.open_batches().await.into_iter().collect();
    assert_eq!(open, HashSet::from([first, second]));
    for _ in 0..2 {
        case.store.jobs().confirm(&[first]).await.unwrap();
        assert_eq!(case.open_batches().await, [second]);
    }
    case.store
        .jobs()
        .confirm(&[second, case.env.batch_id()])
        .await
        .unwrap();
    assert_eq!(case.open_batches().await, []);
}

/// Proves S52.
async fn a_closed_batch_is_lost_only_with_evidence(case: StoreCase) {
    let batch = published(&case, 3).await;
    case.store.jobs().confirm(&[batch]).await.unwrap();
    let mut without = lost(&case);
    without.open_for = Duration::ZERO;
    without.evidence = vec![QueueName::new("jobs.other").unwrap()];
    assert_eq!(find(&case, without).await.jobs, []);
    let mut with = lost(&case);
    with.evidence = vec![QueueName::new("jobs").unwrap()];
    let page = find(&case, with).await;
    let copies: Vec<u32> = page.jobs.iter().map(|job| job.copy).collect();
    assert_eq!((page.moved, copies), (3, vec![1, 1, 1]));
}

/// Proves S52, S53.
async fn an_open_batch_is_lost_when_its_publisher_is_gone(case: StoreCase) {
    let gone = published(&case, 2).await;
    let alive = published(&case, 2).await;
    assert_eq!(find(&case, lost(&case)).await.jobs, []);
    let mut wanted = lost(&case);
    wanted.gone = HashSet::from([gone]);
    let stamp = wanted.publication.id;
    assert_eq!(find(&case, wanted).await.jobs.len(), 2);
    let open: HashSet<BatchId> = case.open_batches().await.into_iter().collect();
    assert!(open.contains(&stamp) && open.contains(&alive), "{open:?}");
}

/// Proves S52.
async fn an_open_batch_is_lost_after_its_time_and_not_before(case: StoreCase) {
    let before = case.env.now();
    published(&case, 2).await;
    let open_for = Duration::from_millis(500);
    let page = loop {
        let mut wanted = lost(&case);
        wanted.open_for = open_for;
        wanted.now = case.env.now();
        let page = find(&case, wanted).await;
        if !page.jobs.is_empty() {
            break page;
        }
        case.env.sleep(Duration::from_millis(20)).await;
    };
    assert!(
        case.env.now().since(before) >= open_for,
        "it was lost too early"
    );
    assert_eq!(page.jobs.len(), 2);
    assert_eq!(
        find(&case, lost(&case)).await.jobs,
        [],
        "its new batch has just been opened"
    );
}

/// Proves S52.
async fn what_is_lost_is_found_page_by_page_and_each_job_once(case: StoreCase) {
    let batch = published(&case, 25).await;
    case.store.jobs().confirm(&[batch]).await.unwrap();
    let mut found = HashSet::new();
    let mut more = true;
    while more {
        let mut wanted = lost(&case);
        wanted.evidence = vec![QueueName::new("jobs").unwrap()];
        wanted.max = 10;
        let page = find(&case, wanted).await;
        assert!(page.jobs.len() <= 10);
        for job in page.jobs {
            assert!(found.insert(job.job.id), "a job was found twice");
        }
        more = page.more;
    }
    assert_eq!(found.len(), 25);
}

/// Which jobs a page brings.
fn ids(page: &DuePage) -> HashSet<JobId> {
    page.jobs.iter().map(|job| job.job.id).collect()
}

/// Evidence against the queue of the case.
fn with_evidence(case: &StoreCase) -> Lost {
    let mut wanted = lost(case);
    wanted.evidence = vec![QueueName::new("jobs").unwrap()];
    wanted
}

/// Proves S52.
async fn evidence_finds_the_jobs_of_the_named_queues_alone(case: StoreCase) {
    let queues = ["jobs", "jobs.other", "other"].map(|name| QueueName::new(name).unwrap());
    let mut jobs: Vec<_> = (0..9).map(|_| case.job()).collect();
    for (n, job) in jobs.iter_mut().enumerate() {
        job.queue = queues[n % 3].clone();
    }
    let publication = case.publication();
    case.record(&jobs, Some(&publication)).await;
    case.here().confirm(publication.id).await;
    let mut wanted = lost(&case);
    wanted.evidence = queues[..2].to_vec();
    let page = find(&case, wanted).await;
    let named = jobs.iter().filter(|job| job.queue != queues[2]);
    assert_eq!(ids(&page), named.map(|job| job.id).collect());
    for job in jobs.iter().filter(|job| job.queue == queues[2]) {
        assert_eq!(case.found(job.id).await.standing.copy, 0);
    }
}

/// Proves S10, S52.
async fn evidence_finds_ready_jobs_that_were_never_published(case: StoreCase) {
    // As a job is whose record was made from its message, and which was given back.
    let adopted = case.recorded().await;
    let epoch = case.start(&adopted, case.owner().await.id).await;
    case.here().settle(adopted.clone(), epoch, release()).await;
    let never_ran = case.recorded().await;
    let wanted = HashSet::from([adopted.id, never_ran.id]);
    assert_eq!(find(&case, lost(&case)).await.jobs, [], "no evidence");
    let mut first = with_evidence(&case);
    first.max = 1;
    let first = find(&case, first).await;
    assert!(first.more, "there is one more");
    let second = find(&case, with_evidence(&case)).await;
    let found: HashSet<JobId> = ids(&first).union(&ids(&second)).copied().collect();
    assert_eq!(found, wanted);
    assert_eq!(find(&case, with_evidence(&case)).await.jobs, []);
}

/// Proves S1, S52.
async fn only_ready_jobs_of_an_open_batch_are_lost(case: StoreCase) {
    let publication = case.publication();
    let jobs: Vec<_> = (0..5).map(|_| case.job()).collect();
    case.record(&jobs, Some(&publication)).await;
    let owner = case.owner().await.id;
    let later = release_for(&case.env, HOUR, "later");
    for (job, end) in jobs.iter().zip([None, Some(success()), Some(later)]) {
        let epoch = case.start(job, owner).await;
        if let Some(end) = end {
            case.here().settle(job.clone(), epoch, end).await;
        }
    }
    let cancel = bananas_core::Alteration::Cancel;
    case.here().alter(jobs[3].id, cancel).await;
    let states = async || {
        let mut states = Vec::new();
        for job in &jobs {
            states.push(case.state_of(job.id).await);
        }
        states
    };
    let before = states().await;
    let mut wanted = with_evidence(&case);
    wanted.gone = HashSet::from([publication.id]);
    let page = find(&case, wanted).await;
    assert_eq!(ids(&page), HashSet::from([jobs[4].id]));
    assert_eq!(states().await, before);
    assert_eq!(before[4], JobState::Ready);
}

/// Proves S11, S52.
async fn a_duplicate_is_not_in_the_batch_that_it_came_with(case: StoreCase) {
    let first = case.publication();
    let job = case.job();
    case.record(std::slice::from_ref(&job), Some(&first)).await;
    let second = case.publication();
    let records = vec![case.new_record(&job)];
    let again = case
        .store
        .jobs()
        .record(records, Some(second.clone()))
        .await;
    assert_eq!(*again[0].as_ref().unwrap(), Recorded::Duplicate(job.id));
    let mut wanted = lost(&case);
    wanted.gone = HashSet::from([second.id]);
    assert_eq!(
        find(&case, wanted).await.jobs,
        [],
        "it was published before"
    );
    let mut wanted = lost(&case);
    wanted.gone = HashSet::from([first.id]);
    assert_eq!(ids(&find(&case, wanted).await), HashSet::from([job.id]));
}

/// Proves S52.
async fn many_schedulers_find_each_lost_job_once(case: StoreCase) {
    let batch = published(&case, 200).await;
    let there = case.there().await;
    let searches = (0..8).map(|n| {
        let client = if n % 2 == 0 {
            case.here()
        } else {
            there.clone()
        };
        let mut wanted = lost(&case);
        wanted.gone = HashSet::from([batch]);
        wanted.max = 50;
        client.lost(wanted)
    });
    let pages = all_at_once(&case.env, searches).await;
    let found: Vec<JobId> = pages.iter().flat_map(ids).collect();
    let different: HashSet<JobId> = found.iter().copied().collect();
    assert_eq!((found.len(), different.len()), (200, 200));
    let copies: HashSet<u32> = pages
        .iter()
        .flat_map(|page| page.jobs.iter().map(|job| job.copy))
        .collect();
    assert_eq!(copies, HashSet::from([1]));
}

/// Proves S52, S53.
async fn a_dropped_search_for_lost_jobs_loses_none(case: StoreCase) {
    let batch = published(&case, 100).await;
    let all: HashSet<JobId> = case.listing().await.iter().map(|job| job.id).collect();
    let mut gone = HashSet::from([batch]);
    let mut found = HashSet::new();
    for _ in 0..60 {
        let mut wanted = lost(&case);
        wanted.gone.clone_from(&gone);
        wanted.max = 10;
        let publication = wanted.publication.id;
        match impatiently(&case.env, case.store.jobs().lost(wanted)).await {
            Some(page) => {
                found.extend(ids(&page.unwrap()));
                case.here().confirm(publication).await;
            }
            // Whoever searched is gone, and its batch is found like any other.
            None => drop(gone.insert(publication)),
        }
    }
    // What a dropped call asked for may still be done a moment later.
    let all_found = async || {
        let mut wanted = lost(&case);
        wanted.gone.clone_from(&gone);
        found.extend(ids(&find(&case, wanted).await));
        found == all
    };
    eventually(&case.env, "each job is found", all_found).await;
}
