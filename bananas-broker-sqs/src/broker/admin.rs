//! Looking after queues, as far as the server allows it: what is dead can be looked through, what waits cannot.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use bananas_core::{Bucket, Count, DEAD_REASON_PROPERTY, Depth, JobId, QueueName, RawMessage};

use super::publish;
use super::queues::{self, Attributes};
use super::receive::{Taken, receive_from};
use crate::batch::Entry;
use crate::error::Error;
use crate::gather::{self, BATCH, Lane};
use crate::names::Place;
use crate::requests::Operation;
use crate::shared::Shared;

/// How long messages are hidden while they are looked through.
const LOOKING: Duration = Duration::from_secs(60);

/// Shown of a dead message that the server itself has set aside.
const BY_SERVER: &str = "it was delivered too often, and SQS has set it aside";

pub(super) async fn depth(shared: &Shared, queue: &QueueName) -> Result<Depth, Error> {
    let live = queues::attributes(shared, queue, Place::Live).await?;
    let dead = match queues::attributes(shared, queue, Place::Dead).await {
        Ok(dead) => ready(&dead),
        Err(Error::NoQueue(_)) => Count::Unknown,
        Err(error) => return Err(error),
    };
    Ok(Depth {
        queue: queue.clone(),
        ready: ready(&live),
        in_flight: about(
            &live,
            &QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ),
        delayed: about(
            &live,
            &QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ),
        dead,
        incarnation: live.get(&QueueAttributeName::CreatedTimestamp).cloned(),
    })
}

fn ready(found: &Attributes) -> Count {
    about(found, &QueueAttributeName::ApproximateNumberOfMessages)
}

fn about(found: &Attributes, name: &QueueAttributeName) -> Count {
    let count = found.get(name).and_then(|count| count.parse().ok());
    count.map_or(Count::Unknown, Count::About)
}

/// The first dead messages. They are hidden for a moment, and their deliveries are counted by the server.
pub(super) async fn peek(
    shared: &Arc<Shared>,
    queue: &QueueName,
    bucket: Bucket,
    max: usize,
) -> Result<Vec<RawMessage>, Error> {
    match bucket {
        Bucket::Dead => {}
        Bucket::Ready => return Err(Error::NotShown("ready")),
        Bucket::Delayed => return Err(Error::NotShown("delayed")),
    }
    let mut seen = Vec::new();
    while seen.len() < max {
        let some = (max - seen.len()).min(BATCH);
        let place = (queue, Place::Dead);
        let more = receive_from(shared, place, some, (Duration::from_secs(1), LOOKING)).await;
        match more {
            Ok(more) if more.is_empty() => break,
            Ok(more) => seen.extend(more),
            Err(error) => {
                put_back(shared, queue, seen).await?;
                return Err(error);
            }
        }
    }
    let shown = seen.iter().map(|taken| shown(taken.message.clone()));
    let shown = shown.collect();
    put_back(shared, queue, seen).await?;
    Ok(shown)
}

fn shown(message: RawMessage) -> RawMessage {
    if message.property(DEAD_REASON_PROPERTY).is_some() {
        return message;
    }
    message.dead_because(BY_SERVER)
}

fn lane(queue: &QueueName, place: Place, operation: Operation) -> Lane {
    Lane {
        queue: queue.clone(),
        place,
        operation,
    }
}

/// Makes dead messages that were looked through visible again.
async fn put_back(shared: &Arc<Shared>, queue: &QueueName, seen: Vec<Taken>) -> Result<(), Error> {
    let lane = lane(queue, Place::Dead, Operation::ChangeVisibility);
    let put = seen.into_iter().map(|taken| Entry::Hide {
        handle: taken.handle,
        seconds: 0,
    });
    all(shared, &lane, put.collect()).await
}

async fn delete(
    shared: &Arc<Shared>,
    queue: &QueueName,
    place: Place,
    taken: &[Taken],
) -> Result<(), Error> {
    let lane = lane(queue, place, Operation::Delete);
    let delete = taken.iter().map(|taken| Entry::Delete {
        handle: taken.handle.clone(),
    });
    all(shared, &lane, delete.collect()).await
}

/// Waits for the answers to all entries; the first error.
async fn all(shared: &Arc<Shared>, lane: &Lane, entries: Vec<Entry>) -> Result<(), Error> {
    let asked: Vec<_> = entries
        .into_iter()
        .map(|entry| gather::submit(shared, lane, entry))
        .collect();
    for receiver in asked {
        gather::answer(receiver).await?;
    }
    Ok(())
}

/// Takes and deletes one by one, for the server's own purge would take what is in flight along.
pub(super) async fn purge(
    shared: &Arc<Shared>,
    queue: &QueueName,
    bucket: Bucket,
) -> Result<u64, Error> {
    let place = match bucket {
        Bucket::Ready => Place::Live,
        Bucket::Dead => Place::Dead,
        Bucket::Delayed => return Err(Error::NotShown("delayed")),
    };
    let mut purged = 0;
    loop {
        let wait = Duration::from_secs(1);
        let taken = receive_from(shared, (queue, place), BATCH, (wait, LOOKING)).await?;
        if taken.is_empty() {
            return Ok(purged);
        }
        delete(shared, queue, place, &taken).await?;
        purged += u64::try_from(taken.len()).unwrap_or_default();
    }
}

/// Publishes dead messages again and deletes them then; those not meant are put back in the end.
pub(super) async fn redrive(
    shared: &Arc<Shared>,
    queue: &QueueName,
    ids: Option<&[JobId]>,
) -> Result<u64, Error> {
    let is_meant =
        |taken: &Taken| ids.is_none_or(|ids| taken.message.id.is_some_and(|id| ids.contains(&id)));
    let mut redriven = 0;
    let mut others = Vec::new();
    loop {
        let wait = Duration::from_secs(1);
        let dead = (queue, Place::Dead);
        let taken = match receive_from(shared, dead, BATCH, (wait, LOOKING)).await {
            Ok(taken) if !taken.is_empty() => taken,
            Ok(_) => break,
            Err(error) => {
                put_back(shared, queue, others).await?;
                return Err(error);
            }
        };
        let (meant, rest): (Vec<Taken>, Vec<Taken>) = taken.into_iter().partition(is_meant);
        others.extend(rest);
        for taken in &meant {
            let message = revived(taken.message.clone());
            let outgoing = publish::prepare(shared, &message, Duration::ZERO)?;
            gather::answer(publish::send(shared, queue, Place::Live, outgoing)).await?;
        }
        delete(shared, queue, Place::Dead, &meant).await?;
        redriven += u64::try_from(meant.len()).unwrap_or_default();
    }
    put_back(shared, queue, others).await?;
    Ok(redriven)
}

fn revived(mut message: RawMessage) -> RawMessage {
    message
        .properties
        .retain(|(name, _)| name != DEAD_REASON_PROPERTY);
    message
}

pub(super) async fn queues(shared: &Shared) -> Result<Vec<QueueName>, Error> {
    let mut queues = Vec::new();
    let mut page = None;
    loop {
        let client = shared.wire.client();
        let request = client
            .list_queues()
            .queue_name_prefix(shared.names.prefix())
            .max_results(1_000)
            .set_next_token(page);
        let answer = shared
            .wire
            .call(Operation::Other, 0, Box::pin(request.send()))
            .await?;
        for url in answer.queue_urls.unwrap_or_default() {
            let name = url.rsplit('/').next().unwrap_or_default();
            queues.extend(shared.names.live(name));
        }
        page = answer.next_token;
        if page.is_none() {
            queues.sort();
            return Ok(queues);
        }
    }
}

pub(super) async fn remove(shared: &Shared, queue: &QueueName) -> Result<(), Error> {
    for place in [Place::Live, Place::Dead] {
        let url = match shared.url(queue, place).await {
            Ok(url) => url,
            Err(Error::NoQueue(_)) => continue,
            Err(error) => return Err(error),
        };
        let request = shared.wire.client().delete_queue().queue_url(url);
        let deleted = shared
            .wire
            .call(Operation::Other, 0, Box::pin(request.send()))
            .await;
        match deleted.map_err(|error| shared.told(queue, place, error)) {
            Ok(_) | Err(Error::NoQueue(_)) => {}
            Err(error) => return Err(error),
        }
        let name = shared.names.of(queue, place)?;
        crate::held::lock(&shared.urls).remove(&name);
    }
    Ok(())
}
