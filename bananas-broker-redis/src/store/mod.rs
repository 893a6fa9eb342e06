//! The store's side of the engine: jobs of each queue under the hash tag of that queue. Each operation is a file;
//! this one ties them together.

mod blobs;
mod check;
mod claim;
mod damage;
mod due;
mod index;
mod jobs;
mod known;
mod lost;
mod owners;
mod queues;
mod record;
mod row;
mod settle;
mod table;
mod take;
mod taker;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    BlobStore, Broker, Env, Fact, FusedLedger, JobIndex, JobStore, Ledger, LedgerInfo, OwnerId,
    QueueName, Result, StateStore, StoreInfo, TakeStore, Taker,
};

pub(crate) use self::blobs::remove_all as remove_blobs;
pub(crate) use self::index::Watchers;
pub(crate) use self::known::Known;
use self::taker::RedisTaker;
use crate::engine::Shared;
use crate::facts;

/// The state store on one server.
#[derive(Debug)]
pub(crate) struct RedisStore {
    shared: Arc<Shared>,
}

impl RedisStore {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

/// The ledger in which the record of a job is its message.
pub(crate) fn fused(shared: &Arc<Shared>, env: &Arc<dyn Env>) -> Arc<dyn Ledger> {
    let store = Arc::new(RedisStore::new(Arc::clone(shared)));
    let info = LedgerInfo {
        backend: "redis".to_owned(),
        url: shared.store_info.url.clone(),
        capabilities: shared.info.capabilities.clone(),
    };
    let taking: Arc<dyn TakeStore> = Arc::<RedisStore>::clone(&store);
    Arc::new(FusedLedger::new(info, store, taking, Arc::clone(env)))
}

#[async_trait]
impl StateStore for RedisStore {
    fn info(&self) -> &StoreInfo {
        &self.shared.store_info
    }

    fn jobs(&self) -> &dyn JobStore {
        self
    }

    fn index(&self) -> &dyn JobIndex {
        self
    }

    fn blobs(&self) -> Option<&dyn BlobStore> {
        Some(self)
    }

    fn fused(self: Arc<Self>, broker: &dyn Broker, env: &Arc<dyn Env>) -> Option<Arc<dyn Ledger>> {
        // The same engine, not merely the same URL: a wrapper around our broker is another broker, and going past
        // it would lose what it is there for.
        let ours = std::ptr::eq(broker.info(), &raw const self.shared.info);
        ours.then(|| fused(&self.shared, env))
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        facts::of(&self.shared).await
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.shared.close(deadline).await;
        Ok(())
    }
}

impl TakeStore for RedisStore {
    fn taker(&self, queue: &QueueName, owner: OwnerId) -> Box<dyn Taker> {
        let shared = Arc::clone(&self.shared);
        Box::new(RedisTaker::new(shared, queue.clone(), owner))
    }
}
