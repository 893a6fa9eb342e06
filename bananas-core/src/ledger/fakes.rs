//! A broker and a store that answer as a test tells them to, and remember what they were asked.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Alteration, Altered, BatchId, Broker, BrokerAdmin, BrokerInfo, Capabilities, Check, Checked,
    ClaimAnswer, ClaimRequest, Consumer, ConsumerSpec, Cursor, Delay, Delivery, Due, DuePage,
    Durability, Env, Error, ErrorKind, JobFilter, JobId, JobIndex, JobPage, JobRecord, JobSettle,
    JobSettled, JobState, JobStore, Lease, Ledger, Lost, ManualEnv, NewRecord, Owner, OwnerId,
    OwnerRow, Prune, Publication, Publish, Published, QueueSpec, Receipt, Recorded, Renewed,
    Result, Settle, Settled, StateCount, StateStore, StoreInfo,
};

/// Takes any number of things as they come.
pub(in crate::ledger) type Heard<T> = Mutex<Vec<T>>;

fn away() -> Error {
    Error::new(ErrorKind::Unreachable, "nothing listens")
}

/// Fails as often as the number says.
fn fail_first(left: &AtomicUsize) -> Result<()> {
    let order = Ordering::SeqCst;
    match left.fetch_update(order, order, |left| left.checked_sub(1)) {
        Ok(_) => Err(away()),
        Err(_) => Ok(()),
    }
}

/// A store that accepts everything.
#[derive(Debug)]
pub(in crate::ledger) struct FakeStore {
    info: StoreInfo,
    /// How many confirmations fail before one holds.
    pub(in crate::ledger) confirms_to_fail: AtomicUsize,
    pub(in crate::ledger) confirmed: Heard<BatchId>,
    /// How many calls of settle fail before one holds.
    pub(in crate::ledger) settles_to_fail: AtomicUsize,
    pub(in crate::ledger) settled: Heard<JobSettle>,
    /// What [`JobStore::lost`] answers, page by page; then nothing is lost.
    pub(in crate::ledger) lost: Mutex<VecDeque<DuePage>>,
    pub(in crate::ledger) asked_for_lost: Heard<Lost>,
    pub(in crate::ledger) counts: Mutex<Vec<StateCount>>,
    /// Whether claims and settlements wait until a test lets them go on.
    pub(in crate::ledger) gate: AtomicBool,
    /// How often a process died while running any of the jobs.
    pub(in crate::ledger) crashes: AtomicUsize,
}

impl FakeStore {
    pub(in crate::ledger) fn new() -> Arc<Self> {
        Arc::new(Self {
            info: StoreInfo {
                backend: "fake",
                url: String::new(),
                durability: Durability::D0,
                max_value: usize::MAX,
            },
            confirms_to_fail: AtomicUsize::new(0),
            confirmed: Mutex::default(),
            settles_to_fail: AtomicUsize::new(0),
            settled: Mutex::default(),
            lost: Mutex::default(),
            asked_for_lost: Mutex::default(),
            counts: Mutex::default(),
            gate: AtomicBool::new(false),
            crashes: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl StateStore for FakeStore {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn jobs(&self) -> &dyn JobStore {
        self
    }

    fn index(&self) -> &dyn JobIndex {
        self
    }

    fn fused(self: Arc<Self>, _: &dyn Broker, _: &Arc<dyn Env>) -> Option<Arc<dyn Ledger>> {
        None
    }

    async fn close(&self, _: Duration) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl JobStore for FakeStore {
    async fn record(&self, jobs: Vec<NewRecord>, _: Option<Publication>) -> Vec<Result<Recorded>> {
        jobs.iter().map(|_| Ok(Recorded::New)).collect()
    }

    async fn confirm(&self, batches: &[BatchId]) -> Result<()> {
        let failing = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        if self
            .confirms_to_fail
            .fetch_update(order, order, failing)
            .is_ok()
        {
            return Err(away());
        }
        self.confirmed.lock().unwrap().extend(batches);
        Ok(())
    }

    async fn claim(&self, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        while self.gate.load(Ordering::SeqCst) {
            futures::pending!();
        }
        let crashes = u32::try_from(self.crashes.load(Ordering::SeqCst)).unwrap();
        let run = ClaimAnswer::Run {
            epoch: 1,
            attempt: 1,
            crashes,
        };
        request.claims.iter().map(|_| Ok(run.clone())).collect()
    }

    async fn settle(&self, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        while self.gate.load(Ordering::SeqCst) {
            futures::pending!();
        }
        if fail_first(&self.settles_to_fail).is_err() {
            return batch.iter().map(|_| Err(away())).collect();
        }
        let answers = batch
            .iter()
            .map(|_| Ok(JobSettled::Settled(JobState::Ready)))
            .collect();
        self.settled.lock().unwrap().extend(batch);
        answers
    }

    async fn due(&self, _: Due) -> Result<DuePage> {
        Ok(DuePage::default())
    }

    async fn lost(&self, lost: Lost) -> Result<DuePage> {
        self.asked_for_lost.lock().unwrap().push(lost);
        Ok(self.lost.lock().unwrap().pop_front().unwrap_or_default())
    }

    async fn open_batches(&self) -> Result<Vec<Publication>> {
        Ok(Vec::new())
    }

    async fn renew(&self, _: &Owner, lease: Duration) -> Result<Renewed> {
        Ok(Renewed::Held { lease })
    }

    async fn owners(&self, _: Option<OwnerId>) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        Ok((Vec::new(), Vec::new()))
    }

    async fn retire(&self, _: &[OwnerId]) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl JobIndex for FakeStore {
    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>> {
        Ok(ids.iter().map(|_| None).collect())
    }

    async fn query(&self, _: &JobFilter, _: Option<Cursor>, _: usize) -> Result<JobPage> {
        Ok(JobPage::default())
    }

    async fn counts(&self) -> Result<Vec<StateCount>> {
        Ok(self.counts.lock().unwrap().clone())
    }

    async fn watch(&self, _: Duration) -> Result<()> {
        Ok(())
    }

    async fn alter(&self, ids: &[JobId], _: Alteration) -> Result<Vec<Altered>> {
        Ok(ids.iter().map(|_| Altered::Missing).collect())
    }

    async fn prune(&self, _: Prune) -> Result<u64> {
        Ok(0)
    }

    async fn check(&self, _: Check) -> Result<Checked> {
        Ok(Checked::default())
    }
}

/// A broker that holds nothing: what a consumer is to deliver comes from the test.
pub(in crate::ledger) struct FakeBroker {
    info: BrokerInfo,
    pub(in crate::ledger) published: Heard<Publish>,
    pub(in crate::ledger) settled: Heard<Settle>,
    pub(in crate::ledger) ensured: Heard<QueueSpec>,
    pub(in crate::ledger) deliveries: Arc<Mutex<Vec<Delivery>>>,
    /// Whether publishes and settlements are refused.
    pub(in crate::ledger) is_down: AtomicBool,
    /// Whether publishes to queues that were never ensured are refused.
    pub(in crate::ledger) is_strict: AtomicBool,
    /// Whether extensions never come to an end.
    pub(in crate::ledger) is_stuck: AtomicBool,
    /// How many seconds pass with each publish.
    pub(in crate::ledger) takes: AtomicU64,
    clock: Arc<ManualEnv>,
    admin: Option<Box<dyn BrokerAdmin>>,
}

impl FakeBroker {
    pub(in crate::ledger) fn new(
        clock: Arc<ManualEnv>,
        admin: Option<Box<dyn BrokerAdmin>>,
        delay: Delay,
    ) -> Arc<Self> {
        let mut capabilities = Capabilities::exact();
        capabilities.delay = delay;
        Arc::new(Self {
            info: BrokerInfo {
                backend: "fake",
                url: String::new(),
                version: None,
                capabilities,
            },
            published: Mutex::default(),
            settled: Mutex::default(),
            ensured: Mutex::default(),
            deliveries: Arc::default(),
            is_down: AtomicBool::new(false),
            is_strict: AtomicBool::new(false),
            is_stuck: AtomicBool::new(false),
            takes: AtomicU64::new(0),
            clock,
            admin,
        })
    }

    fn check(&self) -> Result<()> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(away());
        }
        Ok(())
    }

    fn publish_one(&self, publish: Publish) -> Result<Published> {
        self.check()?;
        let ensured = self.ensured.lock().unwrap();
        let is_known = ensured.iter().any(|spec| spec.name == publish.queue);
        if self.is_strict.load(Ordering::SeqCst) && !is_known {
            return Err(Error::new(ErrorKind::NotFound, "no such queue"));
        }
        let id = publish.message.id;
        self.published.lock().unwrap().push(publish);
        Ok(Published {
            id,
            duplicate: false,
        })
    }
}

impl fmt::Debug for FakeBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeBroker")
    }
}

#[async_trait]
impl Broker for FakeBroker {
    fn info(&self) -> &BrokerInfo {
        &self.info
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        self.ensured.lock().unwrap().extend(queues.iter().cloned());
        Ok(())
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let takes = self.takes.load(Ordering::SeqCst);
        self.clock.advance(Duration::from_secs(takes));
        batch
            .into_iter()
            .map(|publish| self.publish_one(publish))
            .collect()
    }

    async fn consume(&self, _: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(FakeConsumer(Arc::clone(&self.deliveries))))
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let answers = batch.iter().map(|_| self.check().map(|()| Settled::Done));
        let answers = answers.collect();
        self.settled.lock().unwrap().extend(batch);
        answers
    }

    async fn extend(&self, receipts: &[Receipt], _: Duration) -> Vec<Result<Lease>> {
        while self.is_stuck.load(Ordering::SeqCst) {
            futures::pending!();
        }
        receipts.iter().map(|_| Err(away())).collect()
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        self.admin.as_deref()
    }

    async fn close(&self, _: Duration) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct FakeConsumer(Arc<Mutex<Vec<Delivery>>>);

#[async_trait]
impl Consumer for FakeConsumer {
    async fn reserve(&mut self, max: usize, _: Duration) -> Result<Vec<Delivery>> {
        let mut deliveries = self.0.lock().unwrap();
        let taken = deliveries.len().min(max);
        Ok(deliveries.drain(..taken).collect())
    }

    async fn stop(&mut self) -> Result<()> {
        Ok(())
    }
}
