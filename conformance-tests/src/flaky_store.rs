//! A store around a store that can be out of reach when a worker claims.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    BatchId, BlobStore, Broker, ClaimAnswer, ClaimRequest, Due, DuePage, Env, Error, ErrorKind,
    Fact, JobId, JobIndex, JobSettle, JobSettled, JobStore, Ledger, Lost, NewRecord, Owner,
    OwnerId, OwnerRow, Publication, Recorded, Renewed, Result, StateStore, StoreInfo,
};

/// Refuses claims while it is told to.
#[derive(Debug)]
pub(crate) struct FlakyStore {
    inner: Arc<dyn StateStore>,
    unreachable: AtomicBool,
}

impl FlakyStore {
    pub(crate) fn around(inner: Arc<dyn StateStore>) -> Self {
        Self {
            inner,
            unreachable: AtomicBool::new(false),
        }
    }

    /// From now on claims find no store.
    pub(crate) fn go_away(&self) {
        self.unreachable.store(true, Ordering::Relaxed);
    }

    /// From now on claims are answered again.
    pub(crate) fn come_back(&self) {
        self.unreachable.store(false, Ordering::Relaxed);
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StateStore for FlakyStore {
    fn info(&self) -> &StoreInfo {
        self.inner.info()
    }

    fn jobs(&self) -> &dyn JobStore {
        self
    }

    fn index(&self) -> &dyn JobIndex {
        self.inner.index()
    }

    fn blobs(&self) -> Option<&dyn BlobStore> {
        self.inner.blobs()
    }

    fn fused(
        self: Arc<Self>,
        _broker: &dyn Broker,
        _env: &Arc<dyn Env>,
    ) -> Option<Arc<dyn Ledger>> {
        None
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        self.inner.facts().await
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.inner.close(deadline).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl JobStore for FlakyStore {
    async fn record(
        &self,
        jobs: Vec<NewRecord>,
        publication: Option<Publication>,
    ) -> Vec<Result<Recorded>> {
        self.inner.jobs().record(jobs, publication).await
    }

    async fn confirm(&self, batches: &[BatchId]) -> Result<()> {
        self.inner.jobs().confirm(batches).await
    }

    async fn claim(&self, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        if self.unreachable.load(Ordering::Relaxed) {
            let away = |_| Err(Error::new(ErrorKind::Unreachable, "the store is away"));
            return request.claims.iter().map(away).collect();
        }
        self.inner.jobs().claim(request).await
    }

    async fn settle(&self, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        self.inner.jobs().settle(batch).await
    }

    async fn due(&self, due: Due) -> Result<DuePage> {
        self.inner.jobs().due(due).await
    }

    async fn lost(&self, lost: Lost) -> Result<DuePage> {
        self.inner.jobs().lost(lost).await
    }

    async fn open_batches(&self) -> Result<Vec<Publication>> {
        self.inner.jobs().open_batches().await
    }

    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed> {
        self.inner.jobs().renew(owner, lease).await
    }

    async fn owners(&self, cancels_of: Option<OwnerId>) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        self.inner.jobs().owners(cancels_of).await
    }

    async fn retire(&self, owners: &[OwnerId]) -> Result<()> {
        self.inner.jobs().retire(owners).await
    }
}
