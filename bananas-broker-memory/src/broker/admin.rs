//! [`BrokerAdmin`]: looking after the queues. Every number is exact.

use async_trait::async_trait;
use bananas_core::{BrokerAdmin, Bucket, Count, Depth, JobId, QueueName, RawMessage, Result};

use super::MemoryBroker;
use super::queue::Queue;
use super::switchboard::Switchboard;
use crate::error::Error;

#[async_trait]
impl BrokerAdmin for MemoryBroker {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        let depth = |board: &mut Switchboard, name: &QueueName| {
            board.refresh(name).ok()?;
            Some(board.queue(name).ok()?.depth(name))
        };
        Ok(self.with(|board| {
            queues
                .iter()
                .filter_map(|name| depth(board, name))
                .collect()
        })?)
    }

    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>> {
        Ok(self.with(|board| {
            let numbers = board.bucket(queue, bucket)?;
            let messages = numbers
                .iter()
                .filter_map(|number| board.messages.get(number));
            Ok::<_, Error>(
                messages
                    .take(max)
                    .map(super::message::Message::shown)
                    .collect(),
            )
        })??)
    }

    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        Ok(self.with(|board| {
            let numbers = board.bucket(queue, bucket)?;
            for number in &numbers {
                board.remove(*number);
            }
            Ok::<_, Error>(numbers.len() as u64)
        })??)
    }

    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        Ok(self.with(|board| {
            let mut numbers = board.bucket(queue, Bucket::Dead)?;
            numbers.retain(|number| {
                let id = board
                    .messages
                    .get(number)
                    .and_then(|message| message.raw.id);
                ids.is_none_or(|ids| id.is_some_and(|id| ids.contains(&id)))
            });
            for number in &numbers {
                board.redrive(*number);
            }
            Ok::<_, Error>(numbers.len() as u64)
        })??)
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        Ok(self.with(|board| board.queues.keys().cloned().collect())?)
    }

    async fn delete(&self, queue: &QueueName) -> Result<()> {
        Ok(self.with(|board| board.delete(queue))?)
    }
}

impl Switchboard {
    /// The numbers of the messages in a bucket, in their order.
    fn bucket(&mut self, name: &QueueName, bucket: Bucket) -> Result<Vec<u64>, Error> {
        self.refresh(name)?;
        let queue = self.queue(name)?;
        Ok(match bucket {
            Bucket::Ready => queue.ready.iter().collect(),
            Bucket::Delayed => {
                let until = queue.until.iter().map(|(_, number)| *number);
                until
                    .chain(queue.delayed.iter().map(|(_, number)| *number))
                    .collect()
            }
            Bucket::Dead => queue.dead.values().copied().collect(),
        })
    }
}

impl Queue {
    fn depth(&self, name: &QueueName) -> Depth {
        let exact = |n: usize| Count::Exact(n as u64);
        Depth {
            queue: name.clone(),
            ready: exact(self.ready.len()),
            in_flight: exact(self.leases.len()),
            delayed: exact(self.until.len() + self.delayed.len()),
            dead: exact(self.dead.len()),
            incarnation: Some(self.incarnation.clone()),
        }
    }
}
