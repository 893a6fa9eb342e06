//! A retry whose message has another priority than before: it leaves one lane for another.
//!
//! No broker moves a message between queues in one step, so the replacement is published first and the
//! delivery acknowledged second: at no time is there neither of the two.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Shared;
use super::plan::LanePlan;
use super::receipt::LaneReceipt;
use crate::wrapper::short_answer;
use crate::{ErrorKind, Publish, RawMessage, Receipt, Result, Settled, Settlement};

/// A message that goes to another lane.
#[derive(Debug)]
pub(super) struct Crossing {
    delay: Duration,
    publish: Publish,
    /// The same as the caller said it.
    message: Box<RawMessage>,
}

/// One of a batch, with its place.
pub(super) type Placed = (usize, LaneReceipt, Crossing);

impl Crossing {
    /// What crosses, or the settlement that does not.
    pub(super) fn of(
        plan: &LanePlan,
        receipt: &LaneReceipt,
        settlement: Settlement,
    ) -> Result<Self, Settlement> {
        let Settlement::Retry { delay, message } = settlement else {
            return Err(settlement);
        };
        let queue = plan.lane_of(&receipt.queue, message.priority);
        if queue == receipt.lane {
            return Err(Settlement::Retry { delay, message });
        }
        Ok(Self {
            delay,
            publish: Publish {
                queue,
                message: (*message).clone(),
            },
            message,
        })
    }
}

/// Settles what crosses; the answers have the places of their items.
pub(super) async fn settle(shared: &Shared, batch: Vec<Placed>) -> Vec<(usize, Result<Settled>)> {
    if batch.is_empty() {
        return Vec::new();
    }
    let mut answers = Vec::new();
    let (held, lost) = still_held(shared, batch, &mut answers).await;
    let published = publish(shared, held, &mut answers).await;
    finish(shared, published, Settlement::Ack, &mut answers).await;
    for (place, receipt, crossing) in lost {
        // Changes nothing, as the lease is lost, and tells whether by an earlier settlement.
        let retry = Settlement::Retry {
            delay: crossing.delay,
            message: crossing.message,
        };
        finish(shared, vec![(place, receipt)], retry, &mut answers).await;
    }
    answers
}

type Answers = Vec<(usize, Result<Settled>)>;

/// Asks for the leases once more, so that nobody publishes a second message for a delivery that he lost.
async fn still_held(
    shared: &Shared,
    batch: Vec<Placed>,
    answers: &mut Answers,
) -> (Vec<Placed>, Vec<Placed>) {
    let (mut held, mut lost) = (Vec::new(), Vec::new());
    let mut by_lease: BTreeMap<Duration, Vec<Placed>> = BTreeMap::new();
    for placed in batch {
        by_lease.entry(placed.1.lease).or_default().push(placed);
    }
    for (lease, group) in by_lease {
        let inner = group.iter().map(|(_, receipt, _)| receipt.inner.clone());
        let inner: Vec<Receipt> = inner.collect();
        let mut extended = shared.inner.extend(&inner, lease).await.into_iter();
        for placed in group {
            let answer = extended.next();
            match answer.unwrap_or_else(|| Err(short_answer("settle"))) {
                Ok(lease) => {
                    shared.hands.extended(&placed.1, lease.until);
                    held.push(placed);
                }
                // It cannot last so long, but it lasts.
                Err(e) if e.kind() == ErrorKind::Unsupported => held.push(placed),
                Err(e) if e.kind() == ErrorKind::Conflict => lost.push(placed),
                Err(e) => answers.push((placed.0, Err(e.of_queue(&placed.1.queue)))),
            }
        }
    }
    (held, lost)
}

async fn publish(
    shared: &Shared,
    held: Vec<Placed>,
    answers: &mut Answers,
) -> Vec<(usize, LaneReceipt)> {
    let now = shared.env.now();
    let (mut batch, mut rest) = (Vec::new(), Vec::new());
    for (place, receipt, crossing) in held {
        let mut publish = crossing.publish;
        if !crossing.delay.is_zero() {
            let at = now + crossing.delay;
            publish.message.not_before = publish.message.not_before.max(Some(at));
        }
        batch.push(publish);
        rest.push((place, receipt));
    }
    let mut published = shared.inner.publish(batch).await.into_iter();
    rest.retain(|(place, receipt)| {
        let answer = published.next();
        match answer.unwrap_or_else(|| Err(short_answer("settle"))) {
            Ok(_) => true,
            Err(e) => {
                answers.push((*place, Err(e.of_queue(&receipt.queue))));
                false
            }
        }
    });
    rest
}

async fn finish(
    shared: &Shared,
    batch: Vec<(usize, LaneReceipt)>,
    settlement: Settlement,
    answers: &mut Answers,
) {
    let (places, batch): (Vec<usize>, Vec<_>) = batch
        .into_iter()
        .map(|(place, receipt)| (place, (receipt, settlement.clone())))
        .unzip();
    let settled = shared.settle_inner(batch).await;
    answers.extend(places.into_iter().zip(settled));
}
