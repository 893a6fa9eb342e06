//! All queues and messages, and every move a message can make.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    ConsumerSpec, Delivery, DeliveryCount, Lease, Publish, Published, QueueName, RawMessage,
    Receipt, Settle, Settled, Settlement, Tick, Timestamp,
};
use tokio::sync::Notify;

use super::message::{Holding, Message, Spot};
use super::queue::Queue;
use super::receipt::Token;
use crate::error::Error;
use crate::line::Rank;

/// All queues and messages. Whoever locks it says first what the clocks show.
#[derive(Debug)]
pub(crate) struct Switchboard {
    nonce: u64,
    /// Numbers messages, deliveries, consumers, and turns.
    counter: u64,
    pub(super) messages: HashMap<u64, Message>,
    pub(super) queues: BTreeMap<QueueName, Queue>,
    consumers: HashMap<u64, Hand>,
    now: Timestamp,
    tick: Tick,
    changed: bool,
    bells: Vec<Arc<Notify>>,
}

/// What a consumer holds.
#[derive(Debug)]
struct Hand {
    credit: usize,
    held: usize,
}

/// What a consumer asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) spec: &'a ConsumerSpec,
    pub(super) consumer: u64,
    pub(super) max: usize,
}

impl Switchboard {
    pub(super) fn new(nonce: u64) -> Self {
        Self {
            nonce,
            counter: 0,
            messages: HashMap::new(),
            queues: BTreeMap::new(),
            consumers: HashMap::new(),
            now: Timestamp::default(),
            tick: Tick::default(),
            changed: false,
            bells: Vec::new(),
        }
    }

    /// Sets the clocks. Two threads may read theirs and come here in the other order; a monotonic clock stays
    /// monotonic all the same.
    pub(super) fn clock_is(&mut self, now: Timestamp, tick: Tick) {
        self.now = now;
        self.tick = self.tick.max(tick);
    }

    pub(super) fn ensure(&mut self, name: &QueueName, random: u64) {
        self.queues
            .entry(name.clone())
            .or_insert_with(|| Queue::new(format!("{random:016x}")));
    }

    pub(super) fn publish(&mut self, item: Publish, limit: usize) -> Result<Published, Error> {
        let Publish { queue, message } = item;
        let bytes = message.body.len();
        if bytes > limit {
            return Err(Error::TooLarge { bytes, limit });
        }
        if !self.queues.contains_key(&queue) {
            return Err(Error::NoQueue(queue));
        }
        let number = self.next_number();
        let published = Published {
            id: message.id,
            duplicate: false,
        };
        let message = Message {
            queue,
            rank: Rank::new(message.priority, number),
            spot: self.spot_of(&message, Duration::ZERO),
            raw: message,
            deliveries: 0,
        };
        self.put(number, message);
        Ok(published)
    }

    pub(super) fn consume(&mut self, spec: &ConsumerSpec) -> Result<u64, Error> {
        self.queue(&spec.queue)?;
        let number = self.next_number();
        let credit = usize::try_from(spec.credit).unwrap_or(usize::MAX);
        self.consumers.insert(number, Hand { credit, held: 0 });
        Ok(number)
    }

    /// The consumer takes no more; its deliveries stay valid.
    pub(super) fn leave(&mut self, consumer: u64) {
        self.consumers.remove(&consumer);
    }

    /// Delivers what is ready, as far as the credit goes.
    pub(super) fn reserve(&mut self, wish: Wish<'_>) -> Result<Vec<Delivery>, Error> {
        self.refresh(&wish.spec.queue)?;
        let mut deliveries = Vec::new();
        while deliveries.len() < wish.max
            && self.has_credit(wish.consumer)
            && let Some((_, number)) = self.queue(&wish.spec.queue)?.ready.first()
        {
            deliveries.extend(self.deliver(number, wish));
        }
        Ok(deliveries)
    }

    pub(super) fn settle(&mut self, settle: Settle) -> Result<Settled, Error> {
        let number = match self.holder(&settle.receipt)? {
            Holder::You(number, _) => number,
            Holder::Gone => return Ok(Settled::Already),
            Holder::Another => return Ok(Settled::LeaseLost),
        };
        if let Some(mut message) = self.take_out(number) {
            match settle.settlement {
                Settlement::Ack => return Ok(Settled::Done),
                Settlement::Retry {
                    delay,
                    message: raw,
                } => {
                    let turn = self.next_number();
                    message.rank = Rank::new(raw.priority, turn);
                    message.spot = self.spot_of(&raw, delay);
                    message.raw = *raw;
                    message.deliveries = 0;
                }
                Settlement::Release { delay } => message.spot = self.spot_after(delay),
                Settlement::DeadLetter {
                    reason,
                    message: replacement,
                } => {
                    let place = self.next_number();
                    message.spot = Spot::Dead { place, reason };
                    if let Some(raw) = replacement {
                        message.raw = *raw;
                    }
                }
            }
            self.put(number, message);
        }
        Ok(Settled::Done)
    }

    pub(super) fn extend(&mut self, receipt: &Receipt, lease: Duration) -> Result<Lease, Error> {
        let Holder::You(number, holding) = self.holder(receipt)? else {
            return Err(Error::LeaseLost);
        };
        let until = self.tick + lease;
        self.move_to(number, Spot::Leased(Holding { until, ..holding }));
        Ok(Lease {
            until,
            hard_limit: None,
        })
    }

    /// Makes dead messages ready again, as new as on their first day.
    pub(super) fn redrive(&mut self, number: u64) {
        if let Some(mut message) = self.take_out(number) {
            let turn = self.next_number();
            message.rank = Rank::new(message.raw.priority, turn);
            message.spot = Spot::Ready;
            message.deliveries = 0;
            self.put(number, message);
        }
    }

    /// Makes lapsed and due messages of a queue ready.
    pub(super) fn refresh(&mut self, name: &QueueName) -> Result<(), Error> {
        while let Some(number) = self.queue(name)?.lapsed(self.tick) {
            self.move_to(number, Spot::Ready);
        }
        while let Some(number) = self.queue(name)?.due(self.now, self.tick) {
            if let Some(mut message) = self.take_out(number) {
                let turn = self.next_number();
                message.rank = Rank::new(message.raw.priority, turn);
                message.spot = Spot::Ready;
                self.put(number, message);
            }
        }
        Ok(())
    }

    pub(super) fn queue(&self, name: &QueueName) -> Result<&Queue, Error> {
        self.queues
            .get(name)
            .ok_or_else(|| Error::NoQueue(name.clone()))
    }

    /// Removes a message for good.
    pub(super) fn remove(&mut self, number: u64) {
        drop(self.take_out(number));
    }

    /// Removes a queue; consumers that wait on it learn that it is gone.
    pub(super) fn delete(&mut self, name: &QueueName) {
        let inside = self.messages.iter();
        let inside = inside.filter(|(_, message)| message.queue == *name);
        let inside: Vec<u64> = inside.map(|(number, _)| *number).collect();
        // One by one, so that what consumers held uses no credit any more.
        inside.into_iter().for_each(|number| self.remove(number));
        if let Some(queue) = self.queues.remove(name) {
            self.bells.push(queue.bell);
            self.changed = true;
        }
    }

    /// How many messages are not dead.
    pub(crate) fn alive(&self) -> usize {
        let dead: usize = self.queues.values().map(|queue| queue.dead.len()).sum();
        self.messages.len().saturating_sub(dead)
    }

    /// Whether something changed, and whom to wake, since the last time it was asked.
    pub(super) fn rung(&mut self) -> (bool, Vec<Arc<Notify>>) {
        (
            std::mem::take(&mut self.changed),
            std::mem::take(&mut self.bells),
        )
    }

    fn deliver(&mut self, number: u64, wish: Wish<'_>) -> Option<Delivery> {
        let mut message = self.take_out(number)?;
        let delivery = self.next_number();
        let until = self.tick + wish.spec.lease;
        message.deliveries += 1;
        message.spot = Spot::Leased(Holding {
            delivery,
            consumer: wish.consumer,
            until,
        });
        let token = Token {
            broker: self.nonce,
            message: number,
            delivery,
        };
        let lease = Lease {
            until,
            hard_limit: None,
        };
        let count = DeliveryCount::Exact(message.deliveries);
        let raw = message.raw.clone();
        let answer = Delivery::new(message.queue.clone(), raw, token.receipt(), lease);
        self.put(number, message);
        Some(answer.counted(count))
    }

    /// Who holds the delivery of a receipt now.
    fn holder(&mut self, receipt: &Receipt) -> Result<Holder, Error> {
        let token = Token::read(receipt, self.nonce)?;
        let Some(message) = self.messages.get(&token.message) else {
            return Ok(Holder::Gone);
        };
        match message.spot {
            Spot::Leased(holding) if holding.delivery == token.delivery => {
                if holding.until > self.tick {
                    return Ok(Holder::You(token.message, holding));
                }
                self.move_to(token.message, Spot::Ready);
                Ok(Holder::Another)
            }
            _ => Ok(Holder::Another),
        }
    }

    fn has_credit(&self, consumer: u64) -> bool {
        self.consumers
            .get(&consumer)
            .is_some_and(|hand| hand.held < hand.credit)
    }

    /// Where a message waits that is published now, not to be delivered before its own time or the delay.
    fn spot_of(&self, message: &RawMessage, delay: Duration) -> Spot {
        match message.not_before {
            Some(at) if at > self.now + delay => Spot::Until(at),
            _ => self.spot_after(delay),
        }
    }

    fn spot_after(&self, delay: Duration) -> Spot {
        if delay.is_zero() {
            Spot::Ready
        } else {
            Spot::For(self.tick + delay)
        }
    }

    fn move_to(&mut self, number: u64, spot: Spot) {
        if let Some(mut message) = self.take_out(number) {
            message.spot = spot;
            self.put(number, message);
        }
    }

    fn put(&mut self, number: u64, message: Message) {
        if let Spot::Leased(holding) = &message.spot
            && let Some(hand) = self.consumers.get_mut(&holding.consumer)
        {
            hand.held += 1;
        }
        if let Some(queue) = self.queues.get_mut(&message.queue) {
            queue.put(number, &message);
        }
        self.ring(&message);
        self.messages.insert(number, message);
    }

    fn take_out(&mut self, number: u64) -> Option<Message> {
        let message = self.messages.remove(&number)?;
        if let Spot::Leased(holding) = &message.spot
            && let Some(hand) = self.consumers.get_mut(&holding.consumer)
        {
            hand.held = hand.held.saturating_sub(1);
        }
        if let Some(queue) = self.queues.get_mut(&message.queue) {
            queue.take_out(number, &message);
        }
        self.ring(&message);
        Some(message)
    }

    /// A message that comes or goes concerns those who wait for messages, for credit, or for a time.
    fn ring(&mut self, message: &Message) {
        self.changed = true;
        if let Some(queue) = self.queues.get(&message.queue)
            && self
                .bells
                .last()
                .is_none_or(|last| !Arc::ptr_eq(last, &queue.bell))
        {
            self.bells.push(Arc::clone(&queue.bell));
        }
    }

    fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

/// Who holds the delivery of a receipt.
enum Holder {
    You(u64, Holding),
    /// The message is ready, or with somebody else.
    Another,
    /// There is no such message any more.
    Gone,
}
