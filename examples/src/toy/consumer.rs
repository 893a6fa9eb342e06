//! [`Consumer`]: takes messages with one poll after the other, each of which waits at the server.
//!
//! Two numbers make a poll safe to lose and to repeat: its own, under which the server notes what it took, and
//! that of the last one whose answer arrived. What lies between was lost on the way, and comes again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{Consumer, ConsumerSpec, Delivery, DeliveryCount, Lease, Receipt, Result, Tick};

use super::broker::token;
use super::error::Error;
use super::link::{Link, Pending, Received, Wire};
use super::protocol::{Delivered, Leave, Poll, Reply, Request};

/// Takes messages of one queue.
#[derive(Debug)]
pub(super) struct ToyConsumer {
    link: Arc<Link>,
    spec: ConsumerSpec,
    consumer: u64,
    /// The poll under way, which may be older than the present `reserve`.
    poll: Option<Pending>,
    polls: u64,
    received: u64,
    /// What came and was not yet handed out.
    buffer: VecDeque<Delivery>,
    stopped: bool,
    left: bool,
}

/// Ends the poll of a `reserve` that is dropped, so that it takes nothing for nobody.
struct Cancel {
    wire: Arc<Wire>,
    consumer: Option<u64>,
}

impl Drop for Cancel {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer {
            self.wire.post(Request::Cancel(consumer));
        }
    }
}

impl ToyConsumer {
    pub(super) fn new(link: &Arc<Link>, spec: ConsumerSpec) -> Self {
        Self {
            consumer: link.wire().env.random(),
            link: Arc::clone(link),
            spec,
            poll: None,
            polls: 0,
            received: 0,
            buffer: VecDeque::new(),
            stopped: false,
            left: false,
        }
    }

    fn now(&self) -> Tick {
        self.link.wire().env.monotonic()
    }

    /// What came before and is still ours.
    fn hand_out(&mut self, max: usize) -> Vec<Delivery> {
        let now = self.now();
        self.buffer.retain(|delivery| delivery.lease.until > now);
        let count = max.min(self.buffer.len());
        self.buffer.drain(..count).collect()
    }

    /// Waits for the answer to the poll under way; without one, polls. No single poll waits longer than the
    /// patience of the client, so that a connection that has gone silent is noticed.
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<(), Error> {
        let wire = Arc::clone(self.link.wire());
        if self.poll.is_none() {
            let wait = wait.min(wire.config.patience);
            self.polls += 1;
            let poll = Poll {
                queue: self.spec.queue.clone(),
                consumer: self.consumer,
                number: self.polls,
                received: self.received,
                max,
                credit: usize::try_from(self.spec.credit).unwrap_or(usize::MAX),
                lease: self.spec.lease,
                wait,
            };
            self.poll = Some(wire.call(Request::Poll(poll), wait)?);
        }
        let Some(poll) = &mut self.poll else {
            return Ok(());
        };
        let mut cancel = Cancel {
            wire,
            consumer: Some(self.consumer),
        };
        let answer = poll.answer().await;
        cancel.consumer = None;
        self.poll = None;
        self.buffer(&answer?)
    }

    fn buffer(&mut self, answer: &Received) -> Result<(), Error> {
        let Reply::Delivered(deliveries) = &answer.reply else {
            return Err(Error::WrongAnswer);
        };
        self.received = self.polls;
        for delivered in deliveries {
            let delivery = self.delivery(delivered.clone(), answer)?;
            self.buffer.push_back(delivery);
        }
        Ok(())
    }

    fn delivery(&self, delivered: Delivered, answer: &Received) -> Result<Delivery, Error> {
        let receipt = serde_json::to_vec(&delivered.token).map_err(|_| Error::WrongAnswer)?;
        let lease = Lease {
            until: answer.tick(delivered.until),
            hard_limit: None,
        };
        let (queue, message) = (self.spec.queue.clone(), delivered.message.into());
        let delivery = Delivery::new(queue, message, Receipt::new(receipt), lease);
        Ok(delivery.counted(DeliveryCount::Exact(delivered.count)))
    }

    fn leave(&mut self) -> Request {
        self.poll = None;
        let unused = self
            .buffer
            .iter()
            .filter_map(|delivery| token(&delivery.receipt).ok());
        Request::Leave(Leave {
            consumer: self.consumer,
            received: self.received,
            unused: unused.collect(),
        })
    }
}

#[async_trait]
impl Consumer for ToyConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let until = self.now() + wait;
        let patience = until + self.link.wire().config.patience;
        loop {
            if self.stopped {
                return Err(Error::Closed { sent: false }.into());
            }
            let deliveries = self.hand_out(max);
            if !deliveries.is_empty() || max == 0 {
                return Ok(deliveries);
            }
            let asked = self.now();
            match self.poll(max, until.since(asked)).await {
                Ok(()) if self.buffer.is_empty() && asked >= until => return Ok(Vec::new()),
                Ok(()) => {}
                // The next poll goes over the next connection.
                Err(e) if e.is_of_connection() && self.now() < patience => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    async fn stop(&mut self) -> Result<()> {
        self.stopped = true;
        if !self.left {
            let leave = self.leave();
            self.link.wire().ask(leave).await?;
            self.buffer.clear();
            self.left = true;
        }
        Ok(())
    }
}

impl Drop for ToyConsumer {
    fn drop(&mut self) {
        if !self.left {
            let leave = self.leave();
            self.link.wire().post(leave);
        }
    }
}
