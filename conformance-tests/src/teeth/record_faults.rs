//! Stores that record and publish wrongly.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bananas_core::{
    BatchId, DuePage, JobStore, Lost, NewRecord, Publication, QueueName, Recorded, Result,
};

use super::broken_store::StoreFault;
use super::fault::Fault;

/// The faults of this file.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_store::<ForgetsRecords>(
        "forgets_a_record_it_has_confirmed",
        "answers `New` to every fifth record and forgets it",
        "store::what_was_recorded_is_found_at_once_by_another_client",
    ),
    Fault::of_store::<NeverSaysDuplicate>(
        "takes_a_duplicate_for_new",
        "answers `New` to a record that it has already",
        "store::the_same_id_recorded_by_two_clients_at_once_is_one_record",
    ),
    Fault::of_store::<IgnoresUniqueKeys>(
        "ignores_unique_keys",
        "records a second job with a unique key",
        "store::a_unique_key_recorded_twice_in_one_batch_is_one_record",
    ),
    Fault::of_store::<OpensNoBatch>(
        "opens_no_batch_for_a_record",
        "records jobs and not the batch in which they are published",
        "store::a_batch_is_open_until_it_is_confirmed_and_confirming_twice_is_fine",
    ),
    Fault::of_store::<ConfirmsForeignBatches>(
        "confirms_a_foreign_batch",
        "closes all open batches when one is confirmed",
        "store::a_batch_is_open_until_it_is_confirmed_and_confirming_twice_is_fine",
    ),
    Fault::of_store::<ConfirmsNothing>(
        "keeps_a_confirmed_batch_open",
        "leaves a batch open that was confirmed",
        "store::a_batch_is_open_until_it_is_confirmed_and_confirming_twice_is_fine",
    ),
    Fault::of_store::<LosesByAge>(
        "takes_a_long_backlog_for_a_loss",
        "publishes jobs of closed batches again without evidence that they are lost",
        "store::a_closed_batch_is_lost_only_with_evidence",
    ),
    Fault::of_store::<IgnoresEvidence>(
        "ignores_that_a_broker_lost_its_data",
        "leaves the jobs of closed batches where a queue has lost its data",
        "store::a_closed_batch_is_lost_only_with_evidence",
    ),
    Fault::of_store::<IgnoresTheGone>(
        "ignores_that_a_publisher_is_gone",
        "waits for a batch to be confirmed whose publisher is gone",
        "store::an_open_batch_is_lost_when_its_publisher_is_gone",
    ),
    Fault::of_store::<LosesOpenBatchesEarly>(
        "gives_up_an_open_batch_early",
        "publishes the jobs of an open batch again at half its time",
        "store::an_open_batch_is_lost_after_its_time_and_not_before",
    ),
];

#[derive(Debug, Default)]
struct ForgetsRecords(AtomicU64);

#[async_trait]
impl StoreFault for ForgetsRecords {
    async fn record(
        &self,
        good: &dyn JobStore,
        jobs: Vec<NewRecord>,
        publication: Option<Publication>,
    ) -> Vec<Result<Recorded>> {
        let forgotten = |_: &NewRecord| self.0.fetch_add(1, Ordering::Relaxed) % 5 == 4;
        let forgotten: Vec<bool> = jobs.iter().map(forgotten).collect();
        let kept = jobs.into_iter().zip(&forgotten);
        let kept = kept.filter(|(_, forgotten)| !**forgotten);
        let kept = kept.map(|(record, _)| record).collect();
        let mut answers = good.record(kept, publication).await.into_iter();
        let answer = |forgotten| match forgotten {
            true => Some(Ok(Recorded::New)),
            false => answers.next(),
        };
        forgotten.into_iter().filter_map(answer).collect()
    }
}

#[derive(Debug, Default)]
struct NeverSaysDuplicate;

#[async_trait]
impl StoreFault for NeverSaysDuplicate {
    async fn record(
        &self,
        good: &dyn JobStore,
        jobs: Vec<NewRecord>,
        publication: Option<Publication>,
    ) -> Vec<Result<Recorded>> {
        let answers = good.record(jobs, publication).await;
        let new = |answer: Result<Recorded>| answer.map(|_| Recorded::New);
        answers.into_iter().map(new).collect()
    }
}

#[derive(Debug, Default)]
struct IgnoresUniqueKeys;

#[async_trait]
impl StoreFault for IgnoresUniqueKeys {
    async fn record(
        &self,
        good: &dyn JobStore,
        mut jobs: Vec<NewRecord>,
        publication: Option<Publication>,
    ) -> Vec<Result<Recorded>> {
        for job in &mut jobs {
            job.unique = None;
        }
        good.record(jobs, publication).await
    }
}

#[derive(Debug, Default)]
struct OpensNoBatch;

#[async_trait]
impl StoreFault for OpensNoBatch {
    async fn record(
        &self,
        good: &dyn JobStore,
        jobs: Vec<NewRecord>,
        _: Option<Publication>,
    ) -> Vec<Result<Recorded>> {
        good.record(jobs, None).await
    }
}

#[derive(Debug, Default)]
struct ConfirmsForeignBatches;

#[async_trait]
impl StoreFault for ConfirmsForeignBatches {
    async fn confirm(&self, good: &dyn JobStore, _: &[BatchId]) -> Result<()> {
        let open = good.open_batches().await?;
        let all: Vec<BatchId> = open.iter().map(|batch| batch.id).collect();
        good.confirm(&all).await
    }
}

#[derive(Debug, Default)]
struct ConfirmsNothing;

#[async_trait]
impl StoreFault for ConfirmsNothing {
    async fn confirm(&self, _: &dyn JobStore, _: &[BatchId]) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct LosesByAge;

#[async_trait]
impl StoreFault for LosesByAge {
    async fn lost(&self, good: &dyn JobStore, mut lost: Lost) -> Result<DuePage> {
        lost.evidence.push(QueueName::new("jobs")?);
        good.lost(lost).await
    }
}

#[derive(Debug, Default)]
struct IgnoresEvidence;

#[async_trait]
impl StoreFault for IgnoresEvidence {
    async fn lost(&self, good: &dyn JobStore, mut lost: Lost) -> Result<DuePage> {
        lost.evidence.clear();
        good.lost(lost).await
    }
}

#[derive(Debug, Default)]
struct IgnoresTheGone;

#[async_trait]
impl StoreFault for IgnoresTheGone {
    async fn lost(&self, good: &dyn JobStore, mut lost: Lost) -> Result<DuePage> {
        lost.gone.clear();
        good.lost(lost).await
    }
}

#[derive(Debug, Default)]
struct LosesOpenBatchesEarly;

#[async_trait]
impl StoreFault for LosesOpenBatchesEarly {
    async fn lost(&self, good: &dyn JobStore, mut lost: Lost) -> Result<DuePage> {
        lost.open_for /= 2;
        good.lost(lost).await
    }
}
