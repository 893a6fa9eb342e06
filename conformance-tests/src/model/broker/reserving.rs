//! Steps of consumers: opened, asked for messages, stopped.

use std::time::Duration;

use bananas_core::{ConsumerSpec, Delivery, Env, ErrorKind};

use super::player::{Player, kind, queue, show};
use super::queues::ConsumerFacts;
use crate::model::{Step, line};

impl Player {
    pub(super) async fn consume(
        &mut self,
        (client, n): (usize, usize),
        lease: u64,
        credit: u32,
    ) -> Step {
        let lease = Duration::from_secs(lease);
        let mut spec = ConsumerSpec::new(queue(n));
        (spec.lease, spec.credit) = (lease, credit);
        let number = self.clients[client % self.clients.len()].0;
        let opened = self.client(client).consume(spec).await;
        let expected: &[ErrorKind] = match (lease.is_zero(), self.model.exist[n]) {
            (false, true) => &[],
            (true, true) => &[ErrorKind::InvalidArgument],
            (false, false) => &[ErrorKind::NotFound],
            (true, false) => &[ErrorKind::InvalidArgument, ErrorKind::NotFound],
        };
        let right = match &opened {
            Ok(_) => expected.is_empty(),
            Err(e) => expected.contains(&e.kind()),
        };
        let name = self.consumers.len();
        let call = format!("consume q{n} as c{name} with lease {lease:?}, credit {credit}");
        let line = line(
            right,
            &call,
            &kind(&opened),
            &format!("errors {expected:?}"),
        )?;
        if let Ok(consumer) = opened {
            self.consumers.push(Some(consumer));
            self.model.consumers.push(ConsumerFacts {
                client: number,
                queue: n,
                lease,
                credit: credit as usize,
                closed: false,
                stopped: false,
                orphaned: false,
            });
        }
        Ok(line)
    }

    pub(super) async fn reserve(&mut self, consumer: usize, max: usize) -> Step {
        let Some(c) = self.nth_latest(consumer, self.consumers.len()) else {
            return Ok("no consumer to reserve with".to_owned());
        };
        let Some(mut open) = self.consumers[c].take() else {
            return Ok(format!("c{c} was dropped"));
        };
        let reserved = open.reserve(max, Duration::ZERO).await;
        self.consumers[c] = Some(open);
        let call = format!("c{c} reserves {max}");
        let facts = self.model.consumers[c].clone();
        let missing = !self.model.exist[facts.queue] || facts.orphaned;
        let deliveries = match reserved {
            Err(e) => {
                let right = match e.kind() {
                    ErrorKind::Closed => facts.closed || facts.stopped || facts.orphaned,
                    ErrorKind::NotFound => missing,
                    _ => false,
                };
                return line(right, &call, &format!("{:?}", e.kind()), "deliveries");
            }
            Ok(deliveries) if facts.closed => {
                return line(
                    false,
                    &call,
                    &format!("{} deliveries", deliveries.len()),
                    "Closed",
                );
            }
            Ok(deliveries) => deliveries,
        };
        if deliveries.is_empty() && (facts.stopped || missing) {
            return Ok(format!("{call} -> nothing"));
        }
        let ready = self.model.ready(facts.queue);
        let room = facts.credit.saturating_sub(self.model.held_by(c));
        let due = if facts.stopped {
            0
        } else {
            ready.len().min(max).min(room)
        };
        let answer: Vec<String> = deliveries.iter().map(|d| show(&d.message)).collect();
        let answer = format!("[{}]", answer.join(", "));
        if deliveries.len() != due {
            let waiting: Vec<String> = ready.iter().map(|n| self.name(*n)).collect();
            let expected = format!(
                "{due}: ready are [{}], room is for {room}",
                waiting.join(", ")
            );
            return line(false, &call, &answer, &expected);
        }
        let mut waiting = ready;
        for delivery in &deliveries {
            if let Err(expected) = self.delivered(c, delivery, &mut waiting) {
                return line(false, &call, &answer, &expected);
            }
        }
        let receipts = (self.receipts.len() - due)..self.receipts.len();
        Ok(format!("{call} -> {answer} with receipts {receipts:?}"))
    }

    /// Checks one delivery and makes it in the model.
    fn delivered(
        &mut self,
        consumer: usize,
        delivery: &Delivery,
        waiting: &mut Vec<usize>,
    ) -> Result<(), String> {
        let name = show(&delivery.message);
        let is_it = |n: &&usize| self.model.messages[**n].raw == delivery.message;
        let Some(message) = waiting.iter().find(is_it).copied() else {
            return Err(format!("{name} is not ready, or is not what was published"));
        };
        if let Some(ahead) = self.model.ahead_of(message, waiting) {
            return Err(format!("{} comes before {name}", self.name(ahead)));
        }
        waiting.retain(|n| *n != message);
        self.model.deliver(message, consumer);
        self.receipts.push(delivery.receipt.clone());
        if !self.model.counts_rightly(message, delivery.count) {
            let count = self.model.messages[message].deliveries;
            return Err(format!(
                "{name} is delivered for time {count}, not {:?}",
                delivery.count
            ));
        }
        let facts = &self.model.consumers[consumer];
        let now = self.env.monotonic();
        if delivery.lease.until <= now || delivery.lease.until > now + facts.lease {
            return Err(format!(
                "the lease of {name} is not within {:?}",
                facts.lease
            ));
        }
        if delivery.queue != queue(facts.queue) {
            return Err(format!("{name} is of q{}", facts.queue));
        }
        Ok(())
    }

    pub(super) async fn stop(&mut self, consumer: usize) -> Step {
        let Some(c) = self.nth_latest(consumer, self.consumers.len()) else {
            return Ok("no consumer to stop".to_owned());
        };
        let Some(open) = &mut self.consumers[c] else {
            return Ok(format!("c{c} was dropped"));
        };
        let stopped = open.stop().await;
        let facts = &mut self.model.consumers[c];
        facts.stopped = true;
        let may_fail = facts.closed || facts.orphaned;
        line(
            stopped.is_ok() || may_fail,
            &format!("stop c{c}"),
            &kind(&stopped),
            "Ok",
        )
    }

    pub(super) fn drop_consumer(&mut self, consumer: usize) -> String {
        let Some(c) = self.nth_latest(consumer, self.consumers.len()) else {
            return "no consumer to drop".to_owned();
        };
        self.consumers[c] = None;
        format!("drop c{c}")
    }
}
