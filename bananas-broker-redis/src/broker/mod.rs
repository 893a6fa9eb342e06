//! The broker's side of the engine: queues of opaque messages.

mod admin;
pub(crate) mod batches;
mod consumer;
mod credit;
mod envelope;
mod publish;
mod receipt;
mod settle;
mod take;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Consumer, ConsumerSpec, Error as Seen, Fact, Lease, Publish,
    Published, QueueSpec, Receipt, Result, Settle, Settled,
};
use futures::future::try_join_all;

use self::consumer::RedisConsumer;
pub(crate) use self::credit::Credits;
use crate::engine::Shared;
use crate::error::Error;
use crate::facts;
use crate::keys::{self, Part};
use crate::script::Script;

/// The broker on one server.
#[derive(Debug)]
pub(crate) struct RedisBroker {
    shared: Arc<Shared>,
}

impl RedisBroker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// B31, and the same for extensions.
    fn check_lease(&self, asked: Duration) -> std::result::Result<(), Error> {
        let limits = self.shared.info.capabilities.lease;
        if (limits.min..=limits.max).contains(&asked) {
            return Ok(());
        }
        Err(Error::Lease { asked, limits })
    }

    async fn ensure_one(&self, spec: &QueueSpec) -> std::result::Result<(), Error> {
        let longest = self.shared.info.capabilities.lease.max;
        let incarnation = format!("{:016x}", self.shared.env.random());
        let args = vec![incarnation.into(), settle::micros(longest)];
        // The name first: a name without a queue is passed over, a queue without a name would be hidden.
        let mut name = redis::cmd("SADD");
        name.arg(keys::names(&self.shared.namespace))
            .arg(spec.name.as_str());
        self.shared.wire().command(&name).await?;
        let ensure = self
            .shared
            .run(Script::Ensure, &spec.name, &[Part::Queue], args);
        ensure.await.map(drop)
    }
}

#[async_trait]
impl Broker for RedisBroker {
    fn info(&self) -> &BrokerInfo {
        &self.shared.info
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        let ensured = try_join_all(queues.iter().map(|spec| self.ensure_one(spec))).await;
        ensured
            .map(drop)
            .map_err(|e| Seen::from(e).during("ensure"))
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        publish::publish(&self.shared, batch).await
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        let queue = spec.queue.clone();
        let opened = async {
            self.check_lease(spec.lease)?;
            match self.exists(&spec.queue).await? {
                true => Ok(RedisConsumer::new(Arc::clone(&self.shared), spec)),
                false => Err(Error::NoQueue(spec.queue)),
            }
        };
        match opened.await {
            Ok(consumer) => Ok(Box::new(consumer)),
            Err(e) => Err(Seen::from(e).during("consume").on(&queue)),
        }
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        settle::settle(&self.shared, batch).await
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        if let Err(e) = self.check_lease(lease) {
            let refused = |_| Err(Seen::from(e.clone()).during("extend"));
            return receipts.iter().map(refused).collect();
        }
        settle::extend(&self.shared, receipts, lease).await
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        facts::of(&self.shared).await
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        Some(self)
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.shared.close(deadline).await;
        Ok(())
    }
}
