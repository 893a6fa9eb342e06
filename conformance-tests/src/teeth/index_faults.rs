//! Stores in which jobs are looked at, altered and forgotten wrongly.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Alteration, Altered, Check, Checked, Cursor, Durability, Env, Fact, Finding, FindingKind,
    JobFilter, JobId, JobIndex, JobPage, JobRecord, JobState, Prune, Result, StateCount,
    StateStore,
};

use super::broken_store::StoreFault;
use super::fault::Fault;

/// The faults of this file.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_store::<BoastsOfItsClass>(
        "boasts_of_its_durability_class",
        "says that more survives than does",
        "store::the_facts_say_what_survives_and_what_to_change",
    ),
    Fault::of_store::<LeavesOutTheUnknown>(
        "leaves_out_unknown_jobs",
        "leaves out of its answer the jobs it does not know",
        "ledger::an_unknown_job_is_not_found",
    ),
    Fault::of_store::<SkipsOneOfAPage>(
        "skips_a_job_between_two_pages",
        "leaves out the last job of each page that has a next one",
        "ledger::paging_visits_every_job_once_while_others_are_added",
    ),
    Fault::of_store::<IgnoresFilters>(
        "ignores_the_filter",
        "answers all jobs, whatever was asked for",
        "ledger::a_filter_finds_what_it_names_and_nothing_else",
    ),
    Fault::of_store::<CountsOneMore>(
        "counts_one_job_too_many",
        "counts one more job in each state than there is",
        "ledger::counts_are_exact_after_a_mixed_life",
    ),
    Fault::of_store::<SleepsThroughChanges>(
        "sleeps_through_a_change",
        "ends a watch when its wait is over, and not before",
        "ledger::watch_wakes_on_a_change_by_another_client",
    ),
    Fault::of_store::<WatchesForEver>(
        "watches_for_ever",
        "does not end a watch without a change",
        "ledger::watch_ends_after_its_wait",
    ),
    Fault::of_store::<IgnoresCancel>(
        "ignores_a_cancel",
        "answers that a job is cancelled and leaves it as it is",
        "ledger::a_cancelled_waiting_job_never_runs",
    ),
    Fault::of_store::<SaysCancelled>(
        "says_a_running_job_is_cancelled",
        "answers that a running job is cancelled already",
        "ledger::a_running_job_is_reported_to_its_owner_and_cancelled_on_release",
    ),
    Fault::of_store::<DropsTheLiving>(
        "drops_a_live_job",
        "forgets a job that has not ended when it is to be dropped",
        "ledger::only_an_ended_job_can_be_dropped",
    ),
    Fault::of_store::<ChecksOnePage>(
        "checks_one_page_only",
        "ends a check after its first page",
        "store::a_check_goes_on_page_by_page",
    ),
    Fault::of_store::<SuspectsTheSound>(
        "suspects_what_is_sound",
        "finds something wrong in every store",
        "store::a_check_reads_every_job_and_finds_nothing_wrong_in_a_sound_store",
    ),
    Fault::of_store::<RepairsTheSound>(
        "repairs_what_is_sound",
        "cancels the newest job that has not ended when a check may repair",
        "store::a_check_that_may_repair_leaves_a_sound_store_as_it_is",
    ),
    Fault::of_store::<PrunesTheLiving>(
        "prunes_a_live_job",
        "forgets the newest job that has not ended with those that have",
        "ledger::prune_forgets_only_what_ended_before",
    ),
    Fault::of_store::<PrunesEarly>(
        "prunes_too_early",
        "forgets jobs two hours before it was asked to",
        "ledger::prune_forgets_only_what_ended_before",
    ),
    Fault::of_store::<PrunesTheDead>(
        "prunes_dead_jobs_like_finished_ones",
        "forgets dead jobs as early as those that succeeded",
        "ledger::prune_forgets_only_what_ended_before",
    ),
];

#[derive(Debug, Default)]
struct LeavesOutTheUnknown;

#[async_trait]
impl StoreFault for LeavesOutTheUnknown {
    async fn get(&self, good: &dyn JobIndex, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>> {
        let mut found = good.get(ids).await?;
        if found.len() > 1 {
            found.retain(Option::is_some);
        }
        Ok(found)
    }
}

#[derive(Debug, Default)]
struct SkipsOneOfAPage;

#[async_trait]
impl StoreFault for SkipsOneOfAPage {
    async fn query(
        &self,
        good: &dyn JobIndex,
        filter: &JobFilter,
        (after, max): (Option<Cursor>, usize),
    ) -> Result<JobPage> {
        let mut page = good.query(filter, after, max).await?;
        if page.next.is_some() {
            page.jobs.pop();
        }
        Ok(page)
    }
}

#[derive(Debug, Default)]
struct IgnoresFilters;

#[async_trait]
impl StoreFault for IgnoresFilters {
    async fn query(
        &self,
        good: &dyn JobIndex,
        _: &JobFilter,
        (after, max): (Option<Cursor>, usize),
    ) -> Result<JobPage> {
        good.query(&JobFilter::default(), after, max).await
    }
}

#[derive(Debug, Default)]
struct CountsOneMore;

#[async_trait]
impl StoreFault for CountsOneMore {
    async fn counts(&self, good: &dyn JobIndex) -> Result<Vec<StateCount>> {
        let mut counts = good.counts().await?;
        for count in &mut counts {
            count.jobs += 1;
        }
        Ok(counts)
    }
}

#[derive(Debug, Default)]
struct SleepsThroughChanges;

#[async_trait]
impl StoreFault for SleepsThroughChanges {
    async fn watch(&self, _: &dyn JobIndex, env: &dyn Env, wait: Duration) -> Result<()> {
        env.sleep(wait).await;
        Ok(())
    }
}

#[derive(Debug, Default)]
struct WatchesForEver;

#[async_trait]
impl StoreFault for WatchesForEver {
    async fn watch(&self, good: &dyn JobIndex, _: &dyn Env, _: Duration) -> Result<()> {
        good.watch(Duration::from_secs(100_000)).await
    }
}

#[derive(Debug, Default)]
struct IgnoresCancel;

#[async_trait]
impl StoreFault for IgnoresCancel {
    async fn alter(
        &self,
        good: &dyn JobIndex,
        ids: &[JobId],
        alteration: Alteration,
    ) -> Result<Vec<Altered>> {
        match alteration {
            Alteration::Cancel => Ok(vec![Altered::Done(JobState::Cancelled); ids.len()]),
            other => good.alter(ids, other).await,
        }
    }
}

#[derive(Debug, Default)]
struct SaysCancelled;

#[async_trait]
impl StoreFault for SaysCancelled {
    async fn alter(
        &self,
        good: &dyn JobIndex,
        ids: &[JobId],
        alteration: Alteration,
    ) -> Result<Vec<Altered>> {
        let mut answers = good.alter(ids, alteration).await?;
        for answer in &mut answers {
            if *answer == Altered::Requested {
                *answer = Altered::Done(JobState::Cancelled);
            }
        }
        Ok(answers)
    }
}

/// Jobs that can no more be found.
#[derive(Debug, Default)]
struct Hidden(Mutex<HashSet<JobId>>);

impl Hidden {
    fn hide(&self, id: JobId) {
        self.0.lock().expect("nobody panics with it").insert(id);
    }

    async fn get(&self, good: &dyn JobIndex, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>> {
        let mut found = good.get(ids).await?;
        let hidden = self.0.lock().expect("nobody panics with it");
        for record in &mut found {
            if record.as_ref().is_some_and(|job| hidden.contains(&job.id)) {
                *record = None;
            }
        }
        Ok(found)
    }
}

#[derive(Debug, Default)]
struct DropsTheLiving(Hidden);

#[async_trait]
impl StoreFault for DropsTheLiving {
    async fn get(&self, good: &dyn JobIndex, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>> {
        self.0.get(good, ids).await
    }

    async fn alter(
        &self,
        good: &dyn JobIndex,
        ids: &[JobId],
        alteration: Alteration,
    ) -> Result<Vec<Altered>> {
        let mut answers = good.alter(ids, alteration).await?;
        if alteration == Alteration::Drop {
            for (id, answer) in ids.iter().zip(&mut answers) {
                if matches!(answer, Altered::Refused(_)) {
                    self.0.hide(*id);
                    *answer = Altered::Dropped;
                }
            }
        }
        Ok(answers)
    }
}

#[derive(Debug, Default)]
struct PrunesTheLiving(Hidden);

#[async_trait]
impl StoreFault for PrunesTheLiving {
    async fn get(&self, good: &dyn JobIndex, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>> {
        self.0.get(good, ids).await
    }

    async fn prune(&self, good: &dyn JobIndex, prune: Prune) -> Result<u64> {
        let page = good.query(&JobFilter::default(), None, 1_000).await?;
        let alive = |job: &&JobRecord| !job.standing.state.is_terminal();
        if let Some(job) = page.jobs.iter().find(alive) {
            self.0.hide(job.id);
        }
        good.prune(prune).await
    }
}

#[derive(Debug, Default)]
struct PrunesEarly;

#[async_trait]
impl StoreFault for PrunesEarly {
    async fn prune(&self, good: &dyn JobIndex, mut prune: Prune) -> Result<u64> {
        prune.finished_before = prune.finished_before + Duration::from_secs(2 * 3_600);
        good.prune(prune).await
    }
}

#[derive(Debug, Default)]
struct ChecksOnePage;

#[async_trait]
impl StoreFault for ChecksOnePage {
    async fn check(&self, good: &dyn JobIndex, check: Check) -> Result<Checked> {
        let mut page = good.check(check).await?;
        page.next = None;
        Ok(page)
    }
}

#[derive(Debug, Default)]
struct SuspectsTheSound;

#[async_trait]
impl StoreFault for SuspectsTheSound {
    async fn check(&self, good: &dyn JobIndex, check: Check) -> Result<Checked> {
        let mut page = good.check(check).await?;
        page.findings.push(Finding {
            kind: FindingKind::Count,
            job: None,
            queue: None,
            detail: "a ghost".to_owned(),
            repaired: false,
        });
        Ok(page)
    }
}

#[derive(Debug, Default)]
struct RepairsTheSound;

#[async_trait]
impl StoreFault for RepairsTheSound {
    async fn check(&self, good: &dyn JobIndex, check: Check) -> Result<Checked> {
        let page = good.query(&JobFilter::default(), None, 1_000).await?;
        let waits = |job: &&JobRecord| job.standing.state == JobState::Ready;
        if let Some(job) = page.jobs.iter().find(waits).filter(|_| check.repair) {
            good.alter(&[job.id], Alteration::Cancel).await?;
        }
        good.check(check).await
    }
}

#[derive(Debug, Default)]
struct PrunesTheDead;

#[async_trait]
impl StoreFault for PrunesTheDead {
    async fn prune(&self, good: &dyn JobIndex, mut prune: Prune) -> Result<u64> {
        prune.dead_before = prune.finished_before.max(prune.dead_before);
        good.prune(prune).await
    }
}

#[derive(Debug, Default)]
struct BoastsOfItsClass;

#[async_trait]
impl StoreFault for BoastsOfItsClass {
    async fn facts(&self, _good: &dyn StateStore) -> Result<Vec<Fact>> {
        Ok(vec![Fact::durability(Durability::D4, "")])
    }
}
