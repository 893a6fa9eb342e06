//! The ledger over any broker and any store.
//!
//! The store is the truth and the outbox, the broker the doorbell. Enqueueing records first and publishes
//! second; settling records first and acknowledges second; what falls between is found by the upkeep.

mod enqueue;
mod evidence;
mod in_flight;
mod intake;
mod long_delay;
mod settle;
mod source;
#[cfg(test)]
mod tests;
mod unconfirmed;
mod unsettled;
mod upkeep;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use self::evidence::Evidence;
use self::in_flight::InFlight;
use self::source::SplitSource;
use self::unconfirmed::Unconfirmed;
use self::unsettled::Unsettled;
use crate::{
    Accepted, BlobId, Broker, Chore, Claimed, Codecs, ConsumerSpec, Counter, Env, Job, JobId,
    JobIndex, JobSettled, Ledger, LedgerInfo, Outcome, Owner, OwnerRow, QueueName, QueueSpec,
    Renewed, Result, Source, SourceSpec, StateStore, Tended,
};

/// A ledger over any broker and any store.
pub struct SplitLedger {
    shared: Arc<Shared>,
}

/// What a [`SplitLedger`] needs to know beside its two sides.
#[derive(Clone)]
#[non_exhaustive]
pub struct SplitOptions {
    /// This process, as the publisher of batches.
    pub process: Owner,
    /// Whether the process of an owner is surely gone: it ran on this host, and runs no more.
    pub is_surely_gone: fn(&Owner) -> bool,
    /// How long a batch may wait for its confirmation before it is published again. Default 30 s.
    pub open_for: Duration,
    /// A message without a record is adopted when it is younger, and set aside when it is older: by then its
    /// record may have been pruned. Default 24 h, the retention of finished jobs.
    pub adopt_younger_than: Duration,
    /// How a queue's messages are encoded.
    pub codecs: Codecs,
}

impl SplitOptions {
    /// Options with the defaults.
    #[must_use]
    pub fn new(process: Owner, is_surely_gone: fn(&Owner) -> bool) -> Self {
        Self {
            process,
            is_surely_gone,
            open_for: Duration::from_secs(30),
            adopt_younger_than: Duration::from_secs(24 * 3600),
            codecs: Codecs::default(),
        }
    }
}

impl fmt::Debug for SplitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitOptions")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

struct Shared {
    info: LedgerInfo,
    broker: Arc<dyn Broker>,
    store: Arc<dyn StateStore>,
    env: Arc<dyn Env>,
    options: SplitOptions,
    in_flight: InFlight,
    evidence: Mutex<Evidence>,
    unconfirmed: Unconfirmed,
    unsettled: Unsettled,
    /// Behind which of the store's blobs the next sweep goes on.
    swept: Mutex<Option<BlobId>>,
    /// The queues that this ledger has made, as far as it knows.
    made: Mutex<BTreeSet<QueueName>>,
}

impl SplitLedger {
    /// Joins a broker and a store.
    #[must_use]
    pub fn new(
        broker: Arc<dyn Broker>,
        store: Arc<dyn StateStore>,
        env: Arc<dyn Env>,
        options: SplitOptions,
    ) -> Self {
        let (b, s) = (broker.info(), store.info());
        let mut capabilities = long_delay::effective(b.capabilities.clone());
        // Depending on its `track`, a job is accepted when its record is, or its message: promised is the less.
        capabilities.durability = capabilities.durability.min(s.durability);
        let info = LedgerInfo {
            backend: format!("{}+{}", b.backend, s.backend),
            url: format!("{} with store {}", b.url, s.url),
            capabilities,
        };
        let shared = Shared {
            info,
            broker,
            store,
            env,
            options,
            in_flight: InFlight::default(),
            evidence: Mutex::default(),
            unconfirmed: Unconfirmed::default(),
            unsettled: Unsettled::default(),
            swept: Mutex::default(),
            made: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl fmt::Debug for SplitLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SplitLedger")
            .field(&self.shared.info.url)
            .finish()
    }
}

#[async_trait]
impl Ledger for SplitLedger {
    fn info(&self) -> &LedgerInfo {
        &self.shared.info
    }

    fn counters(&self) -> Vec<Counter> {
        self.shared.broker.counters()
    }

    async fn ensure(&self, queues: &[QueueName]) -> Result<()> {
        let specs: Vec<QueueSpec> = queues.iter().cloned().map(QueueSpec::new).collect();
        self.shared.broker.ensure(&specs).await?;
        self.shared.watch_for_loss(queues);
        Ok(())
    }

    async fn enqueue(&self, jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        self.shared.enqueue(jobs).await
    }

    async fn open(&self, spec: SourceSpec) -> Result<Box<dyn Source>> {
        let mut consumer_spec = ConsumerSpec::new(spec.queue.clone());
        consumer_spec.lease = spec.lease;
        consumer_spec.credit = spec.credit;
        let consumer = self.shared.broker.consume(consumer_spec).await?;
        Ok(Box::new(SplitSource::new(
            Arc::clone(&self.shared),
            consumer,
            spec,
        )))
    }

    async fn settle(&self, batch: Vec<(Claimed, Outcome)>) -> Vec<Result<JobSettled>> {
        self.shared.settle(batch).await
    }

    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed> {
        let renewed = self.shared.store.jobs().renew(owner, lease).await?;
        match renewed {
            Renewed::Held { .. } => self.shared.extend_soon(owner.id, lease).await,
            Renewed::Lost => self.shared.in_flight.abandon(owner.id),
        }
        Ok(renewed)
    }

    async fn owners(&self, cancels_of: Option<&Owner>) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        self.shared
            .store
            .jobs()
            .owners(cancels_of.map(|owner| owner.id))
            .await
    }

    async fn tend(&self, chore: Chore) -> Result<Tended> {
        self.shared.tend(chore).await
    }

    fn index(&self) -> Option<&dyn JobIndex> {
        Some(self.shared.store.index())
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        let confirmed = self.shared.confirm_published().await;
        let broker = self.shared.broker.close(deadline).await;
        let store = self.shared.store.close(deadline).await;
        confirmed.and(broker).and(store)
    }
}
