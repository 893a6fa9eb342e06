//! The broker's side of the engine: queues of opaque messages.

mod admin;
mod ahead;
mod consumer;
mod ensure;
mod envelope;
mod holds;
mod publish;
mod pull;
mod receipt;
mod settle;
mod take;
mod words;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Consumer, ConsumerSpec, Error as Seen, Fact, Lease, Publish,
    Published, QueueSpec, Receipt, Result, Settle, Settled,
};
use futures::future::try_join_all;

use self::consumer::NatsConsumer;
pub(crate) use self::holds::Holds;
use crate::engine::Shared;
use crate::error::Error;
use crate::facts;

/// The broker on one server or cluster.
#[derive(Debug)]
pub(crate) struct NatsBroker {
    shared: Arc<Shared>,
}

impl NatsBroker {
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
}

#[async_trait]
impl Broker for NatsBroker {
    fn info(&self) -> &BrokerInfo {
        &self.shared.info
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        let ensured = queues.iter().map(async |spec| {
            let ensured = ensure::ensure(&self.shared, &spec.name).await;
            ensured.map_err(|e| Seen::from(e).during("ensure").on(&spec.name))
        });
        try_join_all(ensured).await.map(drop)
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        publish::publish(&self.shared, batch).await
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        let queue = spec.queue.clone();
        let opened = async {
            self.check_lease(spec.lease)?;
            let stream = self.shared.look_up(&spec.queue).await?;
            let names = self.shared.names(&spec.queue)?;
            let lanes = ensure::lanes(&stream);
            Ok::<_, Error>(NatsConsumer::new(
                Arc::clone(&self.shared),
                spec,
                names,
                lanes,
            ))
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
        self.shared.wire().close(deadline).await;
        Ok(())
    }
}
