//! A store around the memory store that breaks one clause.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    BatchId, Broker, ClaimAnswer, ClaimRequest, Due, DuePage, Env, JobId, JobIndex, JobSettle,
    JobSettled, JobStore, Ledger, Lost, NewRecord, Owner, OwnerId, OwnerRow, Publication, Recorded,
    Renewed, Result, StateStore, StoreInfo,
};
use conformance_tests::{Backend, VirtualStore};

use crate::memory::Memory;

/// Which clause is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreFault {
    /// S40
    TrustsStaleRuns,
    /// S31
    IgnoresSuspects,
    /// S53
    ConfirmsNothing,
}

/// Opens stores with a fault.
pub(crate) struct BrokenStore {
    pub(crate) memory: Arc<Memory>,
    pub(crate) fault: StoreFault,
}

impl Backend for BrokenStore {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn env(&self) -> Arc<dyn Env> {
        self.memory.env()
    }
}

#[async_trait]
impl VirtualStore for BrokenStore {
    async fn open(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn StateStore>> {
        let sound = VirtualStore::open(&*self.memory, namespace, env).await?;
        let fault = self.fault;
        Ok(Arc::new(Broken { sound, fault }))
    }

    async fn forget(&self, namespace: &str) {
        VirtualStore::forget(&*self.memory, namespace).await;
    }
}

#[derive(Debug)]
struct Broken {
    sound: Arc<dyn StateStore>,
    fault: StoreFault,
}

#[async_trait]
impl StateStore for Broken {
    fn info(&self) -> &StoreInfo {
        self.sound.info()
    }

    fn jobs(&self) -> &dyn JobStore {
        self
    }

    fn index(&self) -> &dyn JobIndex {
        self.sound.index()
    }

    fn fused(self: Arc<Self>, _: &dyn Broker, _: &Arc<dyn Env>) -> Option<Arc<dyn Ledger>> {
        None
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.sound.close(deadline).await
    }
}

#[async_trait]
impl JobStore for Broken {
    async fn record(
        &self,
        jobs: Vec<NewRecord>,
        publication: Option<Publication>,
    ) -> Vec<Result<Recorded>> {
        self.sound.jobs().record(jobs, publication).await
    }

    async fn confirm(&self, batches: &[BatchId]) -> Result<()> {
        if self.fault == StoreFault::ConfirmsNothing {
            return Ok(());
        }
        self.sound.jobs().confirm(batches).await
    }

    async fn claim(&self, mut request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        if self.fault == StoreFault::IgnoresSuspects {
            request.suspects = request.claims.len();
        }
        self.sound.jobs().claim(request).await
    }

    async fn settle(&self, mut batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        if self.fault == StoreFault::TrustsStaleRuns {
            let ids: Vec<JobId> = batch.iter().map(|settle| settle.job.id).collect();
            let records = self.index().get(&ids).await.unwrap();
            for (settle, record) in batch.iter_mut().zip(records) {
                settle.epoch = record.map_or(settle.epoch, |record| record.standing.epoch);
            }
        }
        self.sound.jobs().settle(batch).await
    }

    async fn due(&self, due: Due) -> Result<DuePage> {
        self.sound.jobs().due(due).await
    }

    async fn lost(&self, lost: Lost) -> Result<DuePage> {
        self.sound.jobs().lost(lost).await
    }

    async fn open_batches(&self) -> Result<Vec<Publication>> {
        self.sound.jobs().open_batches().await
    }

    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed> {
        self.sound.jobs().renew(owner, lease).await
    }

    async fn owners(&self, cancels_of: Option<OwnerId>) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        self.sound.jobs().owners(cancels_of).await
    }

    async fn retire(&self, owners: &[OwnerId]) -> Result<()> {
        self.sound.jobs().retire(owners).await
    }
}
