//! The reference model: every message that was ever published, in one list.

use std::time::Duration;

use bananas_core::{Bucket, Capabilities, DeliveryCount, Ordering, RawMessage};

/// A broker as the contract describes it.
#[derive(Debug)]
pub(super) struct Queues {
    can: Capabilities,
    /// The time since the start.
    pub(super) now: Duration,
    /// Which queues exist.
    pub(super) exist: Vec<bool>,
    pub(super) messages: Vec<Message>,
    pub(super) receipts: Vec<ReceiptFacts>,
    pub(super) consumers: Vec<ConsumerFacts>,
    turns: u64,
}

/// A message and where it is. A message that is gone stays in the list, so that receipts can name it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) queue: usize,
    pub(super) raw: RawMessage,
    pub(super) place: Place,
    pub(super) deliveries: u32,
    /// Between which turns it has its place in the line. The contract says nothing about the place of what came
    /// back or was delayed, only that it is not ahead of what was published before it and waits still.
    turns: (u64, u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ready,
    Delayed { until: Duration },
    Leased { receipt: usize, until: Duration },
    Dead { reason: String },
    Gone,
}

/// What a receipt is worth.
#[derive(Clone, Debug)]
pub(super) struct ReceiptFacts {
    pub(super) message: usize,
    pub(super) consumer: usize,
    pub(super) settled: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ConsumerFacts {
    pub(super) client: usize,
    pub(super) queue: usize,
    pub(super) lease: Duration,
    pub(super) credit: usize,
    pub(super) closed: bool,
    pub(super) stopped: bool,
    /// Its queue was deleted under it.
    pub(super) orphaned: bool,
}

/// Whether the holder of a receipt still has the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    Held,
    Settled,
    Lost,
    /// Lost, and whoever had the message later has ended it.
    LostAndGone,
}

impl Queues {
    pub(super) fn new(can: Capabilities, queues: usize) -> Self {
        Self {
            can,
            now: Duration::ZERO,
            exist: vec![true; queues],
            messages: Vec::new(),
            receipts: Vec::new(),
            consumers: Vec::new(),
            turns: 0,
        }
    }

    /// Time passes: delays and leases end.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        for message in &mut self.messages {
            match message.place {
                Place::Delayed { until } | Place::Leased { until, .. } if until <= self.now => {
                    message.place = Place::Ready;
                    message.turns.1 = u64::MAX;
                }
                _ => {}
            }
        }
    }

    /// A new message, ready after `delay`.
    pub(super) fn publish(&mut self, queue: usize, raw: RawMessage, delay: Duration) {
        self.turns += 1;
        let delayed = !delay.is_zero();
        self.messages.push(Message {
            queue,
            raw,
            place: self.after(delay),
            deliveries: 0,
            turns: (self.turns, if delayed { u64::MAX } else { self.turns }),
        });
    }

    /// What can be delivered now from a queue.
    pub(super) fn ready(&self, queue: usize) -> Vec<usize> {
        self.all_in(queue, |place| *place == Place::Ready)
    }

    /// The messages of a queue in such a place.
    pub(super) fn all_in(&self, queue: usize, place: impl Fn(&Place) -> bool) -> Vec<usize> {
        let all = 0..self.messages.len();
        all.filter(|n| self.messages[*n].queue == queue && place(&self.messages[*n].place))
            .collect()
    }

    pub(super) fn bucket(&self, queue: usize, bucket: Bucket) -> Vec<usize> {
        self.all_in(queue, |place| match bucket {
            Bucket::Ready => *place == Place::Ready,
            Bucket::Delayed => matches!(place, Place::Delayed { .. }),
            Bucket::Dead => matches!(place, Place::Dead { .. }),
        })
    }

    /// How many deliveries a consumer holds.
    pub(super) fn held_by(&self, consumer: usize) -> usize {
        let held = |message: &&Message| match message.place {
            Place::Leased { receipt, .. } => self.receipts[receipt].consumer == consumer,
            _ => false,
        };
        self.messages.iter().filter(held).count()
    }

    /// A message among `waiting` that must be delivered before this one, if there is one.
    pub(super) fn ahead_of(&self, message: usize, waiting: &[usize]) -> Option<usize> {
        let this = &self.messages[message];
        let ahead = |n: &&usize| {
            let other = &self.messages[**n];
            let (mine, theirs) = (this.raw.priority, other.raw.priority);
            // With fewer levels than the steps use, two priorities may be one.
            if mine != theirs && self.can.priority_levels >= 3 {
                return theirs > mine;
            }
            let ordered = match self.can.ordering {
                Ordering::None => false,
                Ordering::Queue => mine == theirs,
                Ordering::Key => mine == theirs && this.raw.key == other.raw.key,
            };
            ordered && other.turns.1 < this.turns.0
        };
        waiting.iter().find(ahead).copied()
    }

    /// Delivers a message and answers the number of its receipt.
    pub(super) fn deliver(&mut self, message: usize, consumer: usize) -> usize {
        let receipt = self.receipts.len();
        self.receipts.push(ReceiptFacts {
            message,
            consumer,
            settled: false,
        });
        let until = self.now + self.consumers[consumer].lease;
        let message = &mut self.messages[message];
        message.place = Place::Leased { receipt, until };
        message.deliveries += 1;
        receipt
    }

    /// Whether the broker counts the deliveries of a message rightly, as well as it says that it can.
    pub(super) fn counts_rightly(&self, message: usize, count: DeliveryCount) -> bool {
        let true_count = self.messages[message].deliveries;
        match count {
            DeliveryCount::Exact(n) => n == true_count,
            DeliveryCount::AtLeast(n) => n <= true_count && !self.can.exact_delivery_count,
            DeliveryCount::Unknown => !self.can.exact_delivery_count,
        }
    }

    pub(super) fn holding(&self, receipt: usize) -> Holding {
        let facts = &self.receipts[receipt];
        match self.messages[facts.message].place {
            Place::Leased { receipt: last, .. } if last == receipt => Holding::Held,
            _ if facts.settled => Holding::Settled,
            Place::Gone => Holding::LostAndGone,
            _ => Holding::Lost,
        }
    }

    pub(super) fn ack(&mut self, receipt: usize) {
        *self.place_of(receipt) = Place::Gone;
    }

    /// The replacement is a new message.
    pub(super) fn retry(&mut self, receipt: usize, replacement: RawMessage, delay: Duration) {
        let failed = self.messages[self.receipts[receipt].message].clone();
        *self.place_of(receipt) = Place::Gone;
        self.publish(failed.queue, replacement, delay);
        if let Some(message) = self.messages.last_mut() {
            message.turns = (failed.turns.0, u64::MAX);
        }
    }

    pub(super) fn release(&mut self, receipt: usize, delay: Duration) {
        let place = self.after(delay);
        *self.place_of(receipt) = place;
        self.messages[self.receipts[receipt].message].turns.1 = u64::MAX;
    }

    pub(super) fn bury(&mut self, receipt: usize, reason: String, message: Option<RawMessage>) {
        *self.place_of(receipt) = Place::Dead { reason };
        if let Some(raw) = message {
            self.messages[self.receipts[receipt].message].raw = raw;
        }
    }

    /// Ends the hold of a receipt; answers where the message is to be put.
    fn place_of(&mut self, receipt: usize) -> &mut Place {
        let facts = &mut self.receipts[receipt];
        facts.settled = true;
        &mut self.messages[facts.message].place
    }

    pub(super) fn extend(&mut self, receipt: usize, lease: Duration) {
        let until = self.now + lease;
        let message = self.receipts[receipt].message;
        self.messages[message].place = Place::Leased { receipt, until };
    }

    pub(super) fn redrive(&mut self, message: usize) {
        let message = &mut self.messages[message];
        message.place = Place::Ready;
        message.turns.1 = u64::MAX;
        message.deliveries = 0;
    }

    /// Removes a queue with everything in it.
    pub(super) fn delete(&mut self, queue: usize) {
        self.exist[queue] = false;
        for message in self.messages.iter_mut().filter(|m| m.queue == queue) {
            message.place = Place::Gone;
        }
        for consumer in self.consumers.iter_mut().filter(|c| c.queue == queue) {
            consumer.orphaned = true;
        }
    }

    /// A connection ends, and with it the leases of its consumers, where the connection is what fences.
    pub(super) fn end_leases_of(&mut self, client: usize) {
        for message in &mut self.messages {
            if let Place::Leased { receipt, .. } = message.place
                && self.consumers[self.receipts[receipt].consumer].client == client
            {
                message.place = Place::Ready;
                message.turns.1 = u64::MAX;
            }
        }
    }

    fn after(&self, delay: Duration) -> Place {
        if delay.is_zero() {
            return Place::Ready;
        }
        let until = self.now + delay;
        Place::Delayed { until }
    }
}
