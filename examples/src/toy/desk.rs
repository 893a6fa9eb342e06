//! Where requests are answered: what is allowed becomes an event, is logged, and is applied to the board.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Bucket, DEAD_REASON_PROPERTY, JobId, QueueName};
use bytes::Bytes;

use super::board::{Board, Event, Now, Place};
use super::error::Error;
use super::log::Log;
use super::protocol::{Blob, Delivered, End, Leave, Message, Poll, Reply, Request, Token};
use super::queue::{Entry, Holding, Queue, Spot};

/// How many bytes of bodies one answer carries before it is full.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// The board in the hands of one client, at one moment.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) board: &'a mut Board,
    pub(super) log: &'a Log,
    pub(super) namespace: &'a Arc<str>,
    pub(super) now: Now,
    /// For the names of new queues' incarnations.
    pub(super) random: u64,
}

impl Desk<'_> {
    /// Answers everything that can be answered at once.
    pub(super) fn answer(&mut self, request: Request) -> Result<Reply, Error> {
        Ok(match request {
            Request::Ensure(queues) => self.ensure(queues),
            Request::Publish(batch) => {
                let publish = |(queue, message)| self.publish(queue, message);
                Reply::Each(batch.into_iter().map(publish).collect())
            }
            Request::Find(queue) => self.queue(&queue).map(|_| Reply::Done)?,
            // The connection knows all of these.
            Request::Poll(_) | Request::Cancel(_) | Request::Clients => Reply::Done,
            Request::Leave(leave) => self.leave(leave),
            Request::Settle(batch) => {
                let settle = |(token, end)| self.settle(token, end);
                Reply::Each(batch.into_iter().map(settle).collect())
            }
            Request::Extend(tokens, lease) => {
                let extend = |token| self.extend(token, lease);
                Reply::Extended(tokens.into_iter().map(extend).collect())
            }
            Request::Depth(queues) => {
                let counts = |queue| self.queue(queue).ok().map(|found| found.counts(queue));
                Reply::Depths(queues.iter().filter_map(counts).collect())
            }
            Request::Peek(queue, bucket, max) => self.peek(&queue, bucket, max)?,
            Request::Purge(queue, bucket) => {
                let numbers = self.queue(&queue)?.bucket(bucket);
                self.each(numbers, Event::Removed)
            }
            Request::Redrive(queue, ids) => self.redrive(&queue, ids.as_deref())?,
            Request::Queues => {
                let all = self.board.queues.keys();
                let ours = all.filter(|place| place.namespace == *self.namespace);
                Reply::Names(ours.map(|place| place.queue.clone()).collect())
            }
            Request::Delete(queue) => {
                if self.queue(&queue).is_ok() {
                    self.record(Event::Deleted(self.place(queue)));
                }
                Reply::Done
            }
        })
    }

    /// How long until a poll that found nothing should look again, if no bell rings before.
    pub(super) fn next_in(&mut self, queue: &QueueName) -> Option<Duration> {
        let (wall, tick) = (
            super::board::micros(self.now.wall),
            self.now.tick.as_micros(),
        );
        let micros = self.queue(queue).ok()?.next_in(wall, tick)?;
        Some(Duration::from_micros(micros))
    }

    fn place(&self, queue: QueueName) -> Place {
        Place {
            namespace: Arc::clone(self.namespace),
            queue,
        }
    }

    /// The queue as it is now, with all that waits no longer made ready.
    pub(super) fn queue(&mut self, queue: &QueueName) -> Result<&Queue, Error> {
        let place = self.place(queue.clone());
        self.board.refresh(&place, self.now);
        let found = self.board.queues.get(&place);
        found.ok_or_else(|| Error::NoQueue(queue.clone()))
    }

    fn record(&mut self, event: Event) {
        self.log.append(self.now.wall, &event);
        self.board.apply(event, self.now);
    }

    fn each(&mut self, numbers: Vec<u64>, event: fn(u64) -> Event) -> Reply {
        let count = numbers.len() as u64;
        for number in numbers {
            self.record(event(number));
        }
        Reply::Count(count)
    }

    fn ensure(&mut self, queues: Vec<QueueName>) -> Reply {
        for queue in queues {
            if self.queue(&queue).is_err() {
                let incarnation = format!("{:016x}", self.random);
                self.record(Event::Ensured(self.place(queue), incarnation));
            }
        }
        Reply::Done
    }

    fn publish(&mut self, queue: QueueName, message: Message) -> Result<(), Error> {
        self.queue(&queue)?;
        self.record(Event::Put(self.place(queue), message));
        Ok(())
    }

    pub(super) fn take(&mut self, poll: &Poll) -> Result<Vec<Delivered>, Error> {
        self.queue(&poll.queue)?;
        let lost = self.unreceived(poll.consumer, poll.received);
        if !lost.is_empty() {
            return Ok(lost
                .into_iter()
                .filter_map(|number| self.delivered(number))
                .collect());
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < poll.max
            && bytes < ANSWER_BYTES
            && self
                .board
                .held
                .get(&poll.consumer)
                .map_or(0, |held| held.len())
                < poll.credit
            && let Some((_, &message)) = self.queue(&poll.queue)?.ready.first_key_value()
        {
            self.record(Event::Delivered {
                message,
                consumer: poll.consumer,
                poll: poll.number,
                lease: poll.lease,
            });
            let delivered = self.delivered(message);
            bytes += delivered
                .as_ref()
                .map_or(0, |delivered| delivered.message.body.0.len());
            taken.extend(delivered);
        }
        Ok(taken)
    }

    /// What a consumer took with polls whose answers did not reach it.
    fn unreceived(&self, consumer: u64, received: u64) -> Vec<u64> {
        let held = self.board.held.get(&consumer).into_iter();
        let later = held.flat_map(|held| held.range((received.saturating_add(1), 0)..));
        later.map(|(_, number)| *number).collect()
    }

    fn delivered(&self, number: u64) -> Option<Delivered> {
        let entry = self.board.entries.get(&number)?;
        let Spot::Leased(holding) = entry.spot else {
            return None;
        };
        let token = Token {
            birth: self.board.birth,
            message: number,
            delivery: holding.delivery,
        };
        Some(Delivered {
            token,
            count: entry.deliveries,
            until: holding.until,
            message: entry.message.clone(),
        })
    }

    fn leave(&mut self, leave: Leave) -> Reply {
        let unused = leave.unused.into_iter();
        let unused: Vec<u64> = unused
            .filter(|token| self.holding(*token).is_ok())
            .map(|token| token.message)
            .collect();
        let lost = self.unreceived(leave.consumer, leave.received);
        self.each([unused, lost].concat(), Event::Returned)
    }

    fn settle(&mut self, token: Token, end: End) -> Result<(), Error> {
        self.holding(token)?;
        self.record(Event::Settled(token.message, end));
        Ok(())
    }

    fn extend(&mut self, token: Token, lease: Duration) -> Result<u64, Error> {
        self.holding(token)?;
        self.record(Event::Extended(token.message, lease));
        Ok(self.holding(token)?.until)
    }

    /// The lease behind a token, if it still holds.
    fn holding(&self, token: Token) -> Result<Holding, Error> {
        if token.birth != self.board.birth {
            return Err(Error::ForeignReceipt);
        }
        let entry = self
            .board
            .entries
            .get(&token.message)
            .ok_or(Error::Already)?;
        if entry.place.namespace != *self.namespace {
            return Err(Error::ForeignReceipt);
        }
        match entry.spot {
            Spot::Leased(holding)
                if holding.delivery == token.delivery
                    && holding.until > self.now.tick.as_micros() =>
            {
                Ok(holding)
            }
            _ => Err(Error::LeaseLost),
        }
    }

    fn peek(&mut self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Reply, Error> {
        let numbers = self.queue(queue)?.bucket(bucket).into_iter();
        let entries = numbers.filter_map(|number| self.board.entries.get(&number));
        Ok(Reply::Messages(entries.take(max).map(shown).collect()))
    }

    fn redrive(&mut self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<Reply, Error> {
        let mut numbers = self.queue(queue)?.bucket(Bucket::Dead);
        numbers.retain(|number| {
            let id = self
                .board
                .entries
                .get(number)
                .and_then(|entry| entry.message.id);
            ids.is_none_or(|ids| id.is_some_and(|id| ids.contains(&id)))
        });
        Ok(self.each(numbers, Event::Redriven))
    }
}

/// A message as people see it: a dead one with its reason.
fn shown(entry: &Entry) -> Message {
    let mut message = entry.message.clone();
    if let Spot::Dead(reason) = &entry.spot {
        let reason = Blob(Bytes::from(reason.clone()));
        let properties = &mut message.properties;
        // What it said of that itself is no reason.
        properties.retain(|(name, _)| name != DEAD_REASON_PROPERTY);
        properties.push((DEAD_REASON_PROPERTY.to_owned(), reason));
    }
    message
}
