//! A broker around a broker that writes down what it is asked and what it answers.
//!
//! It sees what its caller sees, and nothing of how the broker works.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Bucket, Capabilities, Consumer, ConsumerSpec, Counter,
    Delivery, ErrorKind, Fact, Fencing, JobId, Lease, Ordering, Publish, Published, QueueName,
    QueueSpec, Receipt, Result, Settle, Settled, Settlement, Status,
};

use super::event::{Answer, Ending, Enqueue, Job, Name, Place, Start, What};
use super::history::Witness;
use super::rules::{HistoryEnd, Order, Rules};

/// A broker around a broker that writes down what happens to each message that has an id.
///
/// A delivery is a run, and a consumer its owner. What is cancelled half-way has no answer in the history, and
/// so counts as unknown.
#[derive(Debug)]
pub struct Recorded {
    inner: Arc<dyn Broker>,
    record: Arc<Record>,
    consumers: AtomicU64,
}

/// What the broker and its consumers share.
#[derive(Debug)]
struct Record {
    witness: Arc<dyn Witness>,
    runs: Mutex<Runs>,
}

/// The runs so far.
#[derive(Debug, Default)]
struct Runs {
    begun: u64,
    by_receipt: HashMap<Receipt, (Job, u64)>,
}

impl From<JobId> for Job {
    /// The last half of the id, in which the chance of two being equal is nothing.
    fn from(id: JobId) -> Self {
        let last = id.as_bytes().iter().skip(8);
        Self(last.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

impl Recorded {
    /// Records what goes through this broker. The clock of the witness must be the one of its leases.
    #[must_use]
    pub fn around(inner: Arc<dyn Broker>, witness: Arc<dyn Witness>) -> Self {
        let runs = Mutex::default();
        Self {
            inner,
            record: Arc::new(Record { witness, runs }),
            consumers: AtomicU64::new(0),
        }
    }

    /// What the broker promises, for a history that goes to its end.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let can = &self.info().capabilities;
        Rules {
            order: order(can),
            priority_levels: can.priority_levels,
            dedupe: can.dedupe,
            fenced: can.fencing != Fencing::Client,
            durability: can.durability as u8,
            end: HistoryEnd::Drained,
            ..Rules::default()
        }
    }

    /// Writes down what still is in a queue, as far as the broker can look into it.
    ///
    /// # Errors
    ///
    /// When the broker cannot be asked.
    pub async fn list(&self, queue: &QueueName) -> Result<()> {
        let Some(admin) = self.inner.admin() else {
            return Ok(());
        };
        let buckets = [
            (Bucket::Ready, Place::Ready),
            (Bucket::Delayed, Place::Scheduled),
            (Bucket::Dead, Place::Dead),
        ];
        for (bucket, place) in buckets {
            let peeked = match admin.peek(queue, bucket, usize::MAX).await {
                Err(e) if e.kind() == ErrorKind::Unsupported => continue,
                peeked => peeked?,
            };
            for message in peeked {
                if let Some(job) = message.id.map(Job::from) {
                    self.record.witness.record(What::Found { job, place });
                }
            }
        }
        Ok(())
    }
}

fn order(can: &Capabilities) -> Order {
    match can.ordering {
        Ordering::None => Order::None,
        Ordering::Queue => Order::Queue,
        Ordering::Key => Order::Key,
    }
}

fn hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

fn asked(publish: &Publish) -> Option<Enqueue> {
    let message = &publish.message;
    Some(Enqueue {
        job: message.id?.into(),
        queue: publish.queue.as_str().into(),
        key: message.key.as_deref().map(Name::from),
        priority: message.priority.get(),
        delayed: message.not_before.is_some(),
        body: hash(&message.body),
    })
}

fn answered(job: Job, answer: &Result<Published>) -> What {
    match answer {
        Ok(published) if published.duplicate => What::Duplicate { job },
        Ok(_) => What::Accepted { job },
        Err(e) if e.status() == Status::MayBeApplied => What::Unknown { job },
        Err(_) => What::Refused { job },
    }
}

/// What a settlement asks for, with the hash of the body that replaces the old one.
fn ending(settlement: &Settlement) -> (Ending, Option<u64>) {
    match settlement {
        Settlement::Ack => (Ending::Ack, None),
        Settlement::Retry { message, .. } => (Ending::Retry, Some(hash(&message.body))),
        Settlement::Release { .. } => (Ending::Release, None),
        Settlement::DeadLetter { message, .. } => {
            let body = message.as_ref().map(|message| hash(&message.body));
            (Ending::DeadLetter, body)
        }
    }
}

impl Record {
    /// Writes down that a delivery came, as a run of its own.
    fn begin(&self, delivery: &Delivery, owner: &Name) {
        let Some(job) = delivery.message.id.map(Job::from) else {
            return;
        };
        let run = {
            let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
            runs.begun += 1;
            let run = runs.begun;
            let receipt = delivery.receipt.clone();
            runs.by_receipt.insert(receipt, (job, run));
            run
        };
        self.witness.record(What::Start(Start {
            job,
            run,
            owner: Name::clone(owner),
            attempt: None,
            epoch: None,
            lease_until: Some(delivery.lease.until.as_micros()),
            body: Some(hash(&delivery.message.body)),
        }));
    }

    /// Which run each receipt is of; none for a receipt that was never handed out here.
    fn runs_of<'a>(&self, receipts: impl Iterator<Item = &'a Receipt>) -> Vec<Option<(Job, u64)>> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        receipts
            .map(|receipt| runs.by_receipt.get(receipt).copied())
            .collect()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Broker for Recorded {
    fn info(&self) -> &BrokerInfo {
        self.inner.info()
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        self.inner.ensure(queues).await
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let asked: Vec<Option<Enqueue>> = batch.iter().map(asked).collect();
        let jobs: Vec<Option<Job>> = asked.iter().map(|one| Some(one.as_ref()?.job)).collect();
        for enqueue in asked.into_iter().flatten() {
            self.record.witness.record(What::Enqueue(enqueue));
        }
        let answers = self.inner.publish(batch).await;
        for (job, answer) in jobs.into_iter().zip(&answers) {
            if let Some(job) = job {
                self.record.witness.record(answered(job, answer));
            }
        }
        answers
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        let inner = self.inner.consume(spec).await?;
        let number = self.consumers.fetch_add(1, Atomic::Relaxed) + 1;
        Ok(Box::new(RecordedConsumer {
            inner,
            record: Arc::clone(&self.record),
            owner: format!("consumer {number}").into(),
        }))
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let witness = &self.record.witness;
        let runs = self
            .record
            .runs_of(batch.iter().map(|settle| &settle.receipt));
        for (settle, run) in batch.iter().zip(&runs) {
            if let Some((job, run)) = *run {
                let (ending, body) = ending(&settle.settlement);
                witness.record(What::Settle {
                    job,
                    run,
                    ending,
                    body,
                });
            }
        }
        let answers = self.inner.settle(batch).await;
        for (answer, run) in answers.iter().zip(runs) {
            if let Some((job, run)) = run {
                let answer = match answer {
                    Ok(Settled::Done) => Answer::Ok,
                    Err(e) if e.status() == Status::MayBeApplied => Answer::Unknown,
                    Ok(Settled::Already | Settled::LeaseLost) | Err(_) => Answer::Stale,
                };
                witness.record(What::Settled { job, run, answer });
            }
        }
        answers
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        let runs = self.record.runs_of(receipts.iter());
        let answers = self.inner.extend(receipts, lease).await;
        for (answer, run) in answers.iter().zip(runs) {
            let Some((job, run)) = run else { continue };
            match answer {
                Ok(lease) => self.record.witness.record(What::Extended {
                    job,
                    run,
                    lease_until: lease.until.as_micros(),
                }),
                Err(e) if e.kind() == ErrorKind::Conflict => {
                    self.record.witness.record(What::LeaseLost { job, run });
                }
                Err(_) => {}
            }
        }
        answers
    }

    fn counters(&self) -> Vec<Counter> {
        self.inner.counters()
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        self.inner.facts().await
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        self.inner.admin()
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.inner.close(deadline).await
    }
}

/// A consumer whose deliveries are written down as they are handed out.
#[derive(Debug)]
struct RecordedConsumer {
    inner: Box<dyn Consumer>,
    record: Arc<Record>,
    owner: Name,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Consumer for RecordedConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let taken = self.inner.reserve(max, wait).await?;
        for delivery in &taken {
            self.record.begin(delivery, &self.owner);
        }
        Ok(taken)
    }

    async fn stop(&mut self) -> Result<()> {
        self.inner.stop().await
    }
}
