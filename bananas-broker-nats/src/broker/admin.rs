//! Looking after queues.

use async_nats::HeaderMap;
use async_trait::async_trait;
use bananas_core::broker::packed;
use bananas_core::{
    BrokerAdmin, Bucket, Count, Depth, Error as Seen, JobId, QueueName, RawMessage, Result,
};
use futures::future::{join_all, try_join_all};
use serde_json::{Value, json};

use super::ensure::lanes;
use super::publish::lane;
use super::pull::{Arrival, Ending, Inbox};
use super::{NatsBroker, envelope, words};
use crate::engine::Shared;
use crate::error::Error;
use crate::jetstream::{self, Stored, api, tell};
use crate::names::{self, Names};

/// How many messages are purged at a time.
const BATCH: usize = 500;

type Outcome<T> = std::result::Result<T, Error>;

#[async_trait]
impl BrokerAdmin for NatsBroker {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        let depths = queues.iter().map(|queue| depth(&self.shared, queue));
        let depths = try_join_all(depths).await;
        let depths = depths.map_err(|e| Seen::from(e).during("depth"))?;
        Ok(depths.into_iter().flatten().collect())
    }

    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>> {
        let peeked = peek(&self.shared, queue, bucket, max).await;
        peeked.map_err(|e| Seen::from(e).during("peek").on(queue))
    }

    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        let purged = purge(&self.shared, queue, bucket).await;
        purged.map_err(|e| Seen::from(e).during("purge").on(queue))
    }

    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        let redriven = redrive(&self.shared, queue, ids).await;
        redriven.map_err(|e| Seen::from(e).during("redrive").on(queue))
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        let queues = queues(&self.shared).await;
        queues.map_err(|e| Seen::from(e).during("queues"))
    }

    async fn delete(&self, queue: &QueueName) -> Result<()> {
        let deleted = delete(&self.shared, queue).await;
        deleted.map_err(|e| Seen::from(e).during("delete").on(queue))
    }
}

async fn ask(shared: &Shared, what: String, request: &Value) -> Outcome<Value> {
    let wire = shared.wire();
    api(wire, &what, request, wire.deadline()).await
}

/// The counts of a queue; `None` if there is no such queue.
async fn depth(shared: &Shared, queue: &QueueName) -> Outcome<Option<Depth>> {
    let names = shared.names(queue)?;
    let stream = match shared.look_up(queue).await {
        Err(Error::NoQueue(_)) => return Ok(None),
        stream => stream?,
    };
    let lanes = (0..lanes(&stream)).map(async |lane| {
        let what = format!("CONSUMER.INFO.{}.{}", names.stream, Names::consumer(lane));
        match ask(shared, what, &Value::Null).await {
            Err(e) if e.is_missing() => Ok((0, 0)),
            answer => answer.map(|lane| {
                let number = |name: &str| lane[name].as_u64().unwrap_or(0);
                (number("num_pending"), number("num_ack_pending"))
            }),
        }
    });
    let lanes = try_join_all(lanes).await?;
    let ready: u64 = lanes.iter().map(|(ready, _)| ready).sum();
    let in_flight: u64 = lanes.iter().map(|(_, in_flight)| in_flight).sum();
    let all = stream["state"]["messages"].as_u64().unwrap_or(0);
    let what = format!("STREAM.INFO.{}", names.dead);
    let dead = match ask(shared, what, &Value::Null).await {
        Err(e) if e.is_missing() => 0,
        dead => dead?["state"]["messages"].as_u64().unwrap_or(0),
    };
    Ok(Some(Depth {
        queue: queue.clone(),
        // What was given back, or whose lease is over, counts as in flight until it is delivered again.
        ready: Count::About(ready),
        in_flight: Count::About(in_flight),
        // Where nothing waits, there can still be a rest: a server of version 2.9 that was killed may have forgotten
        // to remove what was acknowledged, and knows that nobody is to get it.
        delayed: match shared.schedules() {
            true => Count::About(all.saturating_sub(ready + in_flight)),
            false => Count::Exact(0),
        },
        dead: Count::Exact(dead),
        incarnation: stream["created"].as_str().map(ToOwned::to_owned),
    }))
}

async fn peek(
    shared: &Shared,
    queue: &QueueName,
    bucket: Bucket,
    max: usize,
) -> Outcome<Vec<RawMessage>> {
    let names = shared.names(queue)?;
    let stream = shared.look_up(queue).await?;
    let mut seen = Vec::new();
    match bucket {
        Bucket::Ready => {
            for lane in (0..lanes(&stream)).rev() {
                let first = first_undelivered(shared, &names, lane).await?;
                let subject = names.lane(lane);
                let left = max - seen.len();
                let found = walk(shared, &names.stream, &subject, first, left).await?;
                seen.extend(found.into_iter().map(message_of));
            }
        }
        Bucket::Delayed => {
            let subject = names.all_scheduled();
            let found = walk(shared, &names.stream, &subject, 1, max).await?;
            seen.extend(found.into_iter().map(message_of));
        }
        Bucket::Dead => {
            let found = walk(shared, &names.dead, &names.all_dead(), 1, max).await?;
            seen.extend(found.into_iter().map(|stored| {
                let (message, reason) = envelope::decode_dead(stored.payload);
                message.dead_because(reason)
            }));
        }
    }
    Ok(seen)
}

fn message_of(stored: Stored) -> RawMessage {
    envelope::decode(stored.payload, stored.headers.as_ref())
}

/// Where what was never delivered begins.
async fn first_undelivered(shared: &Shared, names: &Names, lane: usize) -> Outcome<u64> {
    let what = format!("CONSUMER.INFO.{}.{}", names.stream, Names::consumer(lane));
    match ask(shared, what, &Value::Null).await {
        Err(e) if e.is_missing() => Ok(1),
        answer => Ok(answer?["delivered"]["stream_seq"].as_u64().unwrap_or(0) + 1),
    }
}

/// The first messages on a subject from a number on.
async fn walk(
    shared: &Shared,
    stream: &str,
    subject: &str,
    first: u64,
    max: usize,
) -> Outcome<Vec<Stored>> {
    let mut found = Vec::new();
    let mut next = first;
    while found.len() < max {
        let request = json!({ "seq": next, "next_by_subj": subject });
        let Some(stored) = jetstream::message(shared.wire(), stream, &request).await? else {
            break;
        };
        next = stored.sequence + 1;
        found.push(stored);
    }
    Ok(found)
}

async fn purge(shared: &Shared, queue: &QueueName, bucket: Bucket) -> Outcome<u64> {
    let names = shared.names(queue)?;
    let stream = shared.look_up(queue).await?;
    let (what, request) = match bucket {
        // Some versions lose track of a stream of which a part is purged, and none leaves what is in flight.
        Bucket::Ready => return take_all(shared, queue, &names, lanes(&stream)).await,
        Bucket::Delayed if !shared.schedules() => return Ok(0),
        Bucket::Delayed => (&names.stream, json!({ "filter": names.all_scheduled() })),
        Bucket::Dead => (&names.dead, Value::Null),
    };
    let answer = ask(shared, format!("STREAM.PURGE.{what}"), &request).await?;
    Ok(answer["purged"].as_u64().unwrap_or(0))
}

/// Takes all that is ready, and acknowledges it.
async fn take_all(shared: &Shared, queue: &QueueName, names: &Names, lanes: usize) -> Outcome<u64> {
    let wire = shared.wire();
    let _under_way = wire.begin()?;
    let unique = shared.env.random();
    let mut inbox = Inbox::open(wire, &shared.namespace, unique, wire.deadline()).await?;
    let mut purged = 0;
    for lane in 0..lanes {
        let mut more = true;
        while more {
            inbox.ask_now(wire, names, lane, BATCH).await?;
            let mut replies = Vec::new();
            while more && replies.len() < BATCH {
                match inbox.next_of(wire, lane, wire.timeout()).await? {
                    Arrival::Message(message) => {
                        let reply = message.reply.map(|reply| inbox.reply_to(reply.to_string()));
                        replies.extend(reply);
                    }
                    Arrival::End(of, ending) if of == lane => {
                        if matches!(ending, Ending::Nobody | Ending::Silence) {
                            return Err(shared.nobody_answers(queue).await);
                        }
                        more = ending == Ending::Full;
                        break;
                    }
                    Arrival::End(..) | Arrival::Heartbeat | Arrival::Echo => {}
                }
            }
            let acked = replies
                .iter()
                .map(|reply| tell(wire, reply, words::ack(), wire.deadline()));
            for told in join_all(acked).await {
                told?;
                purged += 1;
            }
        }
    }
    Ok(purged)
}

async fn redrive(shared: &Shared, queue: &QueueName, ids: Option<&[JobId]>) -> Outcome<u64> {
    let names = shared.names(queue)?;
    let stream = shared.look_up(queue).await?;
    let lanes = u8::try_from(lanes(&stream)).unwrap_or(1);
    let mut redriven = 0;
    let mut next = 1;
    loop {
        let request = json!({ "seq": next, "next_by_subj": names.all_dead() });
        let found = jetstream::message(shared.wire(), &names.dead, &request).await?;
        let Some(stored) = found else { break };
        next = stored.sequence + 1;
        let (message, _) = envelope::decode_dead(stored.payload.clone());
        let wanted = ids.is_none_or(|ids| message.id.is_some_and(|id| ids.contains(&id)));
        if wanted && revive(shared, &names, &stored, (&message, lanes)).await? {
            redriven += 1;
        }
    }
    Ok(redriven)
}

/// Makes one dead message ready again; whether nobody else did.
async fn revive(
    shared: &Shared,
    names: &Names,
    stored: &Stored,
    (message, lanes): (&RawMessage, u8),
) -> Outcome<bool> {
    let wire = shared.wire();
    let _under_way = wire.begin()?;
    // Who set it aside may not have come to acknowledging the message itself.
    let lived = stored.subject.rsplit('.').next();
    if let Some(lived) = lived.and_then(|number| number.parse().ok()) {
        jetstream::remove(wire, &names.stream, lived).await?;
    }
    // A second attempt at the same makes no second copy.
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", format!("dead {}", stored.sequence));
    let payload = packed::pack(message).into();
    let subject = names.lane(lane(message, lanes));
    let known = jetstream::publish(wire, subject, Some(headers), payload, wire.deadline()).await?;
    jetstream::remove(wire, &names.dead, stored.sequence).await?;
    Ok(!known)
}

async fn queues(shared: &Shared) -> Outcome<Vec<QueueName>> {
    let mut queues = Vec::new();
    let mut offset = 0;
    loop {
        let request = json!({ "subject": names::all_of(&shared.namespace), "offset": offset });
        let answer = ask(shared, "STREAM.NAMES".to_owned(), &request).await?;
        let streams = answer["streams"].as_array().map_or(&[][..], Vec::as_slice);
        let named = streams.iter().filter_map(Value::as_str);
        queues.extend(named.filter_map(|name| names::queue_of(name, &shared.namespace)));
        offset += streams.len() as u64;
        if streams.is_empty() || offset >= answer["total"].as_u64().unwrap_or(0) {
            break;
        }
    }
    queues.sort();
    Ok(queues)
}

async fn delete(shared: &Shared, queue: &QueueName) -> Outcome<()> {
    let names = shared.names(queue)?;
    for stream in [&names.stream, &names.dead] {
        match ask(shared, format!("STREAM.DELETE.{stream}"), &Value::Null).await {
            Err(e) if e.is_missing() => {}
            answer => drop(answer?),
        }
    }
    Ok(())
}
