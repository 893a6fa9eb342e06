//! Publication batches in a store.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{BatchId, DuePage, Lost, QueueName};

use crate::case::StoreCase;
use crate::check::checks;

checks!(StoreCase:
    a_batch_is_open_until_it_is_confirmed_and_confirming_twice_is_fine,
    a_closed_batch_is_lost_only_with_evidence,
    an_open_batch_is_lost_when_its_publisher_is_gone,
    an_open_batch_is_lost_after_its_time_and_not_before,
    what_is_lost_is_found_page_by_page_and_each_job_once,
);

const LONG: Duration = Duration::from_secs(3_600);

fn lost(case: &StoreCase) -> Lost {
    Lost {
        now: case.env.now(),
        open_for: LONG,
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
