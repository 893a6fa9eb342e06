//! The broker's side of the engine: queues of opaque messages in a table. Used when jobs are recorded in
//! another store, or not at all; [`SqliteEngine::ledger`](crate::SqliteEngine::ledger) does without it.

mod admin;
mod consumer;
mod message;
mod publish;
mod queues;
mod receipt;
mod reserve;
mod settle;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Consumer, ConsumerSpec, Error as CoreError, ErrorKind, Fact,
    Lease, Publish, Published, QueueSpec, Receipt, Result, Settle, Settled,
};

use self::consumer::SqliteConsumer;
use crate::engine::{Shared, Side};
use crate::error::Error;
use crate::facts;
use crate::store::{chunks, extend};
use crate::transaction::Transaction;

/// The broker in one file.
#[derive(Debug)]
pub(crate) struct SqliteBroker {
    shared: Arc<Shared>,
}

impl SqliteBroker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn write<T, W>(&self, weight: usize, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut(&mut Transaction<'_>) -> std::result::Result<T, Error> + Send + 'static,
    {
        self.shared.check_open(Side::Broker)?;
        self.shared.write(weight, work).await
    }

    /// B31, and the same for extensions.
    fn check_lease(&self, lease: Duration) -> Result<()> {
        let limits = self.shared.broker_info.capabilities.lease;
        if (limits.min..=limits.max).contains(&lease) {
            return Ok(());
        }
        let message = format!(
            "lease of {lease:?} is out of bounds; it lasts from {:?} to {:?}",
            limits.min, limits.max
        );
        Err(CoreError::new(ErrorKind::InvalidArgument, message))
    }
}

#[async_trait]
impl Broker for SqliteBroker {
    fn info(&self) -> &BrokerInfo {
        &self.shared.broker_info
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        let names: Vec<_> = queues.iter().map(|spec| spec.name.clone()).collect();
        self.write(names.len(), move |tx| queues::ensure(tx, &names))
            .await
            .map_err(|e| e.during("ensure"))
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let mut answers = Vec::with_capacity(batch.len());
        for chunk in chunks(batch) {
            let size = chunk.len();
            let answer = self
                .write(size, move |tx| publish::publish(tx, &chunk))
                .await;
            extend(&mut answers, size, answer, "publish");
        }
        answers
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        self.check_lease(spec.lease)
            .map_err(|e| e.during("consume").on(&spec.queue))?;
        let queue = spec.queue.clone();
        self.write(1, move |tx| reserve::open(tx, &queue))
            .await?
            .map_err(|e| e.during("consume"))?;
        Ok(Box::new(SqliteConsumer::new(
            Arc::clone(&self.shared),
            spec,
        )))
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let file_id = self.shared.file_id();
        let mut answers = Vec::with_capacity(batch.len());
        for chunk in chunks(batch) {
            let size = chunk.len();
            let answer = self
                .write(size, move |tx| settle::settle(tx, file_id, &chunk))
                .await;
            extend(&mut answers, size, answer, "settle");
        }
        answers
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        if let Err(e) = self.check_lease(lease) {
            return receipts
                .iter()
                .map(|_| Err(e.repeat().during("extend")))
                .collect();
        }
        let (file_id, size) = (self.shared.file_id(), receipts.len());
        let receipts = receipts.to_vec();
        // Counted from before the request, so that we never believe in a lease longer than it is.
        let until = self.shared.env.monotonic() + lease;
        let answer = self
            .write(size, move |tx| {
                settle::extend(tx, file_id, &receipts, lease)
            })
            .await;
        let mut answers = Vec::with_capacity(size);
        extend(&mut answers, size, answer, "extend");
        let lease = Lease {
            until,
            hard_limit: None,
        };
        answers
            .into_iter()
            .map(|answer| answer.map(|()| lease))
            .collect()
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        self.shared.check_open(Side::Broker)?;
        facts::of(&self.shared).await
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        Some(self)
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.shared.close(Side::Broker, deadline).await
    }
}
