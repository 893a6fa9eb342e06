//! Stores whose schedulers and owners are wrong.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Due, DuePage, JobId, JobStore, Owner, OwnerId, OwnerRow, Renewed, Republish, Result,
};

use super::broken_store::StoreFault;
use super::fault::Fault;

/// The faults of this file.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_store::<HandsOutDueTwice>(
        "hands_a_due_job_to_two_schedulers",
        "returns a due job to the next scheduler, too",
        "store::each_due_job_is_returned_to_one_of_many_schedulers",
    ),
    Fault::of_store::<IgnoresTheLimit>(
        "moves_more_due_jobs_than_asked_for",
        "moves all due jobs at once",
        "store::due_moves_no_more_than_it_was_asked_for",
    ),
    Fault::of_store::<ForgetsTheNext>(
        "forgets_when_the_next_job_is_due",
        "does not say when the next job is due",
        "store::due_says_when_the_next_job_is_due",
    ),
    Fault::of_store::<ClosesTheBatchOfDue>(
        "closes_the_batch_of_due_jobs",
        "makes due jobs ready outside an open batch",
        "store::a_due_job_is_in_an_open_batch_until_it_is_confirmed",
    ),
    Fault::of_store::<RunsEarly>(
        "makes_jobs_due_early",
        "makes jobs ready a fifth of a second before their time",
        "ledger::a_delayed_job_is_not_early",
    ),
    Fault::of_store::<NeverLapses>(
        "never_loses_an_owner",
        "lets the lease of an owner last an hour",
        "ledger::a_lapsed_owners_job_goes_to_another_and_its_late_settle_is_stale",
    ),
    Fault::of_store::<LapsesEarly>(
        "loses_an_owner_early",
        "ends the lease of an owner after nine tenths of it",
        "ledger::an_owners_jobs_go_to_another_when_its_lease_ends_and_not_before",
    ),
    Fault::of_store::<RevivesTheRetired>(
        "revives_a_retired_owner",
        "renews the lease of an owner that was retired",
        "ledger::renewing_after_being_retired_is_lost_for_ever",
    ),
    Fault::of_store::<IgnoresRetire>(
        "waits_for_a_retired_owner",
        "leaves the jobs of an owner that was retired until its lease ends",
        "ledger::a_retired_owners_jobs_go_at_once_and_count_a_crash",
    ),
    Fault::of_store::<HidesCancels>(
        "hides_cancels_from_the_owner",
        "does not tell an owner which of its jobs are to be cancelled",
        "ledger::a_running_job_is_reported_to_its_owner_and_cancelled_on_release",
    ),
    Fault::of_store::<MiscountsRuns>(
        "miscounts_what_an_owner_runs",
        "counts one more running job for each owner than there is",
        "ledger::owners_are_listed_with_what_they_run",
    ),
];

#[derive(Debug, Default)]
struct HandsOutDueTwice(Mutex<Vec<Republish>>);

#[async_trait]
impl StoreFault for HandsOutDueTwice {
    async fn due(&self, good: &dyn JobStore, due: Due) -> Result<DuePage> {
        let mut page = good.due(due).await?;
        let mut last = self.0.lock().expect("nobody panics with it");
        let before = std::mem::replace(&mut *last, page.jobs.clone());
        page.moved += u64::try_from(before.len()).unwrap_or(u64::MAX);
        page.jobs.extend(before);
        Ok(page)
    }
}

#[derive(Debug, Default)]
struct IgnoresTheLimit;

#[async_trait]
impl StoreFault for IgnoresTheLimit {
    async fn due(&self, good: &dyn JobStore, mut due: Due) -> Result<DuePage> {
        due.max = 1_000_000;
        good.due(due).await
    }
}

#[derive(Debug, Default)]
struct ForgetsTheNext;

#[async_trait]
impl StoreFault for ForgetsTheNext {
    async fn due(&self, good: &dyn JobStore, due: Due) -> Result<DuePage> {
        let mut page = good.due(due).await?;
        page.next = None;
        Ok(page)
    }
}

#[derive(Debug, Default)]
struct ClosesTheBatchOfDue;

#[async_trait]
impl StoreFault for ClosesTheBatchOfDue {
    async fn due(&self, good: &dyn JobStore, due: Due) -> Result<DuePage> {
        let batch = due.publication.as_ref().map(|publication| publication.id);
        let page = good.due(due).await?;
        good.confirm(batch.as_slice()).await?;
        Ok(page)
    }
}

#[derive(Debug, Default)]
struct RunsEarly;

#[async_trait]
impl StoreFault for RunsEarly {
    async fn due(&self, good: &dyn JobStore, mut due: Due) -> Result<DuePage> {
        due.now = due.now + Duration::from_millis(200);
        good.due(due).await
    }
}

/// Renews with another lease and answers as if it were the one that was asked for.
async fn renew_for(
    good: &dyn JobStore,
    owner: &Owner,
    (asked, given): (Duration, Duration),
) -> Result<Renewed> {
    Ok(match good.renew(owner, given).await? {
        Renewed::Held { .. } => Renewed::Held { lease: asked },
        Renewed::Lost => Renewed::Lost,
    })
}

#[derive(Debug, Default)]
struct NeverLapses;

#[async_trait]
impl StoreFault for NeverLapses {
    async fn renew(&self, good: &dyn JobStore, owner: &Owner, lease: Duration) -> Result<Renewed> {
        renew_for(good, owner, (lease, Duration::from_secs(3_600))).await
    }
}

#[derive(Debug, Default)]
struct LapsesEarly;

#[async_trait]
impl StoreFault for LapsesEarly {
    async fn renew(&self, good: &dyn JobStore, owner: &Owner, lease: Duration) -> Result<Renewed> {
        renew_for(good, owner, (lease, lease / 10 * 9)).await
    }
}

#[derive(Debug, Default)]
struct RevivesTheRetired;

#[async_trait]
impl StoreFault for RevivesTheRetired {
    async fn renew(&self, good: &dyn JobStore, owner: &Owner, lease: Duration) -> Result<Renewed> {
        good.renew(owner, lease).await?;
        Ok(Renewed::Held { lease })
    }
}

#[derive(Debug, Default)]
struct IgnoresRetire;

#[async_trait]
impl StoreFault for IgnoresRetire {
    async fn retire(&self, _: &dyn JobStore, _: &[OwnerId]) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct HidesCancels;

#[async_trait]
impl StoreFault for HidesCancels {
    async fn owners(
        &self,
        good: &dyn JobStore,
        _: Option<OwnerId>,
    ) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        good.owners(None).await
    }
}

#[derive(Debug, Default)]
struct MiscountsRuns;

#[async_trait]
impl StoreFault for MiscountsRuns {
    async fn owners(
        &self,
        good: &dyn JobStore,
        cancels_of: Option<OwnerId>,
    ) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        let (mut rows, cancels) = good.owners(cancels_of).await?;
        for row in &mut rows {
            row.running += 1;
        }
        Ok((rows, cancels))
    }
}
