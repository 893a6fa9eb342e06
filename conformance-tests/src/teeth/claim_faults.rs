//! Stores that claim and settle wrongly.

use async_trait::async_trait;
use bananas_core::{
    ClaimAnswer, ClaimRequest, JobSettle, JobSettled, JobState, JobStore, Outcome, Owner, Result,
    Timestamp,
};
use std::time::Duration;

use super::broken_store::StoreFault;
use super::fault::Fault;

/// The faults of this file.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_store::<ClaimsTwice>(
        "claims_twice",
        "answers `Run` for a job that somebody runs",
        "store::one_of_many_claims_of_a_job_runs_it",
    ),
    Fault::of_store::<ClaimsForAnybody>(
        "claims_for_anybody",
        "lets an owner claim that has no lease",
        "store::a_claim_without_a_lease_is_closed_for_every_item",
    ),
    Fault::of_store::<LetsAllSuspectsRun>(
        "lets_all_suspects_run",
        "answers `Run` for more suspects than are allowed",
        "store::a_batch_of_claims_lets_at_most_the_allowed_suspects_run",
    ),
    Fault::of_store::<HidesCrashes>(
        "counts_no_crash",
        "answers that nobody crashed while running the job",
        "store::a_redelivery_that_proves_the_lease_lost_is_a_crash",
    ),
    Fault::of_store::<DoubtsRedeliveries>(
        "doubts_a_proven_redelivery",
        "answers `Busy` though the redelivery proves that the lease was lost",
        "store::a_redelivery_that_proves_the_lease_lost_is_a_crash",
    ),
    Fault::of_store::<RunsTheUnknown>(
        "runs_a_job_without_a_record",
        "answers `Run` for a job that it does not know",
        "store::a_claim_of_an_unknown_job_is_missing",
    ),
    Fault::of_store::<RunsTheFinished>(
        "runs_a_finished_job",
        "answers `Run` for a job that has ended",
        "store::a_claim_says_what_became_of_the_job",
    ),
    Fault::of_store::<SettlesTheStale>(
        "settles_a_stale_epoch",
        "records the outcome of a run that belongs to the past",
        "ledger::a_lapsed_owners_job_goes_to_another_and_its_late_settle_is_stale",
    ),
    Fault::of_store::<SaysAllSettled>(
        "says_all_of_a_batch_is_settled",
        "answers `Settled` for each item of a batch, whatever became of it",
        "ledger::a_batch_of_ends_is_answered_in_order_each_by_itself",
    ),
    Fault::of_store::<SettlesAgain>(
        "says_settled_twice",
        "answers `Settled` to a run that was settled before",
        "ledger::a_settle_counts_once",
    ),
    Fault::of_store::<CountsNoAttempt>(
        "counts_no_attempt",
        "takes a retry for a release",
        "ledger::a_retry_is_not_early_and_counts_its_attempt",
    ),
    Fault::of_store::<RetriesAtOnce>(
        "retries_at_once",
        "makes a retry due at once, whatever its time",
        "ledger::a_retry_is_not_early_and_counts_its_attempt",
    ),
    Fault::of_store::<LosesResults>(
        "loses_the_result",
        "stores `null` for each result",
        "ledger::one_job_runs_once_and_its_result_is_stored",
    ),
    Fault::of_store::<LosesErrors>(
        "loses_the_error",
        "stores an error without its text",
        "ledger::a_fatal_failure_keeps_the_errors_of_all_attempts",
    ),
];

/// Answers claims with each answer changed.
async fn claim_changed(
    good: &dyn JobStore,
    request: ClaimRequest,
    change: impl Fn(ClaimAnswer) -> ClaimAnswer,
) -> Vec<Result<ClaimAnswer>> {
    let answers = good.claim(request).await;
    let change = |answer: Result<ClaimAnswer>| answer.map(&change);
    answers.into_iter().map(change).collect()
}

/// Settles a batch with each outcome changed first.
async fn settle_changed(
    good: &dyn JobStore,
    mut batch: Vec<JobSettle>,
    change: impl Fn(&mut Outcome),
) -> Vec<Result<JobSettled>> {
    for item in &mut batch {
        change(&mut item.outcome);
    }
    good.settle(batch).await
}

const RUN: ClaimAnswer = ClaimAnswer::Run {
    epoch: 1,
    attempt: 1,
    crashes: 0,
};

#[derive(Debug, Default)]
struct ClaimsTwice;

#[async_trait]
impl StoreFault for ClaimsTwice {
    async fn claim(&self, good: &dyn JobStore, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        let run = |answer| match answer {
            ClaimAnswer::Busy { .. } => RUN,
            answer => answer,
        };
        claim_changed(good, request, run).await
    }
}

#[derive(Debug, Default)]
struct ClaimsForAnybody;

#[async_trait]
impl StoreFault for ClaimsForAnybody {
    async fn claim(&self, good: &dyn JobStore, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        let anybody = Owner {
            id: request.owner,
            host: String::new(),
            boot_id: String::new(),
            pid: 0,
            pid_started: 0,
        };
        drop(good.renew(&anybody, Duration::from_secs(600)).await);
        good.claim(request).await
    }
}

#[derive(Debug, Default)]
struct LetsAllSuspectsRun;

#[async_trait]
impl StoreFault for LetsAllSuspectsRun {
    async fn claim(
        &self,
        good: &dyn JobStore,
        mut request: ClaimRequest,
    ) -> Vec<Result<ClaimAnswer>> {
        request.suspects = usize::MAX;
        good.claim(request).await
    }
}

#[derive(Debug, Default)]
struct HidesCrashes;

#[async_trait]
impl StoreFault for HidesCrashes {
    async fn claim(&self, good: &dyn JobStore, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        let hide = |answer| match answer {
            ClaimAnswer::Run { epoch, attempt, .. } => ClaimAnswer::Run {
                epoch,
                attempt,
                crashes: 0,
            },
            answer => answer,
        };
        claim_changed(good, request, hide).await
    }
}

#[derive(Debug, Default)]
struct DoubtsRedeliveries;

#[async_trait]
impl StoreFault for DoubtsRedeliveries {
    async fn claim(
        &self,
        good: &dyn JobStore,
        mut request: ClaimRequest,
    ) -> Vec<Result<ClaimAnswer>> {
        for claim in &mut request.claims {
            claim.redelivery_proves_lease_lost = false;
        }
        good.claim(request).await
    }
}

#[derive(Debug, Default)]
struct RunsTheUnknown;

#[async_trait]
impl StoreFault for RunsTheUnknown {
    async fn claim(&self, good: &dyn JobStore, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        let run = |answer| match answer {
            ClaimAnswer::Missing => RUN,
            answer => answer,
        };
        claim_changed(good, request, run).await
    }
}

#[derive(Debug, Default)]
struct RunsTheFinished;

#[async_trait]
impl StoreFault for RunsTheFinished {
    async fn claim(&self, good: &dyn JobStore, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        let run = |answer| match answer {
            ClaimAnswer::Finished => RUN,
            answer => answer,
        };
        claim_changed(good, request, run).await
    }
}

#[derive(Debug, Default)]
struct SettlesTheStale;

#[async_trait]
impl StoreFault for SettlesTheStale {
    async fn settle(&self, good: &dyn JobStore, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        let mut answers = Vec::new();
        for mut item in batch {
            let mut answer = good.settle(vec![item.clone()]).await;
            if let Ok(JobSettled::Stale { epoch }) = answer[0] {
                item.epoch = epoch;
                answer = good.settle(vec![item]).await;
            }
            answers.extend(answer);
        }
        answers
    }
}

#[derive(Debug, Default)]
struct SaysAllSettled;

#[async_trait]
impl StoreFault for SaysAllSettled {
    async fn settle(&self, good: &dyn JobStore, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        let settled = |answer: Result<JobSettled>| match answer {
            Ok(JobSettled::Settled(state) | JobSettled::AlreadySettled(state)) => {
                Ok(JobSettled::Settled(state))
            }
            Ok(_) | Err(_) => Ok(JobSettled::Settled(JobState::Succeeded)),
        };
        let answers = good.settle(batch).await;
        answers.into_iter().map(settled).collect()
    }
}

#[derive(Debug, Default)]
struct SettlesAgain;

#[async_trait]
impl StoreFault for SettlesAgain {
    async fn settle(&self, good: &dyn JobStore, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        let again = |answer: Result<JobSettled>| match answer {
            Ok(JobSettled::AlreadySettled(state)) => Ok(JobSettled::Settled(state)),
            answer => answer,
        };
        let answers = good.settle(batch).await;
        answers.into_iter().map(again).collect()
    }
}

#[derive(Debug, Default)]
struct CountsNoAttempt;

#[async_trait]
impl StoreFault for CountsNoAttempt {
    async fn settle(&self, good: &dyn JobStore, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        let release = |outcome: &mut Outcome| {
            if let Outcome::Retry { run_at, .. } = outcome {
                let run_at = Some(*run_at);
                *outcome = Outcome::Release { run_at, note: None };
            }
        };
        settle_changed(good, batch, release).await
    }
}

#[derive(Debug, Default)]
struct RetriesAtOnce;

#[async_trait]
impl StoreFault for RetriesAtOnce {
    async fn settle(&self, good: &dyn JobStore, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        let hurry = |outcome: &mut Outcome| {
            if let Outcome::Retry { run_at, .. } = outcome {
                *run_at = Timestamp::default();
            }
        };
        settle_changed(good, batch, hurry).await
    }
}

#[derive(Debug, Default)]
struct LosesResults;

#[async_trait]
impl StoreFault for LosesResults {
    async fn settle(&self, good: &dyn JobStore, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        let lose = |outcome: &mut Outcome| {
            if let Outcome::Succeeded { result } = outcome {
                *result = "null".into();
            }
        };
        settle_changed(good, batch, lose).await
    }
}

#[derive(Debug, Default)]
struct LosesErrors;

#[async_trait]
impl StoreFault for LosesErrors {
    async fn settle(&self, good: &dyn JobStore, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        let lose = |outcome: &mut Outcome| {
            if let Outcome::Retry { error, .. } | Outcome::Dead { error, .. } = outcome {
                error.message.clear();
            }
        };
        settle_changed(good, batch, lose).await
    }
}
