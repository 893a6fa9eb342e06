//! A broker around a broker that counts what is published and can be cut off.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Consumer, ConsumerSpec, Counter, Error, ErrorKind, Fact,
    Lease, Publish, Published, QueueSpec, Receipt, Result, Settle, Settled,
};

/// How the way to the broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Everything passes.
    Up,
    /// Publishes and settlements are refused, as when nothing listens.
    Down,
    /// Publishes never come to an end.
    Stuck,
}

/// Counts publishes, and can be cut off.
#[derive(Debug)]
pub(crate) struct WatchedBroker {
    inner: Arc<dyn Broker>,
    published: AtomicU64,
    line: Mutex<Line>,
}

impl WatchedBroker {
    pub(crate) fn around(inner: Arc<dyn Broker>) -> Self {
        Self {
            inner,
            published: AtomicU64::new(0),
            line: Mutex::new(Line::Up),
        }
    }

    /// How many messages were published so far.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, line: Line) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }

    fn line(&self) -> Line {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn down() -> Error {
    Error::new(ErrorKind::Unreachable, "the line is down")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Broker for WatchedBroker {
    fn info(&self) -> &BrokerInfo {
        self.inner.info()
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        self.inner.ensure(queues).await
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        match self.line() {
            Line::Down => return batch.iter().map(|_| Err(down())).collect(),
            Line::Stuck => return pending().await,
            Line::Up => {}
        }
        let messages = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.published.fetch_add(messages, Ordering::Relaxed);
        self.inner.publish(batch).await
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        self.inner.consume(spec).await
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        match self.line() {
            Line::Down => batch.iter().map(|_| Err(down())).collect(),
            Line::Up | Line::Stuck => self.inner.settle(batch).await,
        }
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        self.inner.extend(receipts, lease).await
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
