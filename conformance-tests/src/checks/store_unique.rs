//! Unique keys in a store: for how long, and for whom.

use std::time::Duration;

use bananas_core::{Alteration, Job, JobState, QueueName, Recorded, Unique};

use crate::case::{HOUR, StoreCase};
use crate::check::checks;
use crate::outcomes::{fatal, retry, success};
use crate::patience::eventually;

checks!(StoreCase:
    a_key_is_held_for_its_time_whatever_becomes_of_its_job,
    a_key_is_free_for_every_client_after_its_time_and_not_before,
    a_key_is_held_on_its_queue_alone,
    the_holder_of_a_key_recorded_again_is_the_same_job,
    a_key_without_time_holds_nobody_up,
);

fn keyed(case: &StoreCase, key: &str, lasts: Duration) -> Job {
    let mut job = case.job();
    let key = key.to_owned();
    job.unique = Some(Unique { key, lasts });
    job
}

/// Proves S2, S11.
async fn a_key_is_held_for_its_time_whatever_becomes_of_its_job(case: StoreCase) {
    let there = case.there().await;
    let owner = case.owner().await.id;
    let retried = retry(&case.env, 1, HOUR);
    let ends = [
        Some(success()),
        Some(fatal(&case.env, 1)),
        Some(retried),
        None,
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let key = format!("key {n}");
        let holder = keyed(&case, &key, HOUR);
        case.here().record(case.new_record(&holder)).await;
        let is_held = async |when: &str| {
            let record = case.new_record(&keyed(&case, &key, HOUR));
            let answer = there.clone().record(record).await;
            assert_eq!(answer, Recorded::Duplicate(holder.id), "{when}");
        };
        is_held("while it waits").await;
        let Some(end) = end else {
            case.here().alter(holder.id, Alteration::Cancel).await;
            case.here().alter(holder.id, Alteration::Drop).await;
            assert!(case.find(holder.id).await.is_none());
            is_held("after it was dropped").await;
            continue;
        };
        let epoch = case.start(&holder, owner).await;
        is_held("while it runs").await;
        case.here().settle(holder.clone(), epoch, end).await;
        is_held("after its run").await;
        case.here().prune(case.prune_all()).await;
        is_held("after a prune").await;
    }
}

/// Proves S11.
async fn a_key_is_free_for_every_client_after_its_time_and_not_before(case: StoreCase) {
    let there = case.there().await;
    let lasts = Duration::from_millis(500);
    let before = case.env.now();
    let first = keyed(&case, "key", lasts);
    case.here().record(case.new_record(&first)).await;
    let mut second = keyed(&case, "key", HOUR);
    let free = async || {
        second.id = case.env.job_id();
        let record = case.new_record(&second);
        let answer = there.clone().record(record).await;
        let held = answer == Recorded::Duplicate(first.id);
        assert!(held || answer == Recorded::New, "{answer:?}");
        !held
    };
    eventually(&case.env, "the key is free", free).await;
    let held_for = case.env.now().since(before);
    assert!(held_for >= lasts, "it was free after {held_for:?}");
    let record = case.new_record(&keyed(&case, "key", HOUR));
    let answer = case.here().record(record).await;
    assert_eq!(
        answer,
        Recorded::Duplicate(second.id),
        "the next one has it"
    );
    assert_eq!(case.state_of(first.id).await, JobState::Ready);
}

/// Proves S11.
async fn a_key_is_held_on_its_queue_alone(case: StoreCase) {
    let mut jobs = [1, 2, 3].map(|_| keyed(&case, "key", HOUR));
    jobs[1].queue = QueueName::new("jobs.other").unwrap();
    // No pair of queue and key may be taken for another.
    jobs[2].queue = QueueName::new("jobs.other").unwrap();
    jobs[2].unique.as_mut().unwrap().key = ".key".to_owned();
    let records = jobs.iter().map(|job| case.new_record(job)).collect();
    for answer in case.store.jobs().record(records, None).await {
        assert_eq!(answer.unwrap(), Recorded::New);
    }
}

/// Proves S11.
async fn the_holder_of_a_key_recorded_again_is_the_same_job(case: StoreCase) {
    let there = case.there().await;
    let mut holder = keyed(&case, "key", Duration::ZERO);
    case.here().record(case.new_record(&holder)).await;
    let next = keyed(&case, "key", HOUR);
    case.here().record(case.new_record(&next)).await;
    let before = case.found(holder.id).await;
    // A retry of the enqueue: the same id, though the key has passed to another.
    for key in ["key", "another"] {
        let key = key.to_owned();
        holder.unique = Some(Unique { key, lasts: HOUR });
        let answer = there.clone().record(case.new_record(&holder)).await;
        assert_eq!(answer, Recorded::Duplicate(holder.id));
    }
    assert_eq!(case.found(holder.id).await, before);
    let another = keyed(&case, "another", HOUR);
    let answer = case.here().record(case.new_record(&another)).await;
    assert_eq!(answer, Recorded::New, "the retry took no key");
}

/// Proves S11.
async fn a_key_without_time_holds_nobody_up(case: StoreCase) {
    for _ in 0..3 {
        let record = case.new_record(&keyed(&case, "key", Duration::ZERO));
        assert_eq!(case.here().record(record).await, Recorded::New);
    }
}
