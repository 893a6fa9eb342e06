//! The life of jobs: each operation under the contract's name.

use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    BatchId, ClaimAnswer, ClaimRequest, Due, DuePage, Error as Seen, JobId, JobSettle, JobSettled,
    JobStore, Lost, NewRecord, Owner, OwnerId, OwnerRow, Publication, Recorded, Renewed, Result,
};

use super::owners::Death;
use super::{RedisStore, claim, due, lost, owners, record, settle};
use crate::error::Error;

/// An error of an operation, as callers see it.
pub(super) fn during(operation: &'static str) -> impl Fn(Error) -> Seen {
    move |e| Seen::from(e).during(operation)
}

#[async_trait]
impl JobStore for RedisStore {
    async fn record(
        &self,
        jobs: Vec<NewRecord>,
        publication: Option<Publication>,
    ) -> Vec<Result<Recorded>> {
        record::record(&self.shared, jobs, publication.as_ref()).await
    }

    async fn confirm(&self, batches: &[BatchId]) -> Result<()> {
        self.shared.wire().check_open()?;
        lost::confirm(&self.shared, batches)
            .await
            .map_err(during("confirm"))
    }

    async fn claim(&self, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        claim::claim(&self.shared, request).await
    }

    async fn settle(&self, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        settle::settle(&self.shared, batch).await
    }

    async fn due(&self, due: Due) -> Result<DuePage> {
        due::due(&self.shared, &due).await.map_err(during("due"))
    }

    async fn lost(&self, lost: Lost) -> Result<DuePage> {
        lost::lost(&self.shared, &lost)
            .await
            .map_err(during("lost"))
    }

    async fn open_batches(&self) -> Result<Vec<Publication>> {
        lost::open_batches(&self.shared)
            .await
            .map_err(during("open batches"))
    }

    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed> {
        owners::renew(&self.shared, owner, lease)
            .await
            .map_err(during("renew"))
    }

    async fn owners(&self, cancels_of: Option<OwnerId>) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        owners::list(&self.shared, cancels_of)
            .await
            .map_err(during("owners"))
    }

    async fn retire(&self, owners: &[OwnerId]) -> Result<()> {
        self.shared.wire().check_open()?;
        owners::retire(&self.shared, Death::All, owners)
            .await
            .map_err(during("retire"))
    }
}
