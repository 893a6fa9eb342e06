//! Publishing messages: each to the subject of its lane, or to one of its own until its time has come.

use std::time::Duration;

use async_nats::HeaderMap;
use bananas_core::broker::packed;
use bananas_core::{Delay, Publish, Published, QueueName, RawMessage, Result, Tick, Timestamp};
use futures::StreamExt;

use crate::engine::Shared;
use crate::error::Error;
use crate::jetstream;

/// How many messages of a batch are on their way at a time.
const ON_THEIR_WAY: usize = 512;

/// What headers and the reason of a dead message may add.
const RESERVE: usize = 8 * 1024;

/// Publishes messages, in their order.
pub(super) async fn publish(shared: &Shared, all: Vec<Publish>) -> Vec<Result<Published>> {
    // The deadline for a connection is the batch's: without one, the last does not wait for all others.
    let until = shared.wire().deadline();
    let sending = all.into_iter().map(async |Publish { queue, message }| {
        let id = message.id;
        let sent = async {
            let _under_way = shared.wire().begin()?;
            let due = message.not_before;
            send(shared, &queue, &message, due, until).await
        };
        let duplicate = false;
        let sent = sent.await.map(|()| Published { id, duplicate });
        sent.map_err(|e| bananas_core::Error::from(e).on(&queue).during("publish"))
    });
    let sending = futures::stream::iter(sending).buffered(ON_THEIR_WAY);
    // Sent in their order: a task that was made to yield would let the next message pass this one.
    tokio::task::unconstrained(sending.collect()).await
}

/// Publishes one message that is due at a time, as a part of something that has begun.
pub(super) async fn send(
    shared: &Shared,
    queue: &QueueName,
    message: &RawMessage,
    due: Option<Timestamp>,
    until: Tick,
) -> std::result::Result<(), Error> {
    check_size(shared, message)?;
    let names = shared.names(queue)?;
    let lane = names.lane(lane(message, shared.info.capabilities.priority_levels));
    let (subject, headers) = match due.filter(|due| *due > shared.server_now()) {
        None => (lane, None),
        Some(due) => {
            check_delay(shared, due.since(shared.server_now()))?;
            let subject = names.scheduled(shared.env.random());
            (subject, Some(schedule(due, lane)?))
        }
    };
    let payload = packed::pack(message).into();
    match jetstream::publish(shared.wire(), subject, headers, payload, until).await {
        Ok(_) => Ok(()),
        Err(Error::NoResponders(_)) => Err(shared.nobody_answers(queue).await),
        Err(e) => Err(e),
    }
}

/// Says when the server is to move the message to its lane.
fn schedule(due: Timestamp, lane: String) -> std::result::Result<HeaderMap, Error> {
    let time = jiff::Timestamp::from_microsecond(due.as_micros())
        .map_err(|e| Error::Refused(format!("the server cannot wait until then: {e}")))?;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Schedule", format!("@at {time}"));
    headers.insert("Nats-Schedule-Target", lane);
    Ok(headers)
}

/// The lane of a message; the highest number is the most urgent.
pub(super) fn lane(message: &RawMessage, lanes: u8) -> usize {
    usize::from(message.priority.get()) * usize::from(lanes) / 101
}

/// B25: whether the server can wait so long.
pub(super) fn check_delay(shared: &Shared, asked: Duration) -> std::result::Result<(), Error> {
    let most = match shared.info.capabilities.delay {
        Delay::Unsupported => Duration::ZERO,
        Delay::Native { max, .. } => max.unwrap_or(Duration::MAX),
    };
    if asked > most {
        return Err(Error::Delay { asked, most });
    }
    Ok(())
}

/// B23 and B27.
pub(super) fn check_size(shared: &Shared, message: &RawMessage) -> std::result::Result<(), Error> {
    let limit = shared.info.capabilities.max_message;
    let bytes = message.body.len();
    if bytes > limit {
        return Err(Error::TooLarge { bytes, limit });
    }
    let properties = message.properties.iter();
    let properties: usize = properties
        .map(|(name, value)| 8 + name.len() + value.len())
        .sum();
    let key = message.key.as_ref().map_or(0, String::len);
    let bytes = bytes + properties + key;
    let limit = shared.max_payload.saturating_sub(RESERVE);
    if bytes > limit {
        return Err(Error::Properties { bytes, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bananas_core::Priority;

    use super::*;

    #[test]
    fn urgent_messages_go_to_higher_lanes() {
        let of = |priority| {
            let mut message = RawMessage::without_id(bytes::Bytes::new());
            message.priority = Priority::new(priority).unwrap();
            lane(&message, 3)
        };
        assert_eq!([0, 33, 34, 50, 67, 68, 100].map(of), [0, 0, 1, 1, 1, 2, 2]);
    }

    #[test]
    fn a_schedule_names_time_and_lane() {
        let due = Timestamp::from_micros(1_795_528_481_449_792);
        let headers = schedule(due, "lane".to_owned()).unwrap();
        let time = headers.get("Nats-Schedule").unwrap().as_str();
        assert_eq!(time, "@at 2026-11-24T13:54:41.449792Z");
        assert!(schedule(Timestamp::from_micros(i64::MAX), String::new()).is_err());
    }
}
