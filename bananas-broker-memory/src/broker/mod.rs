//! The broker side: queues of messages behind one lock, and the traits over them.

mod admin;
mod consumer;
mod message;
mod queue;
mod receipt;
mod switchboard;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Consumer, ConsumerSpec, Fact, Lease, LeaseLimits, Publish,
    Published, QueueSpec, Receipt, Result, Settle, Settled,
};

use self::consumer::MemoryConsumer;
use self::switchboard::Switchboard;
use crate::connection::{Connection, Memory};
use crate::engine::facts;
use crate::error::Error;

/// All messages, behind their lock. The lock is never held across an await.
#[derive(Debug)]
pub(crate) struct Messages(Mutex<Switchboard>);

impl Messages {
    pub(crate) fn new(nonce: u64) -> Self {
        Self(Mutex::new(Switchboard::new(nonce)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Switchboard> {
        // A panic of ours between two steps cannot be repaired here; going on is what a server would do.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection to the broker.
#[derive(Clone, Debug)]
pub(crate) struct MemoryBroker {
    connection: Arc<Connection>,
}

impl MemoryBroker {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    fn memory(&self) -> &Memory {
        &self.connection.memory
    }

    fn limits(&self) -> LeaseLimits {
        self.memory().broker.capabilities.lease
    }

    /// Does something under the lock, with the clocks up to date, then wakes whom it concerns.
    fn with<T>(&self, change: impl FnOnce(&mut Switchboard) -> T) -> Result<T, Error> {
        self.connection.check_open()?;
        let env = &self.memory().env;
        let (now, tick) = (env.now(), env.monotonic());
        let mut board = self.memory().messages.lock();
        board.clock_is(now, tick);
        let answer = change(&mut board);
        let (changed, bells) = board.rung();
        drop(board);
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
        change: impl FnOnce(&mut Switchboard) -> Vec<Result<T, Error>>,
    ) -> Vec<Result<T>> {
        match self.with(change) {
            Ok(answers) => answers.into_iter().map(|a| a.map_err(Into::into)).collect(),
            Err(e) => (0..items).map(|_| Err(e.clone().into())).collect(),
        }
    }
}

/// Refuses a lease outside the limits.
fn check_lease(asked: Duration, limits: LeaseLimits) -> Result<(), Error> {
    if asked < limits.min || asked > limits.max {
        return Err(Error::Lease { asked, limits });
    }
    Ok(())
}

#[async_trait]
impl Broker for MemoryBroker {
    fn info(&self) -> &BrokerInfo {
        &self.memory().broker
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        let env = &self.memory().env;
        let named: Vec<_> = queues.iter().map(|q| (&q.name, env.random())).collect();
        Ok(self.with(|board| {
            for (name, random) in named {
                board.ensure(name, random);
            }
        })?)
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let limit = self.memory().broker.capabilities.max_message;
        self.each(batch.len(), |board| {
            let publish = |item| board.publish(item, limit);
            batch.into_iter().map(publish).collect()
        })
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        check_lease(spec.lease, self.limits())?;
        let number = self.with(|board| board.consume(&spec))??;
        let consumer = MemoryConsumer::new(self.clone(), spec, number);
        Ok(Box::new(consumer))
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        self.each(batch.len(), |board| {
            let settle = |item| board.settle(item);
            batch.into_iter().map(settle).collect()
        })
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        let allowed = check_lease(lease, self.limits());
        self.each(receipts.len(), |board| {
            let extend = |receipt| {
                allowed.clone()?;
                board.extend(receipt, lease)
            };
            receipts.iter().map(extend).collect()
        })
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        self.connection.check_open()?;
        Ok(facts())
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        Some(self)
    }

    async fn close(&self, _deadline: Duration) -> Result<()> {
        self.connection.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
