//! Priorities on a broker that tells fewer of them apart: each queue becomes a few lanes.
//!
//! A lane is a queue of the broker underneath. The lane of the default priority is the queue itself, under its
//! own name; the lanes above it are `QUEUE:high1`, `QUEUE:high2`, those below it `QUEUE:low1`, `QUEUE:low2`.
//! So what other programs put into the queue is delivered, switching lanes on strands nothing, and so does
//! adding lanes, since no lane changes its name. What lay in a lane that is taken away stays there until the
//! lane comes back; of jobs with `track = "full"` the ledger publishes it again.
//!
//! Everybody who uses a queue must have the same lanes for it, as they have from one configuration.

mod admin;
mod consumer;
mod crossing;
mod hand;
mod plan;
mod receipt;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::consumer::LaneConsumer;
use self::crossing::Crossing;
use self::hand::Hands;
pub use self::plan::{LanePlan, Lanes, MAX_LANES};
use self::receipt::LaneReceipt;
use super::short_answer;
use crate::{
    Broker, BrokerAdmin, BrokerInfo, Consumer, ConsumerSpec, Counter, Env, Fact, Lease, Ordering,
    Publish, Published, QueueName, QueueSpec, Receipt, Result, Settle, Settled, Settlement,
};

/// A broker whose queues have lanes, by a [`LanePlan`].
///
/// A consumer shares one credit among its lanes and takes from the most urgent first, or by the weights of the
/// plan. On a broker that sends messages ahead of being asked, each lane may hold as many as the credit.
#[derive(Debug)]
pub struct PriorityLanes {
    shared: Arc<Shared>,
    /// Where the broker underneath has an admin side.
    has_admin: bool,
}

/// What the broker and its consumers share.
struct Shared {
    inner: Arc<dyn Broker>,
    env: Arc<dyn Env>,
    plan: LanePlan,
    info: BrokerInfo,
    hands: Hands,
}

impl PriorityLanes {
    /// Puts lanes around a broker.
    #[must_use]
    pub fn new(inner: Arc<dyn Broker>, plan: LanePlan, env: Arc<dyn Env>) -> Self {
        let mut info = inner.info().clone();
        info.url = format!("{} in lanes", info.url);
        info.capabilities.priority_levels = plan.levels(info.capabilities.priority_levels);
        // What a lane has already handed to its consumer comes before what another lane gets meanwhile, however
        // urgent that is.
        info.capabilities.ordering = Ordering::None;
        // A retry may leave one lane for another, which takes two steps.
        info.capabilities.atomic_settle = false;
        let has_admin = inner.admin().is_some();
        let shared = Shared {
            inner,
            env,
            plan,
            info,
            hands: Hands::default(),
        };
        Self {
            shared: Arc::new(shared),
            has_admin,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriorityLanes")
            .field("url", &self.info.url)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// What the ends of the deliveries were, in their order; whoever waits for credit learns of it.
    async fn settle_inner(&self, batch: Vec<(LaneReceipt, Settlement)>) -> Vec<Result<Settled>> {
        if batch.is_empty() {
            return Vec::new();
        }
        let (receipts, settles): (Vec<LaneReceipt>, Vec<Settle>) = batch
            .into_iter()
            .map(|(receipt, settlement)| {
                let settle = Settle {
                    receipt: receipt.inner.clone(),
                    settlement,
                };
                (receipt, settle)
            })
            .unzip();
        let mut answers = self.inner.settle(settles).await;
        answers.resize_with(receipts.len(), || Err(short_answer("settle")));
        let answers = answers.into_iter().zip(&receipts);
        answers
            .map(|(answer, receipt)| {
                if answer.is_ok() {
                    self.hands.settled(receipt);
                }
                answer.map_err(|e| e.of_queue(&receipt.queue))
            })
            .collect()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Broker for PriorityLanes {
    fn info(&self) -> &BrokerInfo {
        &self.shared.info
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        let mut specs = Vec::with_capacity(queues.len());
        for queue in queues {
            self.shared.plan.check(&queue.name)?;
            // The queue itself last: once it is there, all of its lanes are.
            let mut lanes = self.shared.plan.lanes(&queue.name);
            lanes.sort_by_key(|lane| *lane == queue.name);
            specs.extend(lanes.into_iter().map(|name| QueueSpec {
                name,
                ..queue.clone()
            }));
        }
        let ensured = self.shared.inner.ensure(&specs).await;
        ensured.map_err(|e| self.shared.plan.of_queue(e))
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let plan = &self.shared.plan;
        let mut refusals = Vec::with_capacity(batch.len());
        let mut passed = Vec::with_capacity(batch.len());
        for Publish { queue, message } in batch {
            let refusal = plan.check(&queue).err();
            if refusal.is_none() {
                let lane = plan.lane_of(&queue, message.priority);
                passed.push(Publish {
                    queue: lane,
                    message,
                });
            }
            refusals.push((queue, refusal));
        }
        let mut answers = self.shared.inner.publish(passed).await.into_iter();
        let answer = |(queue, refusal): (QueueName, Option<crate::Error>)| match refusal {
            Some(e) => Err(e),
            None => answers
                .next()
                .unwrap_or_else(|| Err(short_answer("publish")))
                .map_err(|e| e.of_queue(&queue)),
        };
        refusals.into_iter().map(answer).collect()
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        self.shared.plan.check(&spec.queue)?;
        let consumer = LaneConsumer::open(Arc::clone(&self.shared), spec).await?;
        Ok(Box::new(consumer))
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let mut answers: Vec<Option<Result<Settled>>> = Vec::with_capacity(batch.len());
        let (mut staying, mut crossing) = (Vec::new(), Vec::new());
        let mut places = Vec::new();
        for (place, settle) in batch.into_iter().enumerate() {
            answers.push(None);
            match LaneReceipt::read(&settle.receipt) {
                Err(e) => answers[place] = Some(Err(e)),
                Ok(receipt) => match Crossing::of(&self.shared.plan, &receipt, settle.settlement) {
                    Ok(found) => crossing.push((place, receipt, found)),
                    Err(settlement) => {
                        places.push(place);
                        staying.push((receipt, settlement));
                    }
                },
            }
        }
        let settled = self.shared.settle_inner(staying).await;
        for (place, answer) in places.into_iter().zip(settled) {
            answers[place] = Some(answer);
        }
        for (place, answer) in crossing::settle(&self.shared, crossing).await {
            answers[place] = Some(answer);
        }
        let missing = |answer: Option<_>| answer.unwrap_or_else(|| Err(short_answer("settle")));
        answers.into_iter().map(missing).collect()
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        let read: Vec<Result<LaneReceipt>> = receipts.iter().map(LaneReceipt::read).collect();
        let ours = read.iter().filter_map(|receipt| receipt.as_ref().ok());
        let inner: Vec<Receipt> = ours.map(|receipt| receipt.inner.clone()).collect();
        let mut answers = self.shared.inner.extend(&inner, lease).await.into_iter();
        let answer = |read: Result<LaneReceipt>| {
            let receipt = read?;
            let answer = answers.next();
            let answer = answer.unwrap_or_else(|| Err(short_answer("extend")));
            let lease = answer.map_err(|e| e.of_queue(&receipt.queue))?;
            self.shared.hands.extended(&receipt, lease.until);
            Ok(lease)
        };
        read.into_iter().map(answer).collect()
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        self.shared.inner.facts().await
    }

    fn counters(&self) -> Vec<Counter> {
        self.shared.inner.counters()
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        self.has_admin.then_some(self)
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.shared.hands.close();
        self.shared.inner.close(deadline).await
    }
}
