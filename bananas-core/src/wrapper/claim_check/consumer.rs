//! Taking messages, and fetching the bodies of those that are references.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Shared;
use super::bodies::Found;
use super::receipt::CheckReceipt;
use super::reference::blob_of;
use crate::{
    Consumer, ConsumerSpec, Delivery, Error, ErrorKind, QueueName, RawMessage, Receipt, Result,
    Settle, Settlement,
};

/// How many bodies are fetched for one call, so that a batch of large ones does not fill the memory.
const FETCHED_AT_ONCE: usize = 16;

/// Why a message without its body is set aside.
const LOST: &str = "its body is gone from the store: it was finished with before, or is older than bodies are kept";

/// Takes messages of one queue, whole.
pub(super) struct CheckConsumer {
    shared: Arc<Shared>,
    queue: QueueName,
    lease: Duration,
    inner: Box<dyn Consumer>,
    /// Taken, as they came. Here and in `ready` they are kept so that a dropped future loses none.
    taken: Vec<Delivery>,
    /// With their bodies, and with receipts of ours.
    ready: Vec<Delivery>,
}

impl CheckConsumer {
    pub(super) async fn open(shared: Arc<Shared>, spec: ConsumerSpec) -> Result<Self> {
        let (queue, lease) = (spec.queue.clone(), spec.lease);
        let inner = shared.inner.consume(spec).await?;
        Ok(Self {
            shared,
            queue,
            lease,
            inner,
            taken: Vec::new(),
            ready: Vec::new(),
        })
    }

    /// Makes the first of what was taken ready, at most `max`. An error leaves it where it is.
    async fn prepare(&mut self, max: usize) -> Result<()> {
        let now = self.shared.env.monotonic();
        self.taken.retain(|delivery| delivery.lease.until > now);
        let some = self.some(max);
        let messages: Vec<RawMessage> = self
            .taken
            .iter()
            .take(some)
            .map(|it| it.message.clone())
            .collect();
        let found = self.shared.find(messages).await;
        let (mut lost, mut failed) = (Vec::new(), None);
        // From here to the end of the loop nothing waits, so each delivery is in one of the two places.
        for found in found {
            let found = match found {
                Ok(found) => found,
                Err(e) => {
                    // Those behind it stay behind it.
                    failed = Some(e.during("reserve").on(&self.queue));
                    break;
                }
            };
            let mut delivery = self.taken.remove(0);
            let blob = blob_of(&delivery.message);
            match found {
                Found::Lost(_) => lost.push(delivery.receipt),
                Found::Whole(message) => {
                    // A property that is none of ours names no blob of the message.
                    let blob = blob.filter(|_| blob_of(&message).is_none());
                    delivery.message = message;
                    let inner = delivery.receipt;
                    delivery.receipt = CheckReceipt { blob, inner }.receipt();
                    self.ready.push(delivery);
                }
            }
        }
        set_aside(&self.shared, &self.queue, lost).await;
        match failed {
            Some(e) if self.ready.is_empty() => {
                self.hold().await;
                Err(e)
            }
            _ => Ok(()),
        }
    }

    /// Keeps what cannot be made ready now: a lease that lapses would look like the death of a worker.
    async fn hold(&mut self) {
        let receipts = self.taken.iter().map(|delivery| delivery.receipt.clone());
        let receipts: Vec<Receipt> = receipts.collect();
        let leases = self.shared.inner.extend(&receipts, self.lease).await;
        for (delivery, lease) in self.taken.iter_mut().zip(leases) {
            if let Ok(lease) = lease {
                delivery.lease = lease;
            }
        }
    }

    /// How many of what was taken are made ready at once.
    fn some(&self, max: usize) -> usize {
        let mut bodies = 0;
        let is_one_too_many = |delivery: &Delivery| {
            bodies += usize::from(blob_of(&delivery.message).is_some());
            bodies > FETCHED_AT_ONCE
        };
        let first = self.taken.iter().position(is_one_too_many);
        first.unwrap_or(self.taken.len()).min(max)
    }

    /// What is ready, as far as it is still ours.
    fn hand_out(&mut self, max: usize) -> Vec<Delivery> {
        let now = self.shared.env.monotonic();
        self.ready.retain(|delivery| delivery.lease.until > now);
        let rest = self.ready.split_off(max.min(self.ready.len()));
        std::mem::replace(&mut self.ready, rest)
    }

    /// Gives up what was taken and never returned: what becomes of it at the broker underneath.
    fn give_up(&mut self) -> Vec<Settle> {
        let ready = std::mem::take(&mut self.ready).into_iter();
        let ready = ready.filter_map(|delivery| CheckReceipt::read(&delivery.receipt).ok());
        let mut given_up: Vec<Settle> = ready.map(|receipt| release(receipt.inner)).collect();
        given_up.extend(std::mem::take(&mut self.taken).into_iter().map(unused));
        given_up
    }
}

/// References to nothing go to the dead queue, for a person to see.
async fn set_aside(shared: &Shared, queue: &QueueName, lost: Vec<Receipt>) {
    if lost.is_empty() {
        return;
    }
    tracing::warn!(%queue, messages = lost.len(), "messages whose bodies are gone are set aside");
    let dead_letter = |receipt| Settle {
        receipt,
        settlement: Settlement::DeadLetter {
            reason: LOST.to_owned(),
            message: None,
        },
    };
    let batch = lost.into_iter().map(dead_letter).collect();
    for settled in shared.inner.settle(batch).await {
        if let Err(e) = settled {
            tracing::warn!(error = %e, "it comes again when its lease ends");
        }
    }
}

fn release(receipt: Receipt) -> Settle {
    let delay = Duration::ZERO;
    Settle {
        receipt,
        settlement: Settlement::Release { delay },
    }
}

/// A reference whose body could not be fetched is published anew, so that its next delivery is not taken for the
/// second of one that killed its worker. A crash in between leaves two references to one blob: whoever ends the
/// first is done with the job, and the second is set aside.
fn unused(delivery: Delivery) -> Settle {
    if blob_of(&delivery.message).is_none() {
        return release(delivery.receipt);
    }
    let mut message = delivery.message;
    message.not_before = None;
    Settle {
        receipt: delivery.receipt,
        settlement: Settlement::Retry {
            delay: Duration::ZERO,
            message: Box::new(message),
        },
    }
}

/// Gives back what was taken and never returned.
async fn give_back(shared: &Shared, batch: Vec<Settle>) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    for settled in shared.inner.settle(batch).await {
        settled?;
    }
    Ok(())
}

impl fmt::Debug for CheckConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckConsumer")
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Consumer for CheckConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let env = Arc::clone(&self.shared.env);
        let until = env.monotonic() + wait;
        loop {
            if self.shared.is_closed() {
                let text = "the broker is closed";
                return Err(Error::new(ErrorKind::Closed, text).on(&self.queue));
            }
            // What a dropped call took comes first.
            let kept = self.hand_out(max);
            if !kept.is_empty() {
                return Ok(kept);
            }
            if self.taken.is_empty() {
                let left = until.since(env.monotonic());
                self.taken = self.inner.reserve(max, left).await?;
            }
            self.prepare(max).await?;
            let ready = self.hand_out(max);
            if !ready.is_empty() || max == 0 || env.monotonic() >= until {
                return Ok(ready);
            }
        }
    }

    async fn stop(&mut self) -> Result<()> {
        let stopped = self.inner.stop().await;
        let given_up = self.give_up();
        stopped.and(give_back(&self.shared, given_up).await)
    }
}

impl Drop for CheckConsumer {
    fn drop(&mut self) {
        let given_up = self.give_up();
        if given_up.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let give_back = async move {
            if let Err(e) = give_back(&shared, given_up).await {
                tracing::warn!(error = %e, "deliveries could not be given back; they come again when their leases end");
            }
        };
        let env = &self.shared.env;
        env.spawn_isolated("give back", Box::pin(give_back));
    }
}
