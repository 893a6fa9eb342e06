//! Publishing messages, and the same for those that replace others.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Delay, Error as Seen, Publish, Published, QueueName, RawMessage, Result};
use futures::future::join_all;

use crate::batch::{Entry, Outgoing};
use crate::envelope;
use crate::error::Error;
use crate::gather::{self, Answer, Lane};
use crate::names::Place;
use crate::requests::Operation;
use crate::shared::{Shared, seconds};

/// What is left free in every message, so that there is room for the reason when it is dead.
const REASON_ROOM: usize = 3 * 1024;

/// Publishes messages, ten to a request, all of them on their way at once.
pub(super) async fn publish(shared: &Arc<Shared>, all: Vec<Publish>) -> Vec<Result<Published>> {
    let sent: Vec<_> = all
        .into_iter()
        .map(|Publish { queue, message }| {
            let id = message.id;
            let sent = prepare(shared, &message, Duration::ZERO)
                .map(|outgoing| send(shared, &queue, Place::Live, outgoing));
            async move {
                let answer = match sent {
                    Ok(receiver) => gather::answer(receiver).await,
                    Err(error) => Err(error),
                };
                match answer {
                    Ok(()) => Ok(Published {
                        id,
                        duplicate: false,
                    }),
                    Err(error) => Err(Seen::from(error).on(&queue).during("publish")),
                }
            }
        })
        .collect();
    join_all(sent).await
}

/// Puts a message on its way.
pub(super) fn send(
    shared: &Arc<Shared>,
    queue: &QueueName,
    place: Place,
    outgoing: Outgoing,
) -> tokio::sync::oneshot::Receiver<Answer> {
    let lane = Lane {
        queue: queue.clone(),
        place,
        operation: Operation::Send,
    };
    gather::submit(shared, &lane, Entry::Send(outgoing))
}

/// A message as it is sent, not before `delay` and its own time; fails for what the server does not take.
pub(super) fn prepare(
    shared: &Shared,
    message: &RawMessage,
    delay: Duration,
) -> std::result::Result<Outgoing, Error> {
    let (bytes, limit) = (message.body.len(), shared.info.capabilities.max_message);
    if bytes > limit {
        return Err(Error::TooLarge { bytes, limit });
    }
    let now = shared.env.now();
    let own = message.not_before.map(|at| at.since(now));
    let delay = own.unwrap_or_default().max(delay);
    check_delay(shared, delay)?;
    outgoing(shared, message, delay, shared.max_bytes - REASON_ROOM)
}

/// The same for the dead queue, where nothing waits for its time and there is room for the reason.
pub(super) fn prepare_dead(
    shared: &Shared,
    message: &RawMessage,
) -> std::result::Result<Outgoing, Error> {
    outgoing(shared, message, Duration::ZERO, shared.max_bytes)
}

fn outgoing(
    shared: &Shared,
    message: &RawMessage,
    delay: Duration,
    limit: usize,
) -> std::result::Result<Outgoing, Error> {
    let body = envelope::encode(message);
    let bytes = body.len();
    if bytes > limit {
        return Err(Error::Properties { bytes, limit });
    }
    let fifo = shared.is_fifo();
    // What has no key is in order with nothing.
    let random = || format!("{:016x}{:016x}", shared.env.random(), shared.env.random());
    let key = message.key.as_deref().map(group);
    Ok(Outgoing {
        body,
        group: if fifo {
            key.or_else(|| Some(random()))
        } else {
            key
        },
        // Never the id: a job that is tried again is another message with the same id, which must not be dropped.
        sending: fifo.then(random),
        delay: seconds(delay),
    })
}

/// B4, B25: what cannot be put off so long is refused.
pub(super) fn check_delay(shared: &Shared, asked: Duration) -> std::result::Result<(), Error> {
    match shared.info.capabilities.delay {
        Delay::Unsupported if asked.is_zero() => Ok(()),
        Delay::Unsupported => Err(Error::NoDelay { asked }),
        Delay::Native {
            max: Some(limit), ..
        } if asked > limit => Err(Error::Delay { asked, limit }),
        Delay::Native { .. } => Ok(()),
    }
}

/// A key as a name of a group, which has at most 128 characters of some kinds. Keys that fall together are only
/// in order with each other.
fn group(key: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_punctuation();
    if (1..=128).contains(&key.len()) && key.chars().all(fits) && !key.starts_with("key-") {
        return key.to_owned();
    }
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("key-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_group_that_the_server_takes() {
        assert_eq!(group("tenant/7"), "tenant/7");
        let long = "k".repeat(129);
        for odd in ["", "ü", "a b", "key-1", &long] {
            let group = group(odd);
            assert!(group.len() == 20 && group.is_ascii(), "{odd}: {group}");
        }
        assert_ne!(group("ü"), group("ö"));
    }
}
