//! Publishing messages.

use bananas_core::broker::packed;
use bananas_core::{Priority, Publish, Published, RawMessage, Result, Timestamp};
use futures::future::join_all;
use redis::Value;

use super::batches::{Batch, Batches};
use crate::engine::{MAX_MESSAGE, Shared};
use crate::error::Error;
use crate::keys::Part;
use crate::script::Script;

const PLAIN: [Part; 4] = [Part::Queue, Part::Numbers, Part::Normal, Part::Wake];
const ANY: [Part; 8] = [
    Part::Queue,
    Part::Numbers,
    Part::Messages,
    Part::Normal,
    Part::High,
    Part::Low,
    Part::Delayed,
    Part::Wake,
];

/// Publishes messages: one call for each batch, all of them on their way at once.
pub(super) async fn publish(shared: &Shared, all: Vec<Publish>) -> Vec<Result<Published>> {
    let mut answers: Vec<Result<Published>> = Vec::with_capacity(all.len());
    let mut batches = Batches::new();
    for (place, Publish { queue, message }) in all.into_iter().enumerate() {
        answers.push(match check_size(&message) {
            Ok(()) => Ok(Published {
                id: message.id,
                duplicate: false,
            }),
            Err(e) => Err(bananas_core::Error::from(e).on(&queue).during("publish")),
        });
        if answers.last().is_some_and(Result::is_ok) {
            let bytes = packed::size(&message);
            batches.add(&queue, (place, message), bytes);
        }
    }
    let calls = batches
        .into_vec()
        .into_iter()
        .map(async |batch: Batch<RawMessage>| {
            let places: Vec<usize> = batch.items.iter().map(|(place, _)| *place).collect();
            let queue = batch.queue.clone();
            (queue, places, send(shared, batch).await)
        });
    for (queue, places, sent) in join_all(calls).await {
        let Err(error) = sent else { continue };
        let error = bananas_core::Error::from(error)
            .on(&queue)
            .during("publish");
        for place in places {
            if let Some(answer) = answers.get_mut(place) {
                *answer = Err(error.repeat());
            }
        }
    }
    answers
}

async fn send(shared: &Shared, batch: Batch<RawMessage>) -> std::result::Result<(), Error> {
    let now = shared.env.now();
    let is_plain = |message: &RawMessage| {
        message.priority == Priority::DEFAULT && message.not_before.is_none_or(|at| at <= now)
    };
    let messages = batch.items.iter().map(|(_, message)| message);
    let answer = if messages.clone().all(is_plain) {
        let args = messages.map(packed::pack).collect();
        shared
            .run_on(Script::PublishPlain, &batch.queue, &PLAIN, args)
            .await
    } else {
        let args = messages.flat_map(|message| {
            let due = message.not_before.map_or(0, Timestamp::as_micros);
            let priority = message.priority.get().to_string().into_bytes();
            [
                priority,
                due.to_string().into_bytes(),
                packed::pack(message),
            ]
        });
        shared
            .run_on(Script::Publish, &batch.queue, &ANY, args.collect())
            .await
    };
    shared.read(matches!(answer?, Value::Int(0)).then_some(()))
}

/// B23.
pub(super) fn check_size(message: &RawMessage) -> std::result::Result<(), Error> {
    let (bytes, limit) = (message.body.len(), MAX_MESSAGE);
    if bytes > limit {
        return Err(Error::TooLarge { bytes, limit });
    }
    Ok(())
}
