//! Recording jobs in a store.

use std::time::Duration;

use bananas_core::{JobState, Recorded, Unique};

use crate::case::StoreCase;
use crate::check::checks;
use crate::impatience::impatiently;

checks!(StoreCase:
    what_was_recorded_is_found_at_once_by_another_client,
    the_same_id_recorded_by_two_clients_at_once_is_one_record,
    a_unique_key_recorded_twice_in_one_batch_is_one_record,
    a_dropped_record_is_there_whole_or_not_at_all,
    a_duplicate_changes_nothing_of_the_record,
);

/// Proves S10, S60.
async fn what_was_recorded_is_found_at_once_by_another_client(case: StoreCase) {
    let other = case.second_client().await;
    let jobs: Vec<_> = (0..30).map(|_| case.job()).collect();
    case.record(&jobs, Some(&case.publication())).await;
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    let found = other.index().get(&ids).await.unwrap();
    let found: Vec<_> = found.into_iter().flatten().map(|job| job.id).collect();
    assert_eq!(found, ids);
}

/// Proves S10, S11.
async fn the_same_id_recorded_by_two_clients_at_once_is_one_record(case: StoreCase) {
    let other = case.second_client().await;
    for _ in 0..20 {
        let job = case.job();
        let record = || vec![case.new_record(&job)];
        let here = case.store.jobs().record(record(), None);
        let there = other.jobs().record(record(), None);
        let (here, there) = futures::join!(here, there);
        let both = [here, there].map(|mut answers| answers.remove(0).unwrap());
        let new = both
            .iter()
            .filter(|recorded| **recorded == Recorded::New)
            .count();
        assert_eq!(new, 1, "{both:?}");
        assert!(both.contains(&Recorded::Duplicate(job.id)), "{both:?}");
    }
}

/// Proves S3, S11.
async fn a_unique_key_recorded_twice_in_one_batch_is_one_record(case: StoreCase) {
    let mut jobs = [case.job(), case.job(), case.job()];
    for job in &mut jobs[..2] {
        let key = "the key".to_owned();
        let lasts = Duration::from_secs(3_600);
        job.unique = Some(Unique { key, lasts });
    }
    let records = jobs.iter().map(|job| case.new_record(job)).collect();
    let answers = case.store.jobs().record(records, None).await;
    let answers: Vec<Recorded> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    assert_eq!(
        answers,
        [
            Recorded::New,
            Recorded::Duplicate(jobs[0].id),
            Recorded::New
        ]
    );
    let found = case.store.index().get(&[jobs[1].id]).await.unwrap();
    assert_eq!(found, [None]);
}

/// Proves S12, S60.
async fn a_dropped_record_is_there_whole_or_not_at_all(case: StoreCase) {
    let mut jobs = Vec::new();
    for _ in 0..100 {
        let batch = [case.job(), case.job(), case.job()];
        let records = batch.iter().map(|job| case.new_record(job)).collect();
        let publication = Some(case.publication());
        impatiently(&case.env, case.store.jobs().record(records, publication)).await;
        jobs.extend(batch);
    }
    let owner = case.owner().await;
    for job in &jobs {
        let again = case
            .store
            .jobs()
            .record(vec![case.new_record(job)], None)
            .await;
        assert!(again[0].is_ok(), "{again:?}");
        let record = case.found(job.id).await;
        assert_eq!(
            (record.standing.state, record.task),
            (JobState::Ready, job.task.clone())
        );
        let answer = case.claim(job, owner.id, 1).await;
        assert!(
            matches!(answer, bananas_core::ClaimAnswer::Run { .. }),
            "{answer:?}"
        );
    }
}

/// Proves S11.
async fn a_duplicate_changes_nothing_of_the_record(case: StoreCase) {
    let job = case.recorded().await;
    let owner = case.owner().await;
    case.claim(&job, owner.id, 1).await;
    let before = case.found(job.id).await;
    let mut other = job.clone();
    other.run_at = Some(case.env.now() + Duration::from_secs(3_600));
    let recorded = case
        .store
        .jobs()
        .record(vec![case.new_record(&other)], None)
        .await;
    assert_eq!(*recorded[0].as_ref().unwrap(), Recorded::Duplicate(job.id));
    assert_eq!(case.found(job.id).await, before);
}
