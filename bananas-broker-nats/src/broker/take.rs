//! Taking messages: asking lane after lane, the most urgent first, and making each lease what was asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::Message;
use bananas_core::{ConsumerSpec, Delivery, DeliveryCount, RawMessage, Tick};
use futures::future::join_all;
use serde_json::json;

use super::ensure::OWN_LEASE;
use super::envelope;
use super::holds::{Held, Out, lease};
use super::pull::{Arrival, Ending, Inbox};
use super::receipt::Claimed;
use super::words;
use crate::engine::Shared;
use crate::error::Error;
use crate::jetstream::{self, tell};
use crate::names::Names;

/// The most messages to ask for at once.
const MOST: usize = 1_000;

/// What was taken and not yet returned.
#[derive(Debug, Default)]
pub(super) struct Hold {
    pub(super) deliveries: VecDeque<Delivery>,
    /// Nobody returns anything any more.
    pub(super) abandoned: bool,
}

/// Takes messages for one consumer.
#[derive(Clone, Debug)]
pub(super) struct Taker {
    pub(super) shared: Arc<Shared>,
    pub(super) spec: ConsumerSpec,
    pub(super) names: Arc<Names>,
    pub(super) lanes: usize,
    pub(super) out: Arc<Out>,
    pub(super) hold: Arc<Mutex<Hold>>,
}

/// A message that came, and the earliest moment at which its lease can have begun.
struct Came {
    message: Message,
    /// `None` if it may have begun any time before now.
    since: Option<Tick>,
}

/// What the subject for settling a delivery tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    count: u32,
    sequence: u64,
}

impl Taker {
    pub(super) fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes at most `max` of what is ready into the hold; before that, what an inbox still brings. With a `max`
    /// of 0 it takes nothing else.
    pub(super) async fn take(&self, max: usize, waited: Option<Waited>) -> Result<(), Error> {
        let wire = self.shared.wire();
        let _under_way = wire.begin()?;
        let mut came = Vec::new();
        if let Some(waited) = waited {
            let since = None;
            let first = waited.first.into_iter();
            came.extend(first.map(|message| Came { message, since }));
            let rest = waited.inbox.leave(wire, self.lanes).await;
            // A connection that ends takes along what was on its way; its leases end by themselves.
            let rest = rest.unwrap_or_default().into_iter();
            came.extend(rest.map(|message| Came { message, since }));
        }
        let most = if max == 0 { self.lanes } else { max };
        let room = most.min(self.out.room(wire.env.monotonic()).unwrap_or(0));
        let beyond = came.split_off(room.min(came.len()));
        let looked = match max > 0 && came.len() < room {
            true => self.look(room, &mut came).await,
            false => Ok(()),
        };
        let is_any = !came.is_empty();
        join_all(came.into_iter().map(|came| self.admit(came))).await;
        let beyond = beyond.into_iter().map(|came| self.refuse(came));
        join_all(beyond).await;
        if self.hold().abandoned {
            self.give_back().await;
        }
        // What came counts more than what did not.
        if is_any { Ok(()) } else { looked }
    }

    /// Asks lane after lane until so many have come.
    async fn look(&self, room: usize, came: &mut Vec<Came>) -> Result<(), Error> {
        let wire = self.shared.wire();
        let unique = self.shared.env.random();
        let namespace = &self.shared.namespace;
        let mut inbox = Inbox::open(wire, namespace, unique, wire.deadline()).await?;
        for lane in (0..self.lanes).rev() {
            while came.len() < room {
                let asked = wire.env.monotonic();
                let batch = (room - came.len()).min(MOST);
                inbox.ask_now(wire, &self.names, lane, batch).await?;
                match self.collect(&mut inbox, lane, asked, batch, came).await? {
                    None => {}
                    Some(Ending::Full) => return Ok(()),
                    Some(Ending::Nobody) => {
                        return Err(self.shared.nobody_answers(&self.spec.queue).await);
                    }
                    Some(Ending::Empty | Ending::Other) => break,
                }
            }
        }
        Ok(())
    }

    /// Hears the answer to a request; `None` if as many came as were asked for.
    async fn collect(
        &self,
        inbox: &mut Inbox,
        lane: usize,
        asked: Tick,
        batch: usize,
        came: &mut Vec<Came>,
    ) -> Result<Option<Ending>, Error> {
        let mut left = batch;
        while left > 0 {
            match inbox.next_soon(self.shared.wire()).await? {
                Arrival::Message(message) => {
                    left -= 1;
                    let since = Some(asked);
                    came.push(Came { message, since });
                }
                Arrival::End(of, ending) if of == lane => return Ok(Some(ending)),
                Arrival::End(..) | Arrival::Heartbeat | Arrival::Echo => {}
            }
        }
        Ok(None)
    }

    /// Puts a message into the hold, with the lease that was asked for. If that fails, its own lease ends soon.
    async fn admit(&self, came: Came) {
        let Some(reply) = came.message.reply.clone() else {
            return;
        };
        let Some(told) = told(&reply) else {
            tracing::warn!(%reply, "a NATS message came that is not of a consumer");
            return;
        };
        match self.lease_of(&came, &reply, told).await {
            Ok(Some(since)) => self.keep(came.message, told, since),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "a NATS message came and could not be leased"),
        }
    }

    /// When its lease began; `None` for a message that was set aside by somebody who could not finish that.
    async fn lease_of(
        &self,
        came: &Came,
        reply: &str,
        told: Told,
    ) -> Result<Option<Tick>, Error> {
        let wire = self.shared.wire();
        if told.count > 1 && self.is_dead(told.sequence).await? {
            tell(wire, reply, words::ack(), wire.deadline()).await?;
            return Ok(None);
        }
        match came.since {
            Some(since) if self.spec.lease == OWN_LEASE => Ok(Some(since)),
            _ => {
                let words = words::extend(self.spec.lease);
                tell(wire, reply, words, wire.deadline()).await.map(Some)
            }
        }
    }

    async fn is_dead(&self, sequence: u64) -> Result<bool, Error> {
        let request = json!({ "last_by_subj": self.names.dead(sequence) });
        let found = jetstream::message(self.shared.wire(), &self.names.dead, &request).await?;
        Ok(found.is_some())
    }

    fn keep(&self, came: Message, told: Told, since: Tick) {
        let shared = &self.shared;
        let message: RawMessage = envelope::decode(came.payload, came.headers.as_ref());
        let lease = lease(since, self.spec.lease);
        let key = shared.holds.number();
        let claimed = Claimed {
            consumer: self.out.consumer,
            key,
        };
        let held = Held {
            reply: came.reply.map(|reply| reply.to_string()).unwrap_or_default(),
            queue: self.spec.queue.clone(),
            names: Arc::clone(&self.names),
            sequence: told.sequence,
            message: message.clone(),
            lease,
            settling: false,
        };
        let receipt = claimed.receipt(&shared.namespace);
        let delivery = Delivery::new(self.spec.queue.clone(), message, receipt, lease);
        let delivery = delivery.counted(DeliveryCount::Exact(told.count));
        self.out.take(key, held);
        self.hold().deliveries.push_back(delivery);
    }

    /// Gives back what came beyond the credit.
    async fn refuse(&self, came: Came) {
        if let Some(reply) = came.message.reply {
            let wire = self.shared.wire();
            // If it is not heard, the lease ends by itself.
            drop(tell(wire, &reply, words::release(), wire.deadline()).await);
        }
    }

    /// Gives back what is in the hold.
    pub(super) async fn give_back(&self) {
        let wire = self.shared.wire();
        let deliveries = std::mem::take(&mut self.hold().deliveries);
        let told = deliveries.into_iter().map(async |delivery| {
            let Ok(claimed) = Claimed::read(&delivery.receipt, &self.shared.namespace) else {
                return;
            };
            if let Some(held) = self.out.begin(claimed.key, wire.env.monotonic()) {
                // If it is not heard, the lease ends by itself.
                drop(tell(wire, &held.reply, words::release(), wire.deadline()).await);
            }
            self.out.end(claimed.key);
        });
        join_all(told).await;
    }
}

/// An inbox that somebody waited at.
#[derive(Debug)]
pub(super) struct Waited {
    pub(super) inbox: Inbox,
    pub(super) first: Option<Message>,
}

/// Reads `$JS.ACK.stream.consumer.count.sequence...`, where a domain and an account may stand before the stream.
fn told(reply: &str) -> Option<Told> {
    let parts: Vec<&str> = reply.split('.').collect();
    if !reply.starts_with("$JS.ACK.") {
        return None;
    }
    let at = match parts.len() {
        9 => 4,
        11.. => 6,
        _ => return None,
    };
    Some(Told {
        count: parts.get(at)?.parse().ok()?,
        sequence: parts.get(at + 1)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_tells_count_and_sequence_with_and_without_a_domain() {
        let expected = Some(Told {
            count: 2,
            sequence: 17,
        });
        let short = "$JS.ACK.Q+t+a.lane1.2.17.6.1795528448233165220.0";
        assert_eq!(told(short), expected);
        let long = "$JS.ACK.hub.ACCHASH.Q+t+a.lane1.2.17.6.1795528448233165220.0.rnd";
        assert_eq!(told(long), expected);
        assert_eq!(told("_INBOX.1.2.3.4.5.6.7.8"), None);
        assert_eq!(told("$JS.ACK.x"), None);
    }
}
