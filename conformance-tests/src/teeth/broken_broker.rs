//! A broker around a good one that does what a fault makes of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Bucket, Consumer, ConsumerSpec, Counter, Delivery, Depth, Env,
    Fact, JobId, Lease, Publish, Published, QueueName, QueueSpec, RawMessage, Receipt, Result,
    Settle, Settled,
};

use super::taking::Taking;

/// What is wrong with a broker. Each method is one of the broker's, its consumer's or its admin side's, and
/// is right unless the fault says otherwise. All clients of one namespace share one fault.
#[async_trait]
pub(super) trait BrokerFault: Send + Sync + fmt::Debug {
    async fn ensure(&self, good: &dyn Broker, queues: &[QueueSpec]) -> Result<()> {
        good.ensure(queues).await
    }

    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        site.good.publish(batch).await
    }

    async fn consume(&self, good: &dyn Broker, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        good.consume(spec).await
    }

    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        site.good.settle(batch).await
    }

    async fn extend(
        &self,
        site: &Site,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Vec<Result<Lease>> {
        site.good.extend(receipts, lease).await
    }

    async fn facts(&self, good: &dyn Broker) -> Result<Vec<Fact>> {
        good.facts().await
    }

    async fn close(&self, good: &dyn Broker, deadline: Duration) -> Result<()> {
        good.close(deadline).await
    }

    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        taking.good.reserve(max, wait).await
    }

    async fn stop(&self, taking: &mut Taking) -> Result<()> {
        taking.good.stop().await
    }

    async fn depth(&self, good: &dyn BrokerAdmin, queues: &[QueueName]) -> Result<Vec<Depth>> {
        good.depth(queues).await
    }

    async fn peek(
        &self,
        good: &dyn BrokerAdmin,
        (queue, bucket): (&QueueName, Bucket),
        max: usize,
    ) -> Result<Vec<RawMessage>> {
        good.peek(queue, bucket, max).await
    }

    async fn purge(&self, site: &Site, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        site.admin().purge(queue, bucket).await
    }

    async fn redrive(&self, site: &Site, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        site.admin().redrive(queue, ids).await
    }

    async fn queues(&self, good: &dyn BrokerAdmin) -> Result<Vec<QueueName>> {
        good.queues().await
    }

    async fn delete(&self, good: &dyn BrokerAdmin, queue: &QueueName) -> Result<()> {
        good.delete(queue).await
    }
}

/// Where a fault is at work.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) env: Arc<dyn Env>,
    pub(super) good: Arc<dyn Broker>,
}

impl Site {
    pub(super) fn admin(&self) -> &dyn BrokerAdmin {
        self.good
            .admin()
            .expect("the good broker has an admin side")
    }
}

/// A good broker with a fault in it.
#[derive(Debug)]
pub(super) struct BrokenBroker {
    site: Site,
    fault: Arc<dyn BrokerFault>,
}

impl BrokenBroker {
    pub(super) fn new(
        env: Arc<dyn Env>,
        good: Arc<dyn Broker>,
        fault: Arc<dyn BrokerFault>,
    ) -> Self {
        Self {
            site: Site { env, good },
            fault,
        }
    }

    fn admin_side(&self) -> &dyn BrokerAdmin {
        self.site.admin()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Broker for BrokenBroker {
    fn info(&self) -> &BrokerInfo {
        self.site.good.info()
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        self.fault.ensure(self.site.good.as_ref(), queues).await
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        self.fault.publish(&self.site, batch).await
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        let good = self
            .fault
            .consume(self.site.good.as_ref(), spec.clone())
            .await?;
        Ok(Box::new(BrokenConsumer {
            taking: Taking {
                env: Arc::clone(&self.site.env),
                broker: Arc::clone(&self.site.good),
                spec,
                good,
                held: VecDeque::new(),
            },
            fault: Arc::clone(&self.fault),
        }))
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        self.fault.settle(&self.site, batch).await
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        self.fault.extend(&self.site, receipts, lease).await
    }

    fn counters(&self) -> Vec<Counter> {
        self.site.good.counters()
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        self.fault.facts(self.site.good.as_ref()).await
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        Some(self)
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.fault.close(self.site.good.as_ref(), deadline).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BrokerAdmin for BrokenBroker {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        self.fault.depth(self.admin_side(), queues).await
    }

    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>> {
        let place = (queue, bucket);
        self.fault.peek(self.admin_side(), place, max).await
    }

    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        self.fault.purge(&self.site, queue, bucket).await
    }

    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        self.fault.redrive(&self.site, queue, ids).await
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        self.fault.queues(self.admin_side()).await
    }

    async fn delete(&self, queue: &QueueName) -> Result<()> {
        self.fault.delete(self.admin_side(), queue).await
    }
}

#[derive(Debug)]
struct BrokenConsumer {
    taking: Taking,
    fault: Arc<dyn BrokerFault>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Consumer for BrokenConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.fault.reserve(&mut self.taking, max, wait).await
    }

    async fn stop(&mut self) -> Result<()> {
        self.fault.stop(&mut self.taking).await
    }
}
