//! The state store side: one table of jobs behind one lock, and the traits over it.

mod batches;
mod blobs;
mod index;
mod jobs;
mod owners;
mod queue;
mod record;
mod row;
mod table;
mod taker;
mod uniques;
mod upkeep;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    BlobStore, Broker, Env, Fact, JobIndex, JobStore, Ledger, OwnerId, QueueName, Result,
    StateStore, StoreInfo, TakeStore, Taker,
};

pub(crate) use self::blobs::Blobs;
use self::table::Table;
use self::taker::MemoryTaker;
use crate::connection::{Connection, Memory};
use crate::engine::{facts, fused};
use crate::error::Error;

/// All jobs, behind their lock. The lock is never held across an await.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<Table>);

impl Jobs {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        // A panic of ours between two steps cannot be repaired here; going on is what a server would do.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection to the store.
#[derive(Clone, Debug)]
pub(crate) struct MemoryStore {
    connection: Arc<Connection>,
}

impl MemoryStore {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.connection.memory
    }

    fn check_open(&self) -> Result<(), Error> {
        self.connection.check_open()
    }

    /// Does something under the lock, then wakes whom it concerns.
    fn with<T>(&self, change: impl FnOnce(&mut Table) -> T) -> Result<T, Error> {
        self.connection.check_open()?;
        let mut table = self.memory().jobs.lock();
        let answer = change(&mut table);
        let (changed, bells) = table.rung();
        drop(table);
        for bell in bells {
            bell.notify_waiters();
        }
        if changed {
            self.memory().changed.notify_waiters();
        }
        Ok(answer)
    }

    /// Like [`with`](Self::with), for a batch with an answer for each of its `items`.
    fn each<T>(
        &self,
        items: usize,
        change: impl FnOnce(&mut Table) -> Vec<Result<T>>,
    ) -> Vec<Result<T>> {
        self.with(change)
            .unwrap_or_else(|e| (0..items).map(|_| Err(e.clone().into())).collect())
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    fn info(&self) -> &StoreInfo {
        &self.memory().store
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
        // The same place in memory, not merely the same URL: a wrapper around our broker is another broker,
        // and going past it would lose what it is there for.
        let ours = std::ptr::eq(broker.info(), &raw const self.memory().broker);
        ours.then(|| fused(self, Arc::clone(env)))
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        self.connection.check_open()?;
        Ok(facts())
    }

    async fn close(&self, _deadline: Duration) -> Result<()> {
        self.connection.close();
        Ok(())
    }
}

impl TakeStore for MemoryStore {
    fn taker(&self, queue: &QueueName, owner: OwnerId) -> Box<dyn Taker> {
        Box::new(MemoryTaker::new(self.clone(), queue.clone(), owner))
    }
}

#[cfg(test)]
mod invariants;
#[cfg(test)]
mod model;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
