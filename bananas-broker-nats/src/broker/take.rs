//! Taking messages: asking lane after lane, the most urgent first, and making each lease what was asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Message;
use bananas_core::{ConsumerSpec, Delivery, DeliveryCount, RawMessage, Tick};
use futures::future::join_all;
use serde_json::{Value, json};

use super::ensure::OWN_LEASE;
use super::envelope;
use super::holds::{Held, Out, lease};
use super::pull::{Arrival, Ending, Inbox};
use super::receipt::Claimed;
use super::words;
use crate::engine::Shared;
use crate::error::Error;
use crate::jetstream::{self, Reply, tell};
use crate::names::Names;

/// The most messages to ask for at once.
const MOST: usize = 1_000;

/// What was taken and not yet returned.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// With the lane of each, the most urgent first.
    pub(super) deliveries: VecDeque<(usize, Delivery)>,
    /// How many calls have asked for something.
    pub(super) call: u64,
    /// The lane of the least urgent that came last.
    pub(super) latest: usize,
    /// Nobody returns anything any more.
    pub(super) abandoned: bool,
}

impl Hold {
    /// The lane of the least urgent among the next so many.
    pub(super) fn least(&self, max: usize) -> Option<usize> {
        let next = max.min(self.deliveries.len());
        let (lane, _) = self.deliveries.get(next.checked_sub(1)?)?;
        Some(*lane)
    }
}

/// How long a lane may take to say something.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// How many more urgent messages are taken when others were found before.
pub(super) const RECHECK: usize = 16;

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
pub(super) struct Came {
    message: Message,
    /// Where the server hears of it.
    reply: Reply,
    pub(super) told: Told,
    /// `None` if it may have begun any time before now.
    since: Option<Tick>,
}

/// What the subject for settling a delivery tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) lane: usize,
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
        if let Some(Waited { mut inbox, first }) = waited {
            // Each lane sends one message or word at most, and now and then a heartbeat.
            let rest = inbox.leave(wire, 2 * self.lanes).await;
            // A connection that ends takes along what was on its way; its leases end by themselves.
            let all = first.into_iter().chain(rest.unwrap_or_default());
            came.extend(all.filter_map(|message| Came::read(message, &inbox, None)));
        }
        let credit = self.out.room(wire.env.monotonic()).unwrap_or(0);
        let room = max.min(credit);
        let looked = match came.len() < room {
            true => self.look(room, &mut came).await,
            false => Ok(()),
        };
        self.put(came, looked).await
    }

    /// Puts what came into the hold, as far as there is credit, and gives back the rest. Something that came counts
    /// more than how the look ended.
    pub(super) async fn put(
        &self,
        mut came: Vec<Came>,
        looked: Result<(), Error>,
    ) -> Result<(), Error> {
        let credit = self.out.room(self.shared.env.monotonic()).unwrap_or(0);
        // What was waited for, or found first, may be less urgent than the rest.
        came.sort_by_key(|came| std::cmp::Reverse(came.told.lane));
        let beyond = came.split_off(credit.min(came.len()));
        let least = came.last().map(|came| came.told.lane);
        self.admit(came).await;
        let beyond = beyond.into_iter().map(|came| self.refuse(came));
        join_all(beyond).await;
        if self.hold().abandoned {
            self.give_back().await;
        }
        match least {
            Some(lane) => {
                self.hold().latest = lane;
                Ok(())
            }
            None => looked,
        }
    }

    /// Asks lane after lane until so many have come.
    async fn look(&self, room: usize, came: &mut Vec<Came>) -> Result<(), Error> {
        let wire = self.shared.wire();
        let unique = self.shared.env.random();
        let namespace = &self.shared.namespace;
        let mut inbox = Inbox::open(wire, namespace, unique, wire.deadline()).await?;
        // What is held is handed out before anything of its lane or below.
        let down_to = self.hold().least(room).map_or(0, |lane| lane + 1);
        let mut floor = self.descend(&mut inbox, down_to, room, came).await?;
        // While a lower lane was asked, something more urgent may have come before what was found there.
        while let Some(lane) = floor {
            let room = came.len() + RECHECK;
            floor = self.descend(&mut inbox, lane + 1, room, came).await?;
        }
        Ok(())
    }

    /// Asks the lanes down to this one until so many have come; the lowest in which there were any, if lanes
    /// above it were asked before.
    pub(super) async fn descend(
        &self,
        inbox: &mut Inbox,
        down_to: usize,
        room: usize,
        came: &mut Vec<Came>,
    ) -> Result<Option<usize>, Error> {
        let wire = self.shared.wire();
        let mut floor = None;
        for lane in (down_to..self.lanes).rev() {
            while came.len() < room {
                let before = came.len();
                let asked = wire.env.monotonic();
                let batch = (room - before).min(MOST);
                inbox.ask_now(wire, &self.names, lane, batch).await?;
                let ending = self.collect(inbox, (lane, batch), asked, came).await?;
                if came.len() > before && lane + 1 < self.lanes {
                    floor = Some(lane);
                }
                match ending {
                    None => {}
                    Some(Ending::Full) => return Ok(floor),
                    Some(Ending::Silence) => {
                        self.check_lane(lane).await?;
                        return Ok(None);
                    }
                    Some(Ending::Nobody) => {
                        return Err(self.shared.nobody_answers(&self.spec.queue).await);
                    }
                    Some(Ending::Empty | Ending::Other) => break,
                }
            }
        }
        Ok(floor)
    }

    /// Whether a lane that says nothing is there.
    async fn check_lane(&self, lane: usize) -> Result<(), Error> {
        let (stream, consumer) = (&self.names.stream, Names::consumer(lane));
        let what = format!("CONSUMER.INFO.{stream}.{consumer}");
        let wire = self.shared.wire();
        match jetstream::api(wire, &what, &Value::Null, wire.deadline()).await {
            Err(e) if e.is_missing() => Err(self.shared.nobody_answers(&self.spec.queue).await),
            answer => answer.map(drop),
        }
    }

    /// Hears the answer to a request, and leaves the inbox if there is none; `None` if as many came as were asked for.
    async fn collect(
        &self,
        inbox: &mut Inbox,
        (lane, batch): (usize, usize),
        asked: Tick,
        came: &mut Vec<Came>,
    ) -> Result<Option<Ending>, Error> {
        let wire = self.shared.wire();
        let mut left = batch;
        while left > 0 {
            match inbox.next_of(wire, lane, PATIENCE).await? {
                Arrival::End(_, Ending::Silence) => {
                    let rest = inbox.leave(wire, left + 1).await?.into_iter();
                    came.extend(rest.filter_map(|message| Came::read(message, inbox, None)));
                    return Ok(Some(Ending::Silence));
                }
                Arrival::Message(message) => {
                    left -= 1;
                    came.extend(Came::read(message, inbox, Some(asked)));
                }
                Arrival::End(of, ending) if of == lane => return Ok(Some(ending)),
                Arrival::End(..) | Arrival::Heartbeat | Arrival::Echo => {}
            }
        }
        Ok(None)
    }

    /// Puts messages into the hold, in their order, each with the lease that was asked for. Where that fails, its
    /// own lease ends soon.
    async fn admit(&self, came: Vec<Came>) {
        let leases = came.iter().map(|came| self.lease_of(came));
        let leases = join_all(leases).await;
        for (came, lease) in came.into_iter().zip(leases) {
            match lease {
                Ok(Some(since)) => self.keep(came, since),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "a NATS message came and could not be leased")
                }
            }
        }
    }

    /// When its lease began; `None` for a message that was set aside by somebody who could not finish that.
    async fn lease_of(&self, came: &Came) -> Result<Option<Tick>, Error> {
        let wire = self.shared.wire();
        let (reply, told) = (&came.reply, came.told);
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

    fn keep(&self, came: Came, since: Tick) {
        let shared = &self.shared;
        let (raw, told) = (came.message, came.told);
        let message: RawMessage = envelope::decode(raw.payload, raw.headers.as_ref());
        let lease = lease(since, self.spec.lease);
        let key = shared.holds.number();
        let claimed = Claimed {
            consumer: self.out.consumer,
            key,
        };
        let held = Held {
            reply: came.reply,
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
        let mut hold = self.hold();
        // Behind those of its own lane.
        let place = hold
            .deliveries
            .partition_point(|(lane, _)| *lane >= told.lane);
        hold.deliveries.insert(place, (told.lane, delivery));
    }

    /// Gives back what came beyond the credit.
    async fn refuse(&self, came: Came) {
        let wire = self.shared.wire();
        // If it is not heard, the lease ends by itself.
        drop(tell(wire, &came.reply, words::release(), wire.deadline()).await);
    }

    /// Gives back what is in the hold.
    pub(super) async fn give_back(&self) {
        let wire = self.shared.wire();
        let deliveries = std::mem::take(&mut self.hold().deliveries);
        let told = deliveries.into_iter().map(async |(_, delivery)| {
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

impl Came {
    pub(super) fn read(message: Message, inbox: &Inbox, since: Option<Tick>) -> Option<Self> {
        let reply = message.reply.as_ref()?.to_string();
        let told = told(&reply);
        if told.is_none() {
            tracing::warn!(%reply, "a NATS message came that is not of a consumer");
        }
        told.map(|told| Self {
            message,
            reply: inbox.reply_to(reply),
            told,
            since,
        })
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
    let lane = parts.get(at - 1)?.strip_prefix("lane")?;
    Some(Told {
        lane: lane.parse().ok()?,
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
            lane: 1,
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
