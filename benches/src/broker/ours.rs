//! [`Ours`]: any broker of ours, driven as the worker and the client drive it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bananas_core::{
    Broker, Consumer, ConsumerSpec, Delivery, Env, Publish, QueueName, QueueSpec, RawMessage,
    Settle, Settled, Settlement, TokioEnv,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, FuturesUnordered};

use super::{Plan, Side};

/// How long a reserve may take.
const WAIT: Duration = Duration::from_secs(10);

/// One queue of a broker of ours.
pub(crate) struct Ours {
    queue: Queue,
    consumer: Box<dyn Consumer>,
    plan: Plan,
}

struct Queue {
    env: Arc<dyn Env>,
    broker: Arc<dyn Broker>,
    name: QueueName,
    body: Bytes,
}

impl Ours {
    /// Makes the queue, which should be new.
    pub(crate) async fn open(broker: Arc<dyn Broker>, plan: Plan) -> Result<Self> {
        let queue = QueueName::new("bench")?;
        broker.ensure(&[QueueSpec::new(queue.clone())]).await?;
        let mut spec = ConsumerSpec::new(queue.clone());
        spec.credit = u32::try_from(plan.window())?;
        let consumer = broker.consume(spec).await?;
        Ok(Self {
            queue: Queue {
                env: Arc::new(TokioEnv::current()),
                broker,
                name: queue,
                body: Bytes::from(vec![b'x'; plan.body]),
            },
            consumer,
            plan,
        })
    }
}

impl Queue {
    async fn publish(&self, jobs: usize) -> Result<()> {
        let publishes = (0..jobs).map(|_| Publish {
            queue: self.name.clone(),
            message: RawMessage::new(self.env.job_id(), self.body.clone()),
        });
        for published in self.broker.publish(publishes.collect()).await {
            published?;
        }
        Ok(())
    }
}

async fn acknowledge(broker: Arc<dyn Broker>, deliveries: Vec<Delivery>) -> Result<()> {
    let settles = deliveries.into_iter().map(|delivery| Settle {
        receipt: delivery.receipt,
        settlement: Settlement::Ack,
    });
    for settled in broker.settle(settles.collect()).await {
        ensure!(settled? == Settled::Done, "a lease was lost");
    }
    Ok(())
}

impl Side for Ours {
    async fn publish_singly(&mut self, jobs: usize) -> Result<()> {
        for _ in 0..jobs {
            self.queue.publish(1).await?;
        }
        Ok(())
    }

    async fn publish_pipelined(&mut self, jobs: usize) -> Result<()> {
        let (batch, queue) = (self.plan.batch, &self.queue);
        let sizes = (0..jobs).step_by(batch).map(|done| batch.min(jobs - done));
        let calls = stream::iter(sizes.map(|size| queue.publish(size)));
        let mut calls = calls.buffered(self.plan.in_flight);
        while let Some(published) = calls.next().await {
            published?;
        }
        Ok(())
    }

    /// Settles while it reserves, as the worker does.
    async fn consume(&mut self, jobs: usize) -> Result<()> {
        let mut settling = FuturesUnordered::new();
        let mut left = jobs;
        while left > 0 {
            let max = left.min(self.plan.batch);
            let reserve = self.consumer.reserve(max, WAIT);
            let mut reserve = std::pin::pin!(reserve);
            let deliveries = loop {
                tokio::select! {
                    biased;
                    Some(settled) = settling.next(), if !settling.is_empty() => settled?,
                    deliveries = &mut reserve => break deliveries?,
                }
            };
            ensure!(!deliveries.is_empty(), "{left} messages do not come");
            left -= deliveries.len();
            settling.push(acknowledge(Arc::clone(&self.queue.broker), deliveries));
        }
        while let Some(settled) = settling.next().await {
            settled?;
        }
        Ok(())
    }
}
