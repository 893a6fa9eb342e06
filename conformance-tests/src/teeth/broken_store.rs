//! A store around a good one that does what a fault makes of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Alteration, Altered, BatchId, Blob, BlobId, BlobStore, Broker, Check, Checked, ClaimAnswer,
    ClaimRequest, Cursor, Due, DuePage, Env, Fact, JobFilter, JobId, JobIndex, JobPage, JobRecord,
    JobSettle, JobSettled, JobStore, Ledger, Lost, NewRecord, Owner, OwnerId, OwnerRow, Prune,
    Publication, Recorded, Renewed, Result, StateCount, StateStore, StoreInfo, Timestamp,
};
use bytes::Bytes;

/// What is wrong with a store. Each method is one of the store's, and is right unless the fault says
/// otherwise. All clients of one namespace share one fault.
#[async_trait]
pub(super) trait StoreFault: Send + Sync + fmt::Debug {
    async fn facts(&self, good: &dyn StateStore) -> Result<Vec<Fact>> {
        good.facts().await
    }

    async fn record(
        &self,
        good: &dyn JobStore,
        jobs: Vec<NewRecord>,
        publication: Option<Publication>,
    ) -> Vec<Result<Recorded>> {
        good.record(jobs, publication).await
    }

    async fn confirm(&self, good: &dyn JobStore, batches: &[BatchId]) -> Result<()> {
        good.confirm(batches).await
    }

    async fn claim(&self, good: &dyn JobStore, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        good.claim(request).await
    }

    async fn settle(&self, good: &dyn JobStore, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        good.settle(batch).await
    }

    async fn due(&self, good: &dyn JobStore, due: Due) -> Result<DuePage> {
        good.due(due).await
    }

    async fn lost(&self, good: &dyn JobStore, lost: Lost) -> Result<DuePage> {
        good.lost(lost).await
    }

    async fn open_batches(&self, good: &dyn JobStore) -> Result<Vec<Publication>> {
        good.open_batches().await
    }

    async fn renew(&self, good: &dyn JobStore, owner: &Owner, lease: Duration) -> Result<Renewed> {
        good.renew(owner, lease).await
    }

    async fn owners(
        &self,
        good: &dyn JobStore,
        cancels_of: Option<OwnerId>,
    ) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        good.owners(cancels_of).await
    }

    async fn retire(&self, good: &dyn JobStore, owners: &[OwnerId]) -> Result<()> {
        good.retire(owners).await
    }

    async fn get(&self, good: &dyn JobIndex, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>> {
        good.get(ids).await
    }

    async fn query(
        &self,
        good: &dyn JobIndex,
        filter: &JobFilter,
        (after, max): (Option<Cursor>, usize),
    ) -> Result<JobPage> {
        good.query(filter, after, max).await
    }

    async fn counts(&self, good: &dyn JobIndex) -> Result<Vec<StateCount>> {
        good.counts().await
    }

    async fn watch(&self, good: &dyn JobIndex, env: &dyn Env, wait: Duration) -> Result<()> {
        let _ = env;
        good.watch(wait).await
    }

    async fn alter(
        &self,
        good: &dyn JobIndex,
        ids: &[JobId],
        alteration: Alteration,
    ) -> Result<Vec<Altered>> {
        good.alter(ids, alteration).await
    }

    async fn prune(&self, good: &dyn JobIndex, prune: Prune) -> Result<u64> {
        good.prune(prune).await
    }

    async fn check(&self, good: &dyn JobIndex, check: Check) -> Result<Checked> {
        good.check(check).await
    }

    async fn put_blobs(&self, good: &dyn BlobStore, blobs: Vec<Blob>) -> Vec<Result<()>> {
        good.put(blobs).await
    }

    async fn get_blobs(&self, good: &dyn BlobStore, ids: &[BlobId]) -> Vec<Result<Option<Bytes>>> {
        good.get(ids).await
    }

    async fn delete_blobs(&self, good: &dyn BlobStore, ids: &[BlobId]) -> Result<()> {
        good.delete(ids).await
    }

    async fn list_blobs(
        &self,
        good: &dyn BlobStore,
        made_before: Timestamp,
        (after, max): (Option<BlobId>, usize),
    ) -> Result<Vec<BlobId>> {
        good.list(made_before, after, max).await
    }
}

/// A good store with a fault in it.
#[derive(Debug)]
pub(super) struct BrokenStore {
    env: Arc<dyn Env>,
    good: Arc<dyn StateStore>,
    fault: Arc<dyn StoreFault>,
}

impl BrokenStore {
    pub(super) fn new(
        env: Arc<dyn Env>,
        good: Arc<dyn StateStore>,
        fault: Arc<dyn StoreFault>,
    ) -> Self {
        Self { env, good, fault }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StateStore for BrokenStore {
    fn info(&self) -> &StoreInfo {
        self.good.info()
    }

    fn jobs(&self) -> &dyn JobStore {
        self
    }

    fn index(&self) -> &dyn JobIndex {
        self
    }

    fn blobs(&self) -> Option<&dyn BlobStore> {
        self.good.blobs().is_some().then_some(self)
    }

    fn fused(self: Arc<Self>, _: &dyn Broker, _: &Arc<dyn Env>) -> Option<Arc<dyn Ledger>> {
        None
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        self.fault.facts(self.good.as_ref()).await
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.good.close(deadline).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl JobStore for BrokenStore {
    async fn record(
        &self,
        jobs: Vec<NewRecord>,
        publication: Option<Publication>,
    ) -> Vec<Result<Recorded>> {
        let good = self.good.jobs();
        self.fault.record(good, jobs, publication).await
    }

    async fn confirm(&self, batches: &[BatchId]) -> Result<()> {
        self.fault.confirm(self.good.jobs(), batches).await
    }

    async fn claim(&self, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        self.fault.claim(self.good.jobs(), request).await
    }

    async fn settle(&self, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        self.fault.settle(self.good.jobs(), batch).await
    }

    async fn due(&self, due: Due) -> Result<DuePage> {
        self.fault.due(self.good.jobs(), due).await
    }

    async fn lost(&self, lost: Lost) -> Result<DuePage> {
        self.fault.lost(self.good.jobs(), lost).await
    }

    async fn open_batches(&self) -> Result<Vec<Publication>> {
        self.fault.open_batches(self.good.jobs()).await
    }

    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed> {
        self.fault.renew(self.good.jobs(), owner, lease).await
    }

    async fn owners(&self, cancels_of: Option<OwnerId>) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        self.fault.owners(self.good.jobs(), cancels_of).await
    }

    async fn retire(&self, owners: &[OwnerId]) -> Result<()> {
        self.fault.retire(self.good.jobs(), owners).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl JobIndex for BrokenStore {
    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>> {
        self.fault.get(self.good.index(), ids).await
    }

    async fn query(
        &self,
        filter: &JobFilter,
        after: Option<Cursor>,
        max: usize,
    ) -> Result<JobPage> {
        let page = (after, max);
        self.fault.query(self.good.index(), filter, page).await
    }

    async fn counts(&self) -> Result<Vec<StateCount>> {
        self.fault.counts(self.good.index()).await
    }

    async fn watch(&self, wait: Duration) -> Result<()> {
        let good = self.good.index();
        self.fault.watch(good, self.env.as_ref(), wait).await
    }

    async fn alter(&self, ids: &[JobId], alteration: Alteration) -> Result<Vec<Altered>> {
        self.fault.alter(self.good.index(), ids, alteration).await
    }

    async fn prune(&self, prune: Prune) -> Result<u64> {
        self.fault.prune(self.good.index(), prune).await
    }

    async fn check(&self, check: Check) -> Result<Checked> {
        self.fault.check(self.good.index(), check).await
    }
}

impl BrokenStore {
    fn good_blobs(&self) -> &dyn BlobStore {
        self.good.blobs().expect("a store with blobs")
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for BrokenStore {
    async fn put(&self, blobs: Vec<Blob>) -> Vec<Result<()>> {
        self.fault.put_blobs(self.good_blobs(), blobs).await
    }

    async fn get(&self, ids: &[BlobId]) -> Vec<Result<Option<Bytes>>> {
        self.fault.get_blobs(self.good_blobs(), ids).await
    }

    async fn delete(&self, ids: &[BlobId]) -> Result<()> {
        self.fault.delete_blobs(self.good_blobs(), ids).await
    }

    async fn list(
        &self,
        made_before: Timestamp,
        after: Option<BlobId>,
        max: usize,
    ) -> Result<Vec<BlobId>> {
        let page = (after, max);
        let listed = self.fault.list_blobs(self.good_blobs(), made_before, page);
        listed.await
    }
}
