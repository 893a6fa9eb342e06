//! One request of a consumer for messages. It runs beside the consumer, so that whoever stops waiting for it
//! loses nothing: what it takes goes into the consumer's hold.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bananas_core::{ConsumerSpec, Delivery, DeliveryCount, Lease, Receipt, Tick};
use redis::Value;

use super::credit::Credit;
use super::envelope;
use super::receipt::Claimed;
use super::settle::{SETTLE, arguments, micros};
use crate::engine::{BATCH, Shared};
use crate::error::Error;
use crate::keys::Part;
use crate::question::Call;
use crate::reply;
use crate::script::Script;

/// About how many bytes of messages one request takes at most.
const BYTES: usize = 8 * 1024 * 1024;

/// How often giving back what an answer that was lost had taken is tried.
const RECALLS: usize = 3;

const RESERVE: [Part; 10] = [
    Part::Queue,
    Part::Numbers,
    Part::Messages,
    Part::Normal,
    Part::High,
    Part::Low,
    Part::Delayed,
    Part::Leased,
    Part::Counts,
    Part::Wake,
];
const RECALL: [Part; 6] = [
    Part::Messages,
    Part::Normal,
    Part::High,
    Part::Low,
    Part::Leased,
    Part::Wake,
];

/// What a consumer took and did not return yet.
#[derive(Debug, Default)]
pub(super) struct Hold {
    pub(super) deliveries: VecDeque<Delivery>,
    /// The consumer is gone; what still comes is given back.
    pub(super) abandoned: bool,
}

/// Who takes, from where, and where to.
#[derive(Clone, Debug)]
pub(super) struct Taker {
    pub(super) shared: Arc<Shared>,
    pub(super) spec: ConsumerSpec,
    pub(super) number: u64,
    pub(super) credit: Arc<Credit>,
    pub(super) hold: Arc<Mutex<Hold>>,
}

/// What a request found, beside messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether more may be ready.
    pub(super) more: bool,
    /// When the next message is due or the next lease lapses, from the answer on.
    pub(super) next: Option<Duration>,
    /// The shortest lease that anybody takes on this queue.
    pub(super) shortest_lease: Duration,
}

/// One answer, read.
struct Answer {
    found: Found,
    entries: Vec<Value>,
    messages: Vec<Value>,
    /// How often each was delivered before, if any was.
    counts: Vec<Value>,
}

impl Taker {
    pub(super) fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all that is ready, up to `max` and about so many bytes.
    pub(super) async fn take(&self, max: usize) -> Result<Found, Error> {
        let (mut taken, mut bytes) = (0, 0);
        loop {
            let step = self.step((max - taken).min(BATCH), BYTES - bytes).await;
            let (found, count, size) = match step {
                Ok(step) => step,
                // What came before stands; the next request tells what is wrong.
                Err(_) if taken > 0 => return Ok(Found::LOOK_AGAIN),
                Err(e) => return Err(e),
            };
            (taken, bytes) = (taken + count, bytes + size);
            if count == 0 || !found.more || taken >= max || bytes >= BYTES {
                return Ok(found);
            }
        }
    }

    /// One call of the script; how many messages it took, and their bytes.
    async fn step(&self, max: usize, room: usize) -> Result<(Found, usize, usize), Error> {
        let shared = &self.shared;
        let keys = shared.keys(&self.spec.queue);
        let token = shared.env.random().to_be_bytes();
        let call = Call {
            script: Script::Reserve,
            keys: RESERVE.iter().map(|part| keys.key(*part)).collect(),
            args: vec![
                max.to_string().into(),
                micros(self.spec.lease),
                token.to_vec(),
                room.to_string().into(),
            ],
        };
        let began = shared.env.monotonic();
        let (answer, sent) = match shared.wire().run(&call).await {
            Ok(answer) => answer,
            Err(e) => {
                if matches!(e, Error::Lost { .. } | Error::Silence { .. }) {
                    self.recall(token, began);
                }
                return Err(e);
            }
        };
        if reply::integer(&answer) == Some(-1) {
            return Err(Error::NoQueue(self.spec.queue.clone()));
        }
        let answer = shared.read(read(answer))?;
        let found = answer.found;
        // Counted from before the request, so that we never believe in a lease longer than it is.
        let deliveries = self.deliveries(answer, token, sent + self.spec.lease);
        let deliveries = shared.read(deliveries)?;
        let (count, size) = (
            deliveries.len(),
            deliveries.iter().map(|d| d.message.body.len()).sum(),
        );
        self.keep(deliveries);
        Ok((found, count, size))
    }

    fn deliveries(&self, answer: Answer, token: [u8; 8], until: Tick) -> Option<Vec<Delivery>> {
        let Answer {
            entries,
            messages,
            counts,
            ..
        } = answer;
        let mut deliveries = Vec::with_capacity(entries.len());
        for (n, (entry, message)) in entries.into_iter().zip(messages).enumerate() {
            let mut held = reply::bytes(entry)?;
            held.extend(token);
            let before = match counts.get(n) {
                Some(Value::BulkString(digits)) => {
                    std::str::from_utf8(digits).ok()?.parse().ok()?
                }
                _ => 0_u32,
            };
            let claimed = Claimed {
                consumer: self.number,
                queue: self.spec.queue.clone(),
                held,
            };
            let lease = Lease {
                until,
                hard_limit: None,
            };
            let message = envelope::decode(reply::bytes(message)?);
            let receipt = claimed.receipt(&self.shared.namespace);
            let delivery = Delivery::new(claimed.queue, message, receipt, lease)
                .counted(DeliveryCount::Exact(before.saturating_add(1)));
            self.credit.take(claimed.held, until);
            deliveries.push(delivery);
        }
        Some(deliveries)
    }

    fn keep(&self, deliveries: Vec<Delivery>) {
        let mut hold = self.hold();
        if !hold.abandoned {
            hold.deliveries.extend(deliveries);
            return;
        }
        drop(hold);
        self.give_back_later(deliveries);
    }

    /// Gives back what was never handed out, as if it had not been delivered.
    pub(super) async fn give_back(&self, receipts: Vec<Receipt>) -> Result<(), Error> {
        for receipts in receipts.chunks(BATCH) {
            let claimed = receipts
                .iter()
                .map(|receipt| Claimed::read(receipt, &self.shared.namespace))
                .collect::<Result<Vec<_>, _>>()?;
            let args = claimed
                .iter()
                .flat_map(|it| arguments("return", it.held.clone(), b"0".to_vec(), None));
            let queue = &self.spec.queue;
            self.shared
                .run(Script::Settle, queue, &SETTLE, args.collect())
                .await?;
            for it in &claimed {
                self.credit.give_back(&it.held);
            }
        }
        Ok(())
    }

    /// The same, from where nothing can wait.
    pub(super) fn give_back_later(&self, deliveries: Vec<Delivery>) {
        if deliveries.is_empty() {
            return;
        }
        let taker = self.clone();
        let receipts = deliveries
            .into_iter()
            .map(|delivery| delivery.receipt)
            .collect();
        let give_back = async move {
            if let Err(e) = taker.give_back(receipts).await {
                tracing::warn!(error = %e, "messages could not be given back; they are ready when their lease ends");
            }
        };
        self.shared
            .env
            .spawn_isolated("redis-give-back", Box::pin(give_back));
    }

    /// An answer was lost on its way: what it had taken is given back as soon as there is a connection again.
    fn recall(&self, token: [u8; 8], began: Tick) {
        let taker = self.clone();
        let recall = async move {
            for _ in 0..RECALLS {
                let passed =
                    taker.shared.env.monotonic().since(began) + taker.shared.wire().timeout();
                let args = vec![
                    token.to_vec(),
                    micros(taker.spec.lease.saturating_sub(passed)),
                    micros(taker.spec.lease),
                ];
                let queue = &taker.spec.queue;
                match taker.shared.run(Script::Recall, queue, &RECALL, args).await {
                    Err(e) if e.is_of_connection() => {}
                    _ => return,
                }
            }
        };
        self.shared
            .env
            .spawn_isolated("redis-recall", Box::pin(recall));
    }
}

impl Found {
    const LOOK_AGAIN: Self = Self {
        more: true,
        next: None,
        shortest_lease: Duration::ZERO,
    };
}

fn read(answer: Value) -> Option<Answer> {
    let parts: [Value; 7] = reply::list(answer)?.try_into().ok()?;
    let [more, due, lapse, shortest, entries, messages, counts] = parts;
    // A negative number is a time that never comes.
    let micros = |value: &Value| Some(u64::try_from(reply::integer(value)?).ok());
    let times = [micros(&due)?, micros(&lapse)?];
    let found = Found {
        more: reply::integer(&more)? != 0,
        next: times.into_iter().flatten().min().map(Duration::from_micros),
        shortest_lease: Duration::from_micros(reply::count(&shortest)?),
    };
    let answer = Answer {
        found,
        entries: reply::list(entries)?,
        messages: reply::list(messages)?,
        counts: reply::list(counts)?,
    };
    (answer.entries.len() == answer.messages.len()).then_some(answer)
}
