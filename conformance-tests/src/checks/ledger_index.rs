//! Looking at jobs, and forgetting them.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bananas_core::{
    Alteration, Chore, JobFilter, JobId, JobState, QueueName, Tag, Tags, TaskName, Track,
};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::outcomes::{fatal, release, release_for, retry, success};
use crate::patience::{DEADLINE, Patience, eventually};

checks!(LedgerCase:
    counts_are_exact_after_a_mixed_life,
    paging_visits_every_job_once_while_others_are_added,
    a_filter_finds_what_it_names_and_nothing_else,
    tags_travel_with_the_job,
    an_unknown_job_is_not_found,
    prune_forgets_only_what_ended_before,
    watch_wakes_on_a_change_by_another_client,
    watch_ends_after_its_wait,
);

const HOUR: Duration = Duration::from_secs(3_600);

/// Proves S62.
async fn counts_are_exact_after_a_mixed_life(case: LedgerCase) {
    let mut worker = case.worker().await;
    let mut expired = case.job();
    expired.expires_at = Some(case.env.now());
    case.enqueue(expired).await;
    case.assert_drained(&mut worker).await;
    case.enqueue_all(case.jobs(10)).await;
    let claimed = worker.take(10).await;
    worker.succeed(&claimed[..2]).await;
    worker.settle(&claimed[2], retry(&case.env, 1, HOUR)).await;
    worker.settle(&claimed[3], fatal(&case.env, 1)).await;
    worker
        .settle(&claimed[4], release_for(&case.env, HOUR, "later"))
        .await;
    case.alter(claimed[5].job.id, Alteration::Cancel).await;
    worker.settle(&claimed[5], release()).await;
    let mut delayed = case.job();
    delayed.run_at = Some(case.env.now() + HOUR);
    case.enqueue(delayed).await;
    case.enqueue_all(case.jobs(3)).await;
    let dropped = case.enqueue(case.job()).await;
    case.alter(dropped, Alteration::Cancel).await;
    case.alter(dropped, Alteration::Drop).await;
    let counts: BTreeMap<&str, u64> = case
        .index()
        .counts()
        .await
        .unwrap()
        .iter()
        .filter(|count| count.queue == case.queue)
        .map(|count| (count.state.as_str(), count.jobs))
        .collect();
    // The one that succeeded beside the two is the last job of `assert_drained`.
    let expected = BTreeMap::from([
        ("cancelled", 1),
        ("dead", 1),
        ("expired", 1),
        ("ready", 3),
        ("retrying", 1),
        ("running", 4),
        ("scheduled", 2),
        ("succeeded", 3),
    ]);
    assert_eq!(counts, expected);
}

/// Proves S61.
async fn paging_visits_every_job_once_while_others_are_added(case: LedgerCase) {
    let all: HashSet<JobId> = case.enqueue_all(case.jobs(60)).await.into_iter().collect();
    let mut seen: Vec<JobId> = Vec::new();
    let mut cursor = None;
    loop {
        let page = case
            .index()
            .query(&JobFilter::default(), cursor, 7)
            .await
            .unwrap();
        assert!(page.jobs.len() <= 7);
        seen.extend(page.jobs.iter().map(|job| job.id));
        case.enqueue_all(case.jobs(5)).await;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        assert!(seen.len() < 1_000, "the pages never end");
    }
    let different: HashSet<JobId> = seen.iter().copied().collect();
    assert_eq!(different.len(), seen.len(), "a job was visited twice");
    assert!(different.is_superset(&all), "a job was left out");
}

/// Proves S61.
async fn a_filter_finds_what_it_names_and_nothing_else(case: LedgerCase) {
    let queue = QueueName::new("jobs.other").unwrap();
    let task = TaskName::new("another.task").unwrap();
    case.ledger
        .ensure(std::slice::from_ref(&queue))
        .await
        .unwrap();
    let mut jobs = case.jobs(4);
    jobs[1].queue = queue.clone();
    jobs[2].task = task.clone();
    jobs[3].run_at = Some(case.env.now() + HOUR);
    let ids = case.enqueue_all(jobs).await;
    let find = async |filter: JobFilter| {
        let page = case.index().query(&filter, None, 100).await.unwrap();
        page.jobs
            .iter()
            .map(|job| job.id)
            .collect::<HashSet<JobId>>()
    };
    let mut by_queue = JobFilter::default();
    by_queue.queue = Some(queue);
    let mut by_task = JobFilter::default();
    by_task.task = Some(task);
    let mut by_state = JobFilter::default();
    by_state.states = vec![JobState::Scheduled, JobState::Dead];
    let mut by_both = by_state.clone();
    by_both.queue.clone_from(&by_queue.queue);
    assert_eq!(
        find(JobFilter::default()).await,
        ids.iter().copied().collect()
    );
    assert_eq!(find(by_queue).await, HashSet::from([ids[1]]));
    assert_eq!(find(by_task).await, HashSet::from([ids[2]]));
    assert_eq!(find(by_state).await, HashSet::from([ids[3]]));
    assert_eq!(find(by_both).await, HashSet::new());
}

/// Proves S66.
async fn tags_travel_with_the_job(case: LedgerCase) {
    let mut worker = case.worker().await;
    for track in [Track::Full, Track::Outcome] {
        let mut job = case.job();
        job.track = track;
        job.tags = Tags::of(["mail", track.as_str()]).unwrap();
        let tags = job.tags.clone();
        case.enqueue(job).await;
        let claimed = worker.one().await;
        assert_eq!(claimed.job.tags, tags);
        worker.succeed(std::slice::from_ref(&claimed)).await;
        let mut filter = JobFilter::default();
        filter.tags = vec![Tag::new(track.as_str()).unwrap()];
        let page = case.index().query(&filter, None, 10).await.unwrap();
        assert_eq!(page.jobs.len(), 1, "{page:?}");
        assert_eq!(
            (page.jobs[0].id, &page.jobs[0].tags),
            (claimed.job.id, &tags)
        );
    }
}

/// Proves S60.
async fn an_unknown_job_is_not_found(case: LedgerCase) {
    let known = case.enqueue(case.job()).await;
    let ids = [case.env.job_id(), known, case.env.job_id(), known];
    let found = case.index().get(&ids).await.unwrap();
    let found: Vec<Option<JobId>> = found
        .iter()
        .map(|job| job.as_ref().map(|job| job.id))
        .collect();
    assert_eq!(found, [None, Some(known), None, Some(known)]);
}

/// Proves S65.
async fn prune_forgets_only_what_ended_before(case: LedgerCase) {
    let mut worker = case.worker().await;
    case.enqueue_all(case.jobs(4)).await;
    let claimed = worker.take(4).await;
    let [succeeded, dead, retrying, running] = [0, 1, 2, 3].map(|n: usize| claimed[n].job.id);
    worker.settle(&claimed[0], success()).await;
    worker.settle(&claimed[1], fatal(&case.env, 1)).await;
    worker.settle(&claimed[2], retry(&case.env, 1, HOUR)).await;
    let ready = case.enqueue(case.job()).await;
    let prune = async |finished, dead| {
        let chore = Chore::Prune { finished, dead };
        case.ledger.tend(chore).await.unwrap().jobs
    };
    assert_eq!(prune(HOUR, HOUR).await, 0, "nothing ended an hour ago");
    let mut pruned = 0;
    let gone = async || {
        pruned += prune(Duration::ZERO, HOUR).await;
        case.find(succeeded).await.is_none()
    };
    eventually(&case.env, "what succeeded is forgotten", gone).await;
    assert_eq!(pruned, 1);
    for kept in [dead, retrying, running, ready] {
        assert!(case.find(kept).await.is_some());
    }
    let gone = async || {
        prune(HOUR, Duration::ZERO).await;
        case.find(dead).await.is_none()
    };
    eventually(&case.env, "what is dead is forgotten", gone).await;
    for kept in [retrying, running, ready] {
        assert!(case.find(kept).await.is_some());
    }
}

/// Proves S63.
async fn watch_wakes_on_a_change_by_another_client(case: LedgerCase) {
    let other = case.second_client().await;
    let patience = Patience::new(&case.env);
    // More than one change, since the first may come before the watch has begun.
    let change = async {
        loop {
            case.env.sleep(Duration::from_millis(100)).await;
            other.enqueue(vec![case.job()]).await.remove(0).unwrap();
        }
    };
    let watch = case.index().watch(DEADLINE * 2);
    match futures::future::select(std::pin::pin!(watch), std::pin::pin!(change)).await {
        futures::future::Either::Left((watched, _)) => watched.unwrap(),
        futures::future::Either::Right((never, _)) => never,
    }
    patience.check("the watch woke before its wait was over");
}

/// Proves S63.
async fn watch_ends_after_its_wait(case: LedgerCase) {
    let patience = Patience::new(&case.env);
    case.index().watch(Duration::from_millis(50)).await.unwrap();
    patience.check("the watch ended");
}
