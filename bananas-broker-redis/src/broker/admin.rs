//! Looking after queues.

use async_trait::async_trait;
use bananas_core::{
    BrokerAdmin, Bucket, Count, DEAD_REASON_PROPERTY, Depth, JobId, QueueName, RawMessage, Result,
};
use bytes::Bytes;
use futures::future::join_all;
use redis::Value;

use super::{RedisBroker, envelope};
use crate::engine::BATCH;
use crate::error::Error;
use crate::keys::{self, Part};
use crate::namespace::queues_in;
use crate::reply;
use crate::script::Script;

const DEPTH: [Part; 7] = [
    Part::Queue,
    Part::Normal,
    Part::High,
    Part::Low,
    Part::Delayed,
    Part::Leased,
    Part::Dead,
];
const PEEK: [Part; 9] = [
    Part::Queue,
    Part::Messages,
    Part::Normal,
    Part::High,
    Part::Low,
    Part::Delayed,
    Part::Leased,
    Part::Dead,
    Part::Reasons,
];
const PURGE: [Part; 10] = [
    Part::Queue,
    Part::Messages,
    Part::Normal,
    Part::High,
    Part::Low,
    Part::Delayed,
    Part::Leased,
    Part::Counts,
    Part::Dead,
    Part::Reasons,
];
const DEAD: [Part; 3] = [Part::Queue, Part::Messages, Part::Dead];
const REDRIVE: [Part; 7] = [
    Part::Messages,
    Part::Normal,
    Part::High,
    Part::Low,
    Part::Dead,
    Part::Reasons,
    Part::Wake,
];

/// The most messages that one look shows, since the server does nothing else meanwhile.
const MOST_SHOWN: usize = 1_000;

/// Dead entries in the order of their deaths, each with its place in it and the first bytes of its message.
type Dead = Vec<(Vec<u8>, i64, Vec<u8>)>;

#[async_trait]
impl BrokerAdmin for RedisBroker {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        let depths = join_all(queues.iter().map(|queue| self.depth_of(queue))).await;
        let mut found = Vec::with_capacity(depths.len());
        for depth in depths {
            match depth {
                Ok(depth) => found.push(depth),
                Err(Error::NoQueue(_)) => {}
                Err(e) => return Err(bananas_core::Error::from(e).during("depth")),
            }
        }
        Ok(found)
    }

    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>> {
        let args = vec![name(bucket).into(), max.min(MOST_SHOWN).to_string().into()];
        let answer = self.shared.run_on(Script::Peek, queue, &PEEK, args).await?;
        Ok(self.shared.read(shown(answer))?)
    }

    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        let mut purged = 0;
        loop {
            let args = vec![name(bucket).into(), BATCH.to_string().into()];
            let answer = self
                .shared
                .run_on(Script::Purge, queue, &PURGE, args)
                .await?;
            let numbers =
                reply::integers(answer).and_then(|numbers| <[i64; 2]>::try_from(numbers).ok());
            let [count, more] = self.shared.read(numbers)?;
            purged += u64::try_from(count).unwrap_or_default();
            if more == 0 {
                return Ok(purged);
            }
        }
    }

    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        let mut redriven = 0;
        // What dies again meanwhile comes behind all that is dead now.
        let last = self.last_dead(queue).await?;
        let mut after = 0;
        while after < last {
            let dead = self.dead_after(queue, after).await?;
            let Some((_, place, _)) = dead.last() else {
                break;
            };
            after = *place;
            let is_meant = |head: &[u8]| {
                ids.is_none_or(|ids| envelope::id(head).is_some_and(|id| ids.contains(&id)))
            };
            let meant = dead
                .into_iter()
                .filter(|(_, place, head)| *place <= last && is_meant(head));
            let entries: Vec<Vec<u8>> = meant.map(|(entry, _, _)| entry).collect();
            if !entries.is_empty() {
                let answer = self
                    .shared
                    .run(Script::Redrive, queue, &REDRIVE, entries)
                    .await?;
                redriven += self.shared.read(reply::count(&answer))?;
            }
        }
        Ok(redriven)
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        let names = keys::names(&self.shared.namespace);
        let queues = queues_in(&self.shared, &names).await?;
        let exist = join_all(queues.iter().map(|queue| self.exists(queue))).await;
        let mut found = Vec::with_capacity(queues.len());
        for (queue, exists) in queues.into_iter().zip(exist) {
            if exists? {
                found.push(queue);
            }
        }
        Ok(found)
    }

    async fn delete(&self, queue: &QueueName) -> Result<()> {
        let mut delete = redis::cmd("UNLINK");
        delete.arg(self.shared.keys(queue).all());
        self.shared.wire().command(&delete).await?;
        let mut forget = redis::cmd("SREM");
        forget
            .arg(keys::names(&self.shared.namespace))
            .arg(queue.as_str());
        self.shared.wire().command(&forget).await?;
        // Somebody who waits looks, and sees that it is gone.
        let mut ring = redis::cmd("ZADD");
        ring.arg(self.shared.keys(queue).key(Part::Wake))
            .arg(0)
            .arg("");
        self.shared.wire().command(&ring).await?;
        // Who waited has taken it by now.
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(self.shared.keys(queue).key(Part::Wake));
        self.shared.wire().command(&unlink).await?;
        Ok(())
    }
}

impl RedisBroker {
    pub(super) async fn exists(&self, queue: &QueueName) -> std::result::Result<bool, Error> {
        let mut command = redis::cmd("EXISTS");
        command.arg(self.shared.keys(queue).key(Part::Queue));
        let answer = self.shared.wire().command(&command).await?;
        Ok(self.shared.read(reply::integer(&answer))? == 1)
    }

    async fn depth_of(&self, queue: &QueueName) -> std::result::Result<Depth, Error> {
        let answer = self
            .shared
            .run_on(Script::Depth, queue, &DEPTH, Vec::new())
            .await?;
        self.shared.read(depth(queue, answer))
    }

    /// The place of the latest dead entry; 0 if there is none.
    async fn last_dead(&self, queue: &QueueName) -> std::result::Result<i64, Error> {
        if !self.exists(queue).await? {
            return Err(Error::NoQueue(queue.clone()));
        }
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.shared.keys(queue).key(Part::Dead));
        command.arg(-1).arg(-1).arg("WITHSCORES");
        let answer = self.shared.wire().command(&command).await?;
        let last = self.shared.read(reply::list(answer))?.into_iter().nth(1);
        let last = last
            .and_then(reply::text)
            .and_then(|place| place.parse().ok());
        Ok(last.unwrap_or_default())
    }

    async fn dead_after(&self, queue: &QueueName, after: i64) -> std::result::Result<Dead, Error> {
        let args = vec![after.to_string().into(), BATCH.to_string().into()];
        let answer = self.shared.run_on(Script::Dead, queue, &DEAD, args).await?;
        self.shared.read(dead(answer))
    }
}

fn name(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::Ready => "ready",
        Bucket::Delayed => "delayed",
        Bucket::Dead => "dead",
    }
}

fn depth(queue: &QueueName, answer: Value) -> Option<Depth> {
    let [incarnation, ready, in_flight, delayed, dead] =
        <[Value; 5]>::try_from(reply::list(answer)?).ok()?;
    let exact = |value: &Value| reply::count(value).map(Count::Exact);
    Some(Depth {
        queue: queue.clone(),
        ready: exact(&ready)?,
        in_flight: exact(&in_flight)?,
        delayed: exact(&delayed)?,
        dead: exact(&dead)?,
        incarnation: Some(reply::text(incarnation)?),
    })
}

/// Messages as people see them; dead ones with their reasons.
fn shown(answer: Value) -> Option<Vec<RawMessage>> {
    let [messages, reasons] = <[Value; 2]>::try_from(reply::list(answer)?).ok()?;
    let mut reasons = reply::list(reasons)?.into_iter();
    let mut shown = Vec::new();
    for message in reply::list(messages)? {
        let reason = reasons.next().and_then(reply::bytes);
        // An entry without a message is nobody's.
        if let Some(bytes) = reply::bytes(message) {
            let mut message = envelope::decode(bytes);
            if let Some(reason) = reason {
                let name = DEAD_REASON_PROPERTY;
                // What the message itself says under this name would hide why it is dead.
                message.properties.retain(|(other, _)| other != name);
                message
                    .properties
                    .push((name.to_owned(), Bytes::from(reason)));
            }
            shown.push(message);
        }
    }
    Some(shown)
}

fn dead(answer: Value) -> Option<Dead> {
    let [entries, places, heads] = <[Value; 3]>::try_from(reply::list(answer)?).ok()?;
    let entries = reply::list(entries)?.into_iter().map(reply::bytes);
    let heads = reply::list(heads)?.into_iter().map(reply::bytes);
    let places = reply::integers(places)?.into_iter();
    let all = entries.zip(places).zip(heads);
    all.map(|((entry, place), head)| Some((entry?, place, head?)))
        .collect()
}
