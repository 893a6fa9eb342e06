//! Ledgers that are wrong whatever their store does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Accepted, Chore, Claimed, ErrorKind, Job, JobSettled, JobState, Ledger, Outcome, Owner,
    Priority, Renewed, Result, Tended,
};

use super::broken_ledger::{GoodSource, LedgerFault};
use super::fault::Fault;
use super::whole_batch::fail_together;

/// The faults of this file.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_ledger::<OneRefusedFailsAll>(
        "fails_a_batch_for_one_refused_job",
        "refuses the whole batch when it refuses one job",
        "ledger::a_job_too_large_is_refused_with_both_numbers_and_takes_no_neighbour_with_it",
    ),
    Fault::of_ledger::<AcceptsTheTooLarge>(
        "accepts_a_job_that_is_too_large",
        "accepts a job that it cannot store, and forgets it",
        "ledger::a_job_too_large_is_refused_with_both_numbers_and_takes_no_neighbour_with_it",
    ),
    Fault::of_ledger::<NeverSaysDuplicate>(
        "takes_the_same_id_for_a_new_job",
        "does not say that a job was there before",
        "ledger::the_same_id_is_one_job",
    ),
    Fault::of_ledger::<LosesMeta>(
        "loses_the_meta_data",
        "hands a job out without its meta data",
        "ledger::a_job_arrives_as_it_was_enqueued",
    ),
    Fault::of_ledger::<RunsTheIdleFirst>(
        "runs_low_priorities_first",
        "takes the lowest priority for the most urgent",
        "ledger::higher_priorities_come_first",
    ),
    Fault::of_ledger::<HandsOutTwice>(
        "hands_a_job_out_twice",
        "hands every tenth job out a second time",
        "ledger::many_sources_on_two_clients_run_2000_jobs_and_none_twice",
    ),
    Fault::of_ledger::<IgnoresMax>(
        "hands_out_more_jobs_than_asked_for",
        "hands out up to three more jobs than it was asked for",
        "ledger::next_never_returns_more_than_it_was_asked_for",
    ),
    Fault::of_ledger::<IgnoresSuspects>(
        "hands_out_all_suspects",
        "hands out more suspects than are allowed",
        "ledger::at_most_the_allowed_suspects_are_handed_out",
    ),
    Fault::of_ledger::<ReturnsAtOnce>(
        "does_not_wait_for_a_job",
        "returns at once when there is no job",
        "ledger::next_is_empty_after_its_wait_and_not_before",
    ),
    Fault::of_ledger::<LosesWhatADropTook>(
        "loses_what_a_dropped_next_took",
        "claims jobs and then waits a moment before it returns them",
        "ledger::a_dropped_next_loses_nothing",
    ),
    Fault::of_ledger::<StopKeeps>(
        "keeps_at_stop_what_it_has_claimed",
        "claims jobs ahead, and does not give them back when it is stopped",
        "ledger::stop_gives_back_at_once_and_uses_no_attempt",
    ),
    Fault::of_ledger::<CallsEachAttemptTheFirst>(
        "calls_each_attempt_the_first",
        "says of each attempt that it is the first",
        "ledger::a_retry_is_not_early_and_counts_its_attempt",
    ),
    Fault::of_ledger::<SettlesTheStale>(
        "says_settled_to_a_stale_run",
        "answers `Settled` to a run that belongs to the past",
        "ledger::a_lapsed_owners_job_goes_to_another_and_its_late_settle_is_stale",
    ),
    Fault::of_ledger::<NeverLoses>(
        "never_says_that_a_lease_is_lost",
        "answers `Held` to an owner that was retired",
        "ledger::renewing_after_being_retired_is_lost_for_ever",
    ),
    Fault::of_ledger::<NeverRetires>(
        "retires_nobody",
        "leaves an owner its lease that is to be retired",
        "ledger::a_retired_owners_jobs_go_at_once_and_count_a_crash",
    ),
];

#[derive(Debug, Default)]
struct OneRefusedFailsAll;

#[async_trait]
impl LedgerFault for OneRefusedFailsAll {
    async fn enqueue(&self, good: &dyn Ledger, jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        fail_together(good.enqueue(jobs).await)
    }
}

#[derive(Debug, Default)]
struct AcceptsTheTooLarge;

#[async_trait]
impl LedgerFault for AcceptsTheTooLarge {
    async fn enqueue(&self, good: &dyn Ledger, jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
        let answers = good.enqueue(jobs).await.into_iter().zip(ids);
        let accept = |(answer, id): (Result<Accepted>, _)| match answer {
            Err(e) if e.kind() == ErrorKind::TooLarge => Ok(Accepted {
                id,
                duplicate: false,
                published: true,
            }),
            answer => answer,
        };
        answers.map(accept).collect()
    }
}

#[derive(Debug, Default)]
struct NeverSaysDuplicate;

#[async_trait]
impl LedgerFault for NeverSaysDuplicate {
    async fn enqueue(&self, good: &dyn Ledger, jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        let mut answers = good.enqueue(jobs).await;
        for accepted in answers.iter_mut().flatten() {
            accepted.duplicate = false;
        }
        answers
    }
}

#[derive(Debug, Default)]
struct LosesMeta;

#[async_trait]
impl LedgerFault for LosesMeta {
    async fn next(
        &self,
        source: &mut GoodSource,
        (max, suspects): (usize, usize),
        wait: Duration,
    ) -> Result<Vec<Claimed>> {
        let mut claimed = source.good.next(max, suspects, wait).await?;
        for run in &mut claimed {
            Arc::make_mut(&mut run.job).meta.clear();
        }
        Ok(claimed)
    }
}

#[derive(Debug, Default)]
struct RunsTheIdleFirst;

fn reversed(priority: Priority) -> Priority {
    Priority::new(Priority::MAX.get() - priority.get()).expect("it is between the two ends")
}

#[async_trait]
impl LedgerFault for RunsTheIdleFirst {
    async fn enqueue(&self, good: &dyn Ledger, mut jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        for job in &mut jobs {
            job.priority = reversed(job.priority);
        }
        good.enqueue(jobs).await
    }

    async fn next(
        &self,
        source: &mut GoodSource,
        (max, suspects): (usize, usize),
        wait: Duration,
    ) -> Result<Vec<Claimed>> {
        let mut claimed = source.good.next(max, suspects, wait).await?;
        for run in &mut claimed {
            let job = Arc::make_mut(&mut run.job);
            job.priority = reversed(job.priority);
        }
        Ok(claimed)
    }
}

#[derive(Debug, Default)]
struct HandsOutTwice(AtomicU64);

#[async_trait]
impl LedgerFault for HandsOutTwice {
    async fn next(
        &self,
        source: &mut GoodSource,
        (max, suspects): (usize, usize),
        wait: Duration,
    ) -> Result<Vec<Claimed>> {
        let again = source.held.len().min(max);
        if again > 0 {
            return Ok(source.held.drain(..again).collect());
        }
        let claimed = source.good.next(max, suspects, wait).await?;
        for run in &claimed {
            if self.0.fetch_add(1, Ordering::Relaxed) % 10 == 9 {
                source.held.push(run.clone());
            }
        }
        Ok(claimed)
    }
}

#[derive(Debug, Default)]
struct IgnoresMax;

#[async_trait]
impl LedgerFault for IgnoresMax {
    async fn next(
        &self,
        source: &mut GoodSource,
        (max, suspects): (usize, usize),
        wait: Duration,
    ) -> Result<Vec<Claimed>> {
        source.good.next(max + 3, suspects, wait).await
    }
}

#[derive(Debug, Default)]
struct IgnoresSuspects;

#[async_trait]
impl LedgerFault for IgnoresSuspects {
    async fn next(
        &self,
        source: &mut GoodSource,
        (max, _): (usize, usize),
        wait: Duration,
    ) -> Result<Vec<Claimed>> {
        source.good.next(max, max, wait).await
    }
}

#[derive(Debug, Default)]
struct ReturnsAtOnce;

#[async_trait]
impl LedgerFault for ReturnsAtOnce {
    async fn next(
        &self,
        source: &mut GoodSource,
        (max, suspects): (usize, usize),
        _: Duration,
    ) -> Result<Vec<Claimed>> {
        source.good.next(max, suspects, Duration::ZERO).await
    }
}

#[derive(Debug, Default)]
struct LosesWhatADropTook;

#[async_trait]
impl LedgerFault for LosesWhatADropTook {
    async fn next(
        &self,
        source: &mut GoodSource,
        (max, suspects): (usize, usize),
        wait: Duration,
    ) -> Result<Vec<Claimed>> {
        let claimed = source.good.next(max, suspects, wait).await?;
        source.env.sleep(Duration::from_millis(1)).await;
        Ok(claimed)
    }
}

#[derive(Debug, Default)]
struct StopKeeps;

#[async_trait]
impl LedgerFault for StopKeeps {
    async fn next(
        &self,
        source: &mut GoodSource,
        (max, suspects): (usize, usize),
        wait: Duration,
    ) -> Result<Vec<Claimed>> {
        if source.held.is_empty() {
            source.held = source.good.next(max, suspects, wait).await?;
            // As long as an answer is on its way from a server; a drop leaves it in the buffer.
            source.env.sleep(Duration::from_millis(1)).await;
        }
        let given = source.held.len().min(max);
        Ok(source.held.drain(..given).collect())
    }
}

#[derive(Debug, Default)]
struct CallsEachAttemptTheFirst;

#[async_trait]
impl LedgerFault for CallsEachAttemptTheFirst {
    async fn next(
        &self,
        source: &mut GoodSource,
        (max, suspects): (usize, usize),
        wait: Duration,
    ) -> Result<Vec<Claimed>> {
        let mut claimed = source.good.next(max, suspects, wait).await?;
        for run in &mut claimed {
            run.attempt = 1;
        }
        Ok(claimed)
    }
}

#[derive(Debug, Default)]
struct SettlesTheStale;

#[async_trait]
impl LedgerFault for SettlesTheStale {
    async fn settle(
        &self,
        good: &dyn Ledger,
        batch: Vec<(Claimed, Outcome)>,
    ) -> Vec<Result<JobSettled>> {
        let mut answers = good.settle(batch).await;
        for answer in answers.iter_mut().flatten() {
            if matches!(answer, JobSettled::Stale { .. }) {
                *answer = JobSettled::Settled(JobState::Succeeded);
            }
        }
        answers
    }
}

#[derive(Debug, Default)]
struct NeverLoses;

#[async_trait]
impl LedgerFault for NeverLoses {
    async fn renew(&self, good: &dyn Ledger, owner: &Owner, lease: Duration) -> Result<Renewed> {
        good.renew(owner, lease).await?;
        Ok(Renewed::Held { lease })
    }
}

#[derive(Debug, Default)]
struct NeverRetires;

#[async_trait]
impl LedgerFault for NeverRetires {
    async fn tend(&self, good: &dyn Ledger, chore: Chore) -> Result<Tended> {
        match chore {
            Chore::Retire(_) => Ok(Tended::default()),
            other => good.tend(other).await,
        }
    }
}
