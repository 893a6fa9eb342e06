//! The admin side, as far as the protocol goes: it counts what is ready, and can look only at what it takes.

use async_trait::async_trait;
use bananas_core::{
    BrokerAdmin, Bucket, Count, Depth, Error as Seen, JobId, QueueName, RawMessage, Result,
};
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeleteOptions, QueuePurgeOptions};

use crate::broker::AmqpBroker;
use crate::envelope;
use crate::error::Error;
use crate::publisher::answered;
use crate::shared::Shared;
use crate::topology::Errand;

type Answer<T> = std::result::Result<T, Error>;

/// The next message of a queue, unsettled; the end of the channel gives it back to its place.
async fn get(errand: &Errand<'_>, name: &str) -> Answer<Option<BasicGetMessage>> {
    let get = errand
        .channel
        .basic_get(name.into(), BasicGetOptions { no_ack: false });
    errand.on(get).await
}

async fn depth_of(shared: &Shared, queue: &QueueName) -> Answer<Option<Depth>> {
    let names = shared.names();
    let Some(ready) = count(shared, &names.queue(queue)).await? else {
        return Ok(None);
    };
    let dead = count(shared, &names.dead(queue)).await?;
    Ok(Some(Depth {
        queue: queue.clone(),
        ready: Count::About(ready.into()),
        in_flight: Count::Unknown,
        delayed: Count::Unknown,
        dead: dead.map_or(Count::Unknown, |dead| Count::About(dead.into())),
        incarnation: None,
    }))
}

/// How many messages are ready; `None` where there is no such queue.
async fn count(shared: &Shared, name: &str) -> Answer<Option<u32>> {
    let errand = shared.topologist.errand().await?;
    match errand.ready(name).await {
        Ok(ready) => {
            errand.end().await;
            Ok(Some(ready))
        }
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

async fn peek_dead(shared: &Shared, queue: &QueueName, max: usize) -> Answer<Vec<RawMessage>> {
    let errand = shared.topologist.errand().await?;
    let name = shared.names().dead(queue);
    let mut seen = Vec::new();
    while seen.len() < max {
        let Some(got) = get(&errand, &name).await? else {
            break;
        };
        let delivery = got.delivery;
        seen.push(envelope::decode_dead(&delivery.properties, delivery.data));
    }
    errand.end().await;
    Ok(seen)
}

/// Each message is published and confirmed before it leaves the dead queue; those that are not meant go back to
/// their places when the channel ends.
async fn redrive(shared: &Shared, queue: &QueueName, ids: Option<&[JobId]>) -> Answer<u64> {
    let name = shared.names().dead(queue);
    let errand = shared.topologist.errand().await?;
    let mut left = errand.ready(&name).await?;
    let mut redriven = 0;
    while left > 0 {
        left -= 1;
        let Some(got) = get(&errand, &name).await? else {
            break;
        };
        let tag = got.delivery.delivery_tag;
        let message = envelope::decode(&got.delivery.properties, got.delivery.data);
        let is_meant = ids.is_none_or(|ids| message.id.is_some_and(|id| ids.contains(&id)));
        if !is_meant {
            continue;
        }
        let letter = shared
            .letter(queue, &message, std::time::Duration::ZERO)
            .await?;
        for answer in shared.publisher.post(vec![letter]) {
            answered(answer).await?;
        }
        let acked = errand.channel.basic_ack(tag, BasicAckOptions::default());
        errand.on(acked).await?;
        redriven += 1;
    }
    errand.ready(&name).await?;
    errand.end().await;
    Ok(redriven)
}

impl AmqpBroker {
    /// Says that the protocol has no way to do it.
    fn cannot(what: &str) -> Error {
        Error::Refused(format!(
            "RabbitMQ cannot {what} over AMQP; use its management side"
        ))
    }

    async fn purge_one(&self, queue: &QueueName, bucket: Bucket) -> Answer<u64> {
        let names = self.shared.names();
        let name = match bucket {
            Bucket::Ready => names.queue(queue),
            Bucket::Dead => names.dead(queue),
            Bucket::Delayed => {
                return Err(Self::cannot("tell delayed messages of one queue apart"));
            }
        };
        let errand = self.shared.topologist.errand().await?;
        let purge = errand
            .channel
            .queue_purge(name.as_str().into(), QueuePurgeOptions::default());
        let purged = errand.on(purge).await?;
        errand.end().await;
        Ok(purged.into())
    }

    async fn delete_one(&self, queue: &QueueName) -> Answer<()> {
        self.shared.is_gone(queue);
        let errand = self.shared.topologist.errand().await?;
        let names = self.shared.names();
        for name in [names.queue(queue), names.dead(queue)] {
            let delete = errand
                .channel
                .queue_delete(name.as_str().into(), QueueDeleteOptions::default());
            errand.on(delete).await?;
        }
        errand.end().await;
        Ok(())
    }

    /// Says what was done, where, when it failed; and that nothing is done after the close.
    async fn look_after<T>(
        &self,
        operation: &'static str,
        queue: Option<&QueueName>,
        act: impl Future<Output = Answer<T>>,
    ) -> Result<T> {
        let answer = match self.shared.check_open() {
            Ok(()) => act.await,
            Err(e) => Err(e),
        };
        answer.map_err(|e| {
            let e = match (e.is_not_found(), queue) {
                (true, Some(queue)) => Error::NoQueue(queue.clone()),
                _ => e,
            };
            let seen = Seen::from(e).during(operation);
            match queue {
                Some(queue) => seen.on(queue),
                None => seen,
            }
        })
    }
}

#[async_trait]
impl BrokerAdmin for AmqpBroker {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        let count = async {
            let mut depths = Vec::new();
            for queue in queues {
                depths.extend(depth_of(&self.shared, queue).await?);
            }
            Ok(depths)
        };
        self.look_after("depth", None, count).await
    }

    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>> {
        let peek = async {
            match bucket {
                Bucket::Dead => peek_dead(&self.shared, queue, max).await,
                Bucket::Ready | Bucket::Delayed => {
                    Err(Self::cannot("look at messages without taking them"))
                }
            }
        };
        self.look_after("peek", Some(queue), peek).await
    }

    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        self.look_after("purge", Some(queue), self.purge_one(queue, bucket))
            .await
    }

    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        self.look_after("redrive", Some(queue), redrive(&self.shared, queue, ids))
            .await
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        self.look_after("queues", None, async { Err(Self::cannot("list queues")) })
            .await
    }

    async fn delete(&self, queue: &QueueName) -> Result<()> {
        self.look_after("delete", Some(queue), self.delete_one(queue))
            .await
    }
}
