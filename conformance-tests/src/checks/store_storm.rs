//! Many clients that do everything at once, and calls that are dropped on the way.

use std::collections::HashSet;

use bananas_core::{Alteration, Altered, ClaimAnswer, Job, JobSettle, JobSettled, JobState};

use crate::case::{HOUR, StoreCase};
use crate::check::checks;
use crate::impatience::impatiently;
use crate::outcomes::{fatal, retry, success};
use crate::patience::Patience;
use crate::race::all_at_once;
use crate::storm::{Stormer, assert_sound};

checks!(StoreCase:
    after_a_storm_every_record_is_sound_and_the_counts_are_exact,
    a_dropped_claim_strands_no_job,
    a_dropped_settle_is_recorded_whole_or_not_at_all,
    a_dropped_alteration_is_made_whole_or_not_at_all,
);

/// Lets an owner run whatever has not ended, until all has.
async fn run_all(case: &StoreCase) {
    let patience = Patience::new(&case.env);
    let owner = case.owner().await.id;
    loop {
        let page = case.here().due(case.due(Some(case.publication()))).await;
        let open = case.listing().await.into_iter();
        let open: Vec<_> = open
            .filter(|record| !record.standing.state.is_terminal())
            .collect();
        if open.is_empty() {
            return;
        }
        for record in open {
            let mut job = case.job();
            (job.id, job.queue) = (record.id, record.queue);
            let answer = case.here().claim(job.clone(), owner).await;
            if let ClaimAnswer::Run { epoch, .. } = answer {
                let settled = case.here().settle(job, epoch, success()).await;
                assert!(matches!(settled, JobSettled::Settled(_)), "{settled:?}");
            }
        }
        patience.check(&format!("all jobs end; the last page was {page:?}"));
    }
}

/// Proves S1, S2, S30, S40, S62.
async fn after_a_storm_every_record_is_sound_and_the_counts_are_exact(case: StoreCase) {
    let world = crate::storm::World::default();
    let mut stormers = Vec::new();
    for _ in 0..4 {
        let client = case.there().await;
        stormers.push(Stormer::new(&case, client, &world).rage(80));
    }
    let owners = all_at_once(&case.env, stormers).await;
    for record in case.listing().await {
        assert_sound(&record);
    }
    case.assert_counts_are_exact().await;
    for owner in owners {
        case.here().retire(owner).await;
    }
    run_all(&case).await;
    for record in case.listing().await {
        assert_sound(&record);
    }
    case.assert_counts_are_exact().await;
}

/// Proves S2, S30, S56.
async fn a_dropped_claim_strands_no_job(case: StoreCase) {
    let jobs: Vec<Job> = (0..120).map(|_| case.job()).collect();
    case.record(&jobs, None).await;
    let owner = case.owner().await.id;
    for three in jobs.chunks(3) {
        let claims: Vec<(&Job, u32)> = three.iter().map(|job| (job, 1)).collect();
        impatiently(&case.env, case.claim_all(&claims, owner, 10)).await;
    }
    case.here().retire(owner).await;
    run_all(&case).await;
    for job in jobs {
        let found = case.found(job.id).await;
        assert_sound(&found);
        let standing = found.standing;
        assert_eq!(standing.state, JobState::Succeeded);
        // Either it was never claimed, or claimed, taken away and claimed again.
        let life = (standing.epoch, standing.crashes);
        assert!([(1, 0), (3, 1)].contains(&life), "{life:?}");
    }
    case.assert_counts_are_exact().await;
}

/// Proves S2, S40.
async fn a_dropped_settle_is_recorded_whole_or_not_at_all(case: StoreCase) {
    let owner = case.owner().await.id;
    let mut all = Vec::new();
    for _ in 0..40 {
        let mut batch = Vec::new();
        for outcome in [success(), fatal(&case.env, 1), retry(&case.env, 1, HOUR)] {
            let job = case.recorded().await;
            batch.push(JobSettle {
                job: job.reference(),
                epoch: case.start(&job, owner).await,
                outcome,
            });
        }
        impatiently(&case.env, case.store.jobs().settle(batch.clone())).await;
        all.extend(batch);
    }
    let states = [JobState::Succeeded, JobState::Dead, JobState::Retrying];
    let again = case.store.jobs().settle(all.clone()).await;
    for (n, (settle, answer)) in all.iter().zip(again).enumerate() {
        let state = states[n % 3];
        let truths = [
            JobSettled::Settled(state),
            JobSettled::AlreadySettled(state),
        ];
        let answer = answer.unwrap();
        assert!(truths.contains(&answer), "{answer:?} to {settle:?}");
        let found = case.found(settle.job.id).await;
        assert_sound(&found);
        let errors = usize::from(state != JobState::Succeeded);
        assert_eq!((found.standing.state, found.errors.len()), (state, errors));
    }
    case.assert_counts_are_exact().await;
}

/// Proves S2, S64.
async fn a_dropped_alteration_is_made_whole_or_not_at_all(case: StoreCase) {
    let jobs: Vec<Job> = (0..120).map(|_| case.job()).collect();
    case.record(&jobs, None).await;
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    let index = case.store.index();
    for three in ids.chunks(3) {
        impatiently(&case.env, index.alter(three, Alteration::Cancel)).await;
    }
    let again = index.alter(&ids, Alteration::Cancel).await.unwrap();
    let answers: HashSet<String> = again.iter().map(|answer| format!("{answer:?}")).collect();
    let truths = [
        Altered::Done(JobState::Cancelled),
        Altered::Refused(JobState::Cancelled),
    ];
    assert!(again.iter().all(|a| truths.contains(a)), "{answers:?}");
    for record in case.listing().await {
        assert_sound(&record);
        assert_eq!(record.standing.state, JobState::Cancelled);
    }
    case.assert_counts_are_exact().await;
}
