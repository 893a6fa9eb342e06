//! Bodies that are too large for a broker: they are kept in the store, and the message names where.
//!
//! Each message that is published has a blob of its own, so whoever is done with the message is done with the blob:
//! it is put before the message is sent, and deleted after the message was acknowledged, or replaced. What a crash
//! leaves in between, and what was purged, is swept when its job has ended, or after an age.

mod admin;
mod bodies;
mod consumer;
mod receipt;
mod reference;
pub(crate) mod sweep;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use self::bodies::Outgoing;
use self::consumer::CheckConsumer;
use self::receipt::CheckReceipt;
pub use self::reference::BLOB_PROPERTY;
use super::short_answer;
use crate::ledger::MAX_MESSAGE;
use crate::{
    BlobId, Broker, BrokerAdmin, BrokerInfo, Consumer, ConsumerSpec, Counter, Env, Error,
    ErrorKind, Fact, Lease, Publish, Published, QueueSpec, RawMessage, Receipt, Result, Settle,
    Settled, Settlement, StateStore, Status, StoreInfo,
};

/// A broker whose large bodies are in a store that has [`blobs`](StateStore::blobs).
///
/// A message costs nothing more as long as the broker takes its body.
#[derive(Debug)]
pub struct ClaimCheck {
    shared: Arc<Shared>,
    /// Where the broker underneath has an admin side.
    has_admin: bool,
}

/// What the broker and its consumers share.
struct Shared {
    inner: Arc<dyn Broker>,
    store: Arc<dyn StateStore>,
    env: Arc<dyn Env>,
    info: BrokerInfo,
    /// The largest body that the broker takes itself.
    threshold: usize,
    closed: AtomicBool,
}

/// The largest body over a store.
pub(super) fn limit(store: &StoreInfo) -> usize {
    store.max_value.min(MAX_MESSAGE)
}

impl ClaimCheck {
    /// Puts the bodies that a broker does not take into a store.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a store that keeps no blobs.
    pub fn new(
        inner: Arc<dyn Broker>,
        store: Arc<dyn StateStore>,
        env: Arc<dyn Env>,
    ) -> Result<Self> {
        Self::beyond(usize::MAX, inner, store, env)
    }

    /// The same, and all bodies of more bytes than this.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn beyond(
        bytes: usize,
        inner: Arc<dyn Broker>,
        store: Arc<dyn StateStore>,
        env: Arc<dyn Env>,
    ) -> Result<Self> {
        if store.blobs().is_none() {
            let text = format!("the store {} keeps no large bodies", store.info().url);
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let mut info = inner.info().clone();
        info.url = format!("{} with large bodies in {}", info.url, store.info().url);
        let can = &mut info.capabilities;
        let threshold = can.max_message.min(bytes);
        can.max_message = can.max_message.max(limit(store.info()));
        // A message is worth no more than its body.
        can.durability = can.durability.min(store.info().durability);
        let has_admin = inner.admin().is_some();
        let shared = Shared {
            inner,
            store,
            env,
            info,
            threshold,
            closed: AtomicBool::new(false),
        };
        Ok(Self {
            shared: Arc::new(shared),
            has_admin,
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimCheck")
            .field("url", &self.info.url)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// What a settlement says, with the message that it sends, if it sends one.
    fn split(&self, settlement: Settlement) -> Result<(Settlement, Option<Outgoing>)> {
        Ok(match settlement {
            Settlement::Retry { delay, message } => {
                let outgoing = self.outgoing(*message)?;
                let message = Box::new(outgoing.message.clone());
                (Settlement::Retry { delay, message }, Some(outgoing))
            }
            Settlement::DeadLetter {
                reason,
                message: Some(message),
            } => {
                let outgoing = self.outgoing(*message)?;
                let message = Some(Box::new(outgoing.message.clone()));
                (Settlement::DeadLetter { reason, message }, Some(outgoing))
            }
            other => (other, None),
        })
    }
}

/// Whether the message of a delivery is gone from the broker once this is done.
fn ends_message(settlement: &Settlement) -> bool {
    match settlement {
        Settlement::Ack | Settlement::Retry { .. } => true,
        Settlement::DeadLetter { message, .. } => message.is_some(),
        Settlement::Release { .. } => false,
    }
}

/// A settlement on its way to the broker.
struct Leaving {
    place: usize,
    /// What is not needed any more once it is done.
    old: Option<BlobId>,
    /// What is not needed if it is not done.
    new: Option<BlobId>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Broker for ClaimCheck {
    fn info(&self) -> &BrokerInfo {
        &self.shared.info
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        self.shared.inner.ensure(queues).await
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let shared = &self.shared;
        let (queues, messages): (Vec<_>, Vec<RawMessage>) = batch
            .into_iter()
            .map(|Publish { queue, message }| (queue, message))
            .unzip();
        let mut outgoing: Vec<Result<Outgoing>> =
            messages.into_iter().map(|it| shared.outgoing(it)).collect();
        shared.put(&mut outgoing).await;
        let mut passed = Vec::with_capacity(outgoing.len());
        for (queue, outgoing) in queues.iter().zip(&outgoing) {
            if let Ok(outgoing) = outgoing {
                passed.push(Publish {
                    queue: queue.clone(),
                    message: outgoing.message.clone(),
                });
            }
        }
        let mut published = shared.inner.publish(passed).await.into_iter();
        let mut answers = Vec::with_capacity(queues.len());
        let mut needless = Vec::new();
        for (queue, outgoing) in queues.iter().zip(outgoing) {
            let outgoing = match outgoing {
                Err(e) => {
                    answers.push(Err(e.during("publish").on(queue)));
                    continue;
                }
                Ok(outgoing) => outgoing,
            };
            let answer = published.next();
            let answer = answer.unwrap_or_else(|| Err(short_answer("publish")));
            let is_kept = match &answer {
                Ok(published) => !published.duplicate,
                Err(e) => e.status() == Status::MayBeApplied,
            };
            needless.extend(outgoing.blob().filter(|_| !is_kept));
            answers.push(answer);
        }
        shared.forget(needless).await;
        answers
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        let consumer = CheckConsumer::open(Arc::clone(&self.shared), spec).await?;
        Ok(Box::new(consumer))
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let shared = &self.shared;
        let mut answers: Vec<Option<Result<Settled>>> = Vec::with_capacity(batch.len());
        let (mut leaving, mut settles, mut outgoing) = (Vec::new(), Vec::new(), Vec::new());
        for (place, settle) in batch.into_iter().enumerate() {
            answers.push(None);
            let read = CheckReceipt::read(&settle.receipt);
            let split = read.and_then(|receipt| Ok((receipt, shared.split(settle.settlement)?)));
            match split {
                Err(e) => answers[place] = Some(Err(e.during("settle"))),
                Ok((receipt, (settlement, sent))) => {
                    let old = receipt.blob.filter(|_| ends_message(&settlement));
                    let new = sent.as_ref().and_then(Outgoing::blob);
                    leaving.push(Leaving { place, old, new });
                    let receipt = receipt.inner;
                    settles.push(Settle {
                        receipt,
                        settlement,
                    });
                    outgoing.push(sent);
                }
            }
        }
        let (leaving, settles) = self
            .put_first(leaving, settles, outgoing, &mut answers)
            .await;
        let mut settled = shared.inner.settle(settles).await.into_iter();
        let mut needless = Vec::new();
        for Leaving { place, old, new } in leaving {
            let answer = settled.next();
            let answer = answer.unwrap_or_else(|| Err(short_answer("settle")));
            needless.extend(match &answer {
                Ok(Settled::Done) => old,
                Err(e) if e.status() == Status::MayBeApplied => None,
                Ok(Settled::Already | Settled::LeaseLost) | Err(_) => new,
            });
            answers[place] = Some(answer);
        }
        shared.forget(needless).await;
        let missing = |answer: Option<_>| answer.unwrap_or_else(|| Err(short_answer("settle")));
        answers.into_iter().map(missing).collect()
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        let read: Vec<Result<CheckReceipt>> = receipts.iter().map(CheckReceipt::read).collect();
        let ours = read.iter().filter_map(|receipt| receipt.as_ref().ok());
        let inner: Vec<Receipt> = ours.map(|receipt| receipt.inner.clone()).collect();
        let mut answers = self.shared.inner.extend(&inner, lease).await.into_iter();
        let answer = |read: Result<CheckReceipt>| {
            read?;
            let answer = answers.next();
            answer.unwrap_or_else(|| Err(short_answer("extend")))
        };
        read.into_iter().map(answer).collect()
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        let mut facts = self.shared.inner.facts().await?;
        let (ours, inner) = (&self.shared.info, self.shared.inner.info());
        if ours.capabilities.durability < inner.capabilities.durability {
            // A message is worth no more than its body.
            let of_store = self.shared.store.facts().await?.into_iter();
            facts.retain(|fact| fact.name != Fact::DURABILITY);
            facts.extend(of_store.filter(|fact| fact.name == Fact::DURABILITY));
        }
        Ok(facts)
    }

    fn counters(&self) -> Vec<Counter> {
        self.shared.inner.counters()
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        self.has_admin.then_some(self)
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.inner.close(deadline).await
    }
}

impl ClaimCheck {
    /// Puts the bodies of the messages that settlements send; those whose bodies could not be put are answered.
    async fn put_first(
        &self,
        leaving: Vec<Leaving>,
        settles: Vec<Settle>,
        outgoing: Vec<Option<Outgoing>>,
        answers: &mut [Option<Result<Settled>>],
    ) -> (Vec<Leaving>, Vec<Settle>) {
        let (mut places, mut sent) = (Vec::new(), Vec::new());
        for (place, outgoing) in outgoing.into_iter().enumerate() {
            if let Some(outgoing) = outgoing {
                places.push(place);
                sent.push(Ok(outgoing));
            }
        }
        self.shared.put(&mut sent).await;
        let refusals = places.into_iter().zip(sent);
        let mut refusals = refusals.filter_map(|(place, sent)| Some((place, sent.err()?)));
        let mut next = refusals.next();
        let mut passed = (Vec::new(), Vec::new());
        for (place, (leaving, settle)) in leaving.into_iter().zip(settles).enumerate() {
            match next.take_if(|(refused, _)| *refused == place) {
                Some((_, e)) => {
                    answers[leaving.place] = Some(Err(e.during("settle")));
                    next = refusals.next();
                }
                None => {
                    passed.0.push(leaving);
                    passed.1.push(settle);
                }
            }
        }
        passed
    }
}
