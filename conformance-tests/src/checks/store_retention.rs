//! What a store forgets, and what it keeps.

use bananas_core::{Job, JobState, Prune, Timestamp};

use crate::case::StoreCase;
use crate::check::checks;
use crate::patience::a_later_time;
use crate::race::all_at_once;

checks!(StoreCase:
    prune_spares_whatever_has_not_ended,
    prune_has_a_limit_for_dead_jobs_and_one_for_the_others,
    prune_takes_the_time_at_which_a_job_ended,
    prune_forgets_no_more_than_it_is_asked_for,
    prunes_at_once_count_each_job_once,
);

/// A job in each state.
async fn one_of_each(case: &StoreCase) -> Vec<(JobState, Job)> {
    let mut jobs = Vec::new();
    for state in JobState::ALL {
        jobs.push((state, case.job_in(state).await));
    }
    jobs
}

/// The states of the jobs that are left.
async fn left(case: &StoreCase) -> Vec<JobState> {
    let mut states: Vec<JobState> = case
        .listing()
        .await
        .iter()
        .map(|job| job.standing.state)
        .collect();
    states.sort();
    states
}

/// Proves S65.
async fn prune_spares_whatever_has_not_ended(case: StoreCase) {
    let jobs = one_of_each(&case).await;
    let mut before = case.listing().await;
    before.retain(|job| !job.standing.state.is_terminal());
    assert_eq!(case.here().prune(case.prune_all()).await, 4);
    assert_eq!(case.listing().await, before, "the others are unchanged");
    for (state, job) in jobs {
        assert_eq!(case.find(job.id).await.is_some(), !state.is_terminal());
    }
    assert_eq!(case.here().prune(case.prune_all()).await, 0);
    case.assert_counts_are_exact().await;
}

/// Proves S65.
async fn prune_has_a_limit_for_dead_jobs_and_one_for_the_others(case: StoreCase) {
    use JobState::{Dead, Ready, Retrying, Running, Scheduled};
    one_of_each(&case).await;
    let never = Timestamp::from_micros(0);
    let mut finished = case.prune_all();
    finished.dead_before = never;
    assert_eq!(case.here().prune(finished).await, 3);
    assert_eq!(
        left(&case).await,
        [Scheduled, Ready, Running, Retrying, Dead]
    );
    one_of_each(&case).await;
    let mut dead = case.prune_all();
    dead.finished_before = never;
    assert_eq!(case.here().prune(dead).await, 2);
    assert!(!left(&case).await.contains(&Dead));
    assert_eq!(left(&case).await.len(), 4 + 4 + 3);
}

/// Proves S65.
async fn prune_takes_the_time_at_which_a_job_ended(case: StoreCase) {
    for state in [JobState::Succeeded, JobState::Dead] {
        let mut ends = Vec::new();
        for _ in 0..3 {
            let job = case.job_in(state).await;
            ends.push(case.found(job.id).await.standing.finished_at.unwrap());
            a_later_time(&case.env).await;
        }
        let prune = Prune {
            finished_before: ends[1],
            dead_before: ends[1],
            max: 100,
        };
        assert_eq!(case.here().prune(prune).await, 1, "the first {state} one");
        let mut left: Vec<_> = case.listing().await;
        left.sort_by_key(|job| job.standing.finished_at);
        let left: Vec<_> = left.iter().map(|job| job.standing.finished_at).collect();
        assert_eq!(left, [Some(ends[1]), Some(ends[2])]);
        case.here().prune(case.prune_all()).await;
    }
}

/// Proves S65.
async fn prune_forgets_no_more_than_it_is_asked_for(case: StoreCase) {
    for _ in 0..3 {
        one_of_each(&case).await;
    }
    let mut pruned = Vec::new();
    loop {
        let mut prune = case.prune_all();
        prune.max = 5;
        let forgotten = case.here().prune(prune).await;
        pruned.push(forgotten);
        if forgotten < 5 {
            break;
        }
        case.assert_counts_are_exact().await;
    }
    assert_eq!(pruned, [5, 5, 2]);
    assert_eq!(left(&case).await.len(), 12);
}

/// Proves S2, S65.
async fn prunes_at_once_count_each_job_once(case: StoreCase) {
    let there = case.there().await;
    let jobs: Vec<Job> = (0..60).map(|_| case.job()).collect();
    case.record(&jobs, None).await;
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    let cancel = bananas_core::Alteration::Cancel;
    case.store.index().alter(&ids[..50], cancel).await.unwrap();
    let prunes = (0..8).map(|n| {
        let client = if n % 2 == 0 {
            case.here()
        } else {
            there.clone()
        };
        let mut prune = case.prune_all();
        prune.max = 20;
        client.prune(prune)
    });
    let pruned: u64 = all_at_once(&case.env, prunes).await.into_iter().sum();
    assert_eq!(pruned, 50);
    assert_eq!(case.listing().await.len(), 10);
    case.assert_counts_are_exact().await;
}
