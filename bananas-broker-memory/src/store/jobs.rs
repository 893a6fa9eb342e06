//! [`JobStore`] over the table: the clocks are read, the lock is taken once for a batch.

use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    BatchId, ClaimAnswer, ClaimRequest, Due, DuePage, JobId, JobSettle, JobSettled, JobStore, Lost,
    NewRecord, Owner, OwnerId, OwnerRow, Publication, Recorded, Renewed, Result,
};

use super::MemoryStore;
use super::record::{Clock, check_outcome};

impl MemoryStore {
    pub(super) fn clock(&self) -> Clock {
        let env = &self.memory().env;
        Clock {
            now: env.now(),
            tick: env.monotonic(),
        }
    }

    fn limit(&self) -> usize {
        self.memory().store.max_value
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn record(
        &self,
        jobs: Vec<NewRecord>,
        publication: Option<Publication>,
    ) -> Vec<Result<Recorded>> {
        let (clock, limit) = (self.clock(), self.limit());
        let publication = publication.as_ref();
        self.each(jobs.len(), |table| {
            if let Some(publication) = publication {
                table.batches.open(publication, clock.now);
            }
            jobs.into_iter()
                .map(|job| Ok(table.record(job, publication, clock, limit)?))
                .collect()
        })
    }

    async fn confirm(&self, batches: &[BatchId]) -> Result<()> {
        Ok(self.with(|table| batches.iter().for_each(|batch| table.batches.close(*batch)))?)
    }

    async fn claim(&self, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        let clock = self.clock();
        let items = request.claims.len();
        self.each(items, |table| match table.claims(&request, clock) {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(e) => (0..items).map(|_| Err(e.clone().into())).collect(),
        })
    }

    async fn settle(&self, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        let (clock, limit) = (self.clock(), self.limit());
        self.each(batch.len(), |table| {
            batch
                .into_iter()
                .map(|settle| {
                    check_outcome(&settle.outcome, limit)?;
                    Ok(table.settle(settle, clock.now))
                })
                .collect()
        })
    }

    async fn due(&self, due: Due) -> Result<DuePage> {
        let tick = self.clock().tick;
        Ok(self.with(|table| table.due(&due, tick))?)
    }

    async fn lost(&self, lost: Lost) -> Result<DuePage> {
        Ok(self.with(|table| table.lost(&lost))?)
    }

    async fn open_batches(&self) -> Result<Vec<Publication>> {
        Ok(self.with(|table| table.batches.publications())?)
    }

    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed> {
        let tick = self.clock().tick;
        Ok(self.with(|table| table.index.owners.renew(owner, lease, tick))?)
    }

    async fn owners(&self, cancels_of: Option<OwnerId>) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        let tick = self.clock().tick;
        Ok(self.with(|table| {
            let rows = table.index.owners.rows(tick);
            (rows, table.cancels(cancels_of))
        })?)
    }

    async fn retire(&self, owners: &[OwnerId]) -> Result<()> {
        let tick = self.clock().tick;
        Ok(self.with(|table| {
            for owner in owners {
                table.index.owners.retire(*owner, tick);
            }
        })?)
    }
}
