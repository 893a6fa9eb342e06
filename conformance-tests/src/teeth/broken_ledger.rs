//! A ledger around a good one that does what a fault makes of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Accepted, Chore, Claimed, Counter, Env, Job, JobId, JobIndex, JobSettled, Ledger, LedgerInfo,
    Outcome, Owner, OwnerRow, QueueName, Renewed, Result, Source, SourceSpec, Tended,
};

/// What is wrong with a ledger. Each method is one of the ledger's or its source's, and is right unless the
/// fault says otherwise. All clients of one namespace share one fault.
#[async_trait]
pub(super) trait LedgerFault: Send + Sync + fmt::Debug {
    async fn enqueue(&self, good: &dyn Ledger, jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        good.enqueue(jobs).await
    }

    async fn settle(
        &self,
        good: &dyn Ledger,
        batch: Vec<(Claimed, Outcome)>,
    ) -> Vec<Result<JobSettled>> {
        good.settle(batch).await
    }

    async fn renew(&self, good: &dyn Ledger, owner: &Owner, lease: Duration) -> Result<Renewed> {
        good.renew(owner, lease).await
    }

    async fn tend(&self, good: &dyn Ledger, chore: Chore) -> Result<Tended> {
        good.tend(chore).await
    }

    async fn next(
        &self,
        source: &mut GoodSource,
        (max, suspects): (usize, usize),
        wait: Duration,
    ) -> Result<Vec<Claimed>> {
        source.good.next(max, suspects, wait).await
    }

    async fn stop(&self, source: &mut GoodSource) -> Result<()> {
        source.good.stop().await
    }
}

/// A good source, with what a fault may need besides.
#[derive(Debug)]
pub(super) struct GoodSource {
    pub(super) env: Arc<dyn Env>,
    pub(super) good: Box<dyn Source>,
    /// Taken and not handed out.
    pub(super) held: Vec<Claimed>,
}

/// A good ledger with a fault in it.
#[derive(Debug)]
pub(super) struct BrokenLedger {
    env: Arc<dyn Env>,
    good: Arc<dyn Ledger>,
    fault: Arc<dyn LedgerFault>,
}

impl BrokenLedger {
    pub(super) fn new(
        env: Arc<dyn Env>,
        good: Arc<dyn Ledger>,
        fault: Arc<dyn LedgerFault>,
    ) -> Self {
        Self { env, good, fault }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Ledger for BrokenLedger {
    fn info(&self) -> &LedgerInfo {
        self.good.info()
    }

    fn counters(&self) -> Vec<Counter> {
        self.good.counters()
    }

    async fn ensure(&self, queues: &[QueueName]) -> Result<()> {
        self.good.ensure(queues).await
    }

    async fn enqueue(&self, jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        self.fault.enqueue(self.good.as_ref(), jobs).await
    }

    async fn open(&self, spec: SourceSpec) -> Result<Box<dyn Source>> {
        Ok(Box::new(BrokenSource {
            source: GoodSource {
                env: Arc::clone(&self.env),
                good: self.good.open(spec).await?,
                held: Vec::new(),
            },
            fault: Arc::clone(&self.fault),
        }))
    }

    async fn settle(&self, batch: Vec<(Claimed, Outcome)>) -> Vec<Result<JobSettled>> {
        self.fault.settle(self.good.as_ref(), batch).await
    }

    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed> {
        self.fault.renew(self.good.as_ref(), owner, lease).await
    }

    async fn owners(&self, cancels_of: Option<&Owner>) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        self.good.owners(cancels_of).await
    }

    async fn tend(&self, chore: Chore) -> Result<Tended> {
        self.fault.tend(self.good.as_ref(), chore).await
    }

    fn index(&self) -> Option<&dyn JobIndex> {
        self.good.index()
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.good.close(deadline).await
    }
}

#[derive(Debug)]
struct BrokenSource {
    source: GoodSource,
    fault: Arc<dyn LedgerFault>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for BrokenSource {
    async fn next(&mut self, max: usize, suspects: usize, wait: Duration) -> Result<Vec<Claimed>> {
        let limits = (max, suspects);
        self.fault.next(&mut self.source, limits, wait).await
    }

    async fn stop(&mut self) -> Result<()> {
        self.fault.stop(&mut self.source).await
    }
}
