//! The store's side of the engine. Each operation is a file; this one ties them together.

mod alter;
mod blobs;
mod check;
mod claim;
mod damage;
mod dated;
mod due;
mod index;
mod jobs;
mod lost;
mod owners;
mod prune;
mod query;
mod record;
mod row;
mod scan;
mod settle;
mod take;
mod taker;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    BlobStore, Broker, Env, Fact, JobIndex, JobStore, Ledger, OwnerId, QueueName, Result,
    StateStore, StoreInfo, TakeStore, Taker,
};

pub(crate) use self::damage::{Unreadable, set_aside};
pub(crate) use self::jobs::{chunks, extend};
pub(crate) use self::row::priority;
use self::taker::SqliteTaker;
use crate::engine::{self, Shared, Side};
use crate::facts;

/// The state store in one file.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    shared: Arc<Shared>,
}

impl SqliteStore {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[async_trait]
impl StateStore for SqliteStore {
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
        let broker = broker.info();
        let same = broker.backend == "sqlite" && broker.url == self.shared.store_info.url;
        same.then(|| engine::fused(&self.shared, env))
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        self.shared.check_open(Side::Store)?;
        facts::of(&self.shared).await
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.shared.close(Side::Store, deadline).await
    }
}

impl TakeStore for SqliteStore {
    fn taker(&self, queue: &QueueName, owner: OwnerId) -> Box<dyn Taker> {
        Box::new(SqliteTaker::new(
            Arc::clone(&self.shared),
            queue.clone(),
            owner,
        ))
    }
}
