//! [`BrokerAdmin`]: looking after the queues. Every number is exact.

use async_trait::async_trait;
use bananas_core::{BrokerAdmin, Bucket, Count, Depth, JobId, QueueName, RawMessage, Result};

use super::broker::ToyBroker;
use super::error::Error;
use super::protocol::{Counts, Reply, Request};

impl ToyBroker {
    pub(super) async fn count(&self, request: Request) -> Result<u64> {
        match self.ask(request).await?.reply {
            Reply::Count(count) => Ok(count),
            _ => Err(Error::WrongAnswer.into()),
        }
    }
}

fn depth((queue, counts, incarnation): Counts) -> Depth {
    let [ready, in_flight, delayed, dead] = counts.map(Count::Exact);
    Depth {
        queue,
        ready,
        in_flight,
        delayed,
        dead,
        incarnation: Some(incarnation),
    }
}

#[async_trait]
impl BrokerAdmin for ToyBroker {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        match self.ask(Request::Depth(queues.to_vec())).await?.reply {
            Reply::Depths(depths) => Ok(depths.into_iter().map(depth).collect()),
            _ => Err(Error::WrongAnswer.into()),
        }
    }

    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>> {
        let request = Request::Peek(queue.clone(), bucket, max);
        match self.ask(request).await?.reply {
            Reply::Messages(messages) => Ok(messages.into_iter().map(Into::into).collect()),
            _ => Err(Error::WrongAnswer.into()),
        }
    }

    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        self.count(Request::Purge(queue.clone(), bucket)).await
    }

    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        let ids = ids.map(<[JobId]>::to_vec);
        self.count(Request::Redrive(queue.clone(), ids)).await
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        match self.ask(Request::Queues).await?.reply {
            Reply::Names(names) => Ok(names),
            _ => Err(Error::WrongAnswer.into()),
        }
    }

    async fn delete(&self, queue: &QueueName) -> Result<()> {
        self.ask(Request::Delete(queue.clone())).await?;
        Ok(())
    }
}
