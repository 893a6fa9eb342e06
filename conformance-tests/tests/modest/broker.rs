//! A broker that can do less than memory and SQLite.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Consumer, ConsumerSpec, Counter, Delay, Delivery, Env, Error,
    ErrorKind, Fact, Lease, Ordering, Publish, Published, QueueName, QueueSpec, RawMessage,
    Receipt, Result, Settle, Settled, Settlement, Tick,
};

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// The longest lease in all.
const TOTAL: Duration = Duration::from_secs(2 * 3_600);

/// A broker around a broker that can do less.
#[derive(Debug)]
pub(crate) struct Modest {
    inner: Arc<dyn Broker>,
    namespace: String,
    env: Arc<dyn Env>,
    info: BrokerInfo,
    deliveries: Arc<Deliveries>,
    foreign: Arc<Foreign>,
}

/// Queues that others made, by namespace.
pub(crate) type Foreign = Mutex<HashSet<(String, QueueName)>>;

/// When each delivery was made.
type Deliveries = Mutex<HashMap<Receipt, Tick>>;

/// A consumer that says when each lease ends whatever one does.
#[derive(Debug)]
struct ModestConsumer {
    inner: Box<dyn Consumer>,
    env: Arc<dyn Env>,
    deliveries: Arc<Deliveries>,
}

impl Modest {
    pub(crate) fn around(inner: Arc<dyn Broker>, delay: Delay, env: Arc<dyn Env>) -> Self {
        let mut info = inner.info().clone();
        info.capabilities.delay = delay;
        info.capabilities.lease.max = HOUR;
        info.capabilities.lease.max_total = Some(TOTAL);
        info.capabilities.ordering = Ordering::Key;
        info.capabilities.exact_depth = false;
        info.capabilities.max_batch = 10;
        Self {
            inner,
            namespace: String::new(),
            env,
            info,
            deliveries: Arc::default(),
            foreign: Arc::default(),
        }
    }

    /// Its queues may be those of others.
    pub(crate) fn beside(mut self, namespace: &str, foreign: &Arc<Foreign>) -> Self {
        namespace.clone_into(&mut self.namespace);
        self.foreign = Arc::clone(foreign);
        self
    }

    fn refuse_delay(&self, delay: Duration) -> Option<Error> {
        let text = match self.info.capabilities.delay {
            _ if delay.is_zero() => return None,
            Delay::Native { max, .. } if max.is_none_or(|max| delay <= max) => return None,
            Delay::Native { max, .. } => format!("a delay of {delay:?} is longer than {max:?}"),
            Delay::Unsupported => "there are no delays".to_owned(),
        };
        Some(Error::new(ErrorKind::Unsupported, text))
    }

    fn refuse_message(&self, message: &RawMessage) -> Option<Error> {
        let delay = message.not_before.map(|at| at.since(self.env.now()));
        self.refuse_delay(delay.unwrap_or_default())
    }

    fn refuse_settle(&self, settle: &Settle) -> Option<Error> {
        match &settle.settlement {
            Settlement::Retry { delay, message } => self
                .refuse_delay(*delay)
                .or_else(|| self.refuse_message(message)),
            Settlement::Release { delay } => self.refuse_delay(*delay),
            Settlement::Ack | Settlement::DeadLetter { .. } => None,
        }
    }

    fn refuse_extension(&self, receipt: &Receipt, lease: Duration) -> Option<Error> {
        let delivered = self.deliveries.lock().unwrap().get(receipt).copied();
        let end = delivered? + TOTAL;
        let text = format!("{lease:?} more would be longer than {TOTAL:?} in all");
        (self.env.monotonic() + lease > end).then(|| Error::new(ErrorKind::Unsupported, text))
    }

    fn refuse_lease(&self, lease: Duration) -> Option<Error> {
        let max = self.info.capabilities.lease.max;
        let text = format!("a lease of {lease:?} is longer than {max:?}");
        (lease > max).then(|| Error::new(ErrorKind::InvalidArgument, text))
    }
}

/// A batch without the items that are refused.
struct Sifted<I> {
    passed: Vec<I>,
    refusals: Vec<Option<Error>>,
}

impl<I> Sifted<I> {
    fn new(batch: Vec<I>, refuse: impl Fn(&I) -> Option<Error>) -> Self {
        let refusals: Vec<_> = batch.iter().map(refuse).collect();
        let passed = batch.into_iter().zip(&refusals);
        let passed = passed.filter(|(_, refusal)| refusal.is_none());
        Self {
            passed: passed.map(|(item, _)| item).collect(),
            refusals,
        }
    }
}

/// The answers to the whole batch, from those to the items that were passed on.
fn merge<O>(refusals: Vec<Option<Error>>, answers: Vec<Result<O>>) -> Vec<Result<O>> {
    let mut answers = answers.into_iter();
    let answer = |refusal: Option<Error>| match refusal {
        Some(e) => Err(e),
        None => answers.next().unwrap(),
    };
    refusals.into_iter().map(answer).collect()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Broker for Modest {
    fn info(&self) -> &BrokerInfo {
        &self.info
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        let foreign = queues.iter().find(|queue| {
            let place = (self.namespace.clone(), queue.name.clone());
            self.foreign.lock().unwrap().contains(&place)
        });
        if let Some(queue) = foreign {
            let text = "the queue belongs to another program";
            return Err(Error::new(ErrorKind::Conflict, text).on(&queue.name));
        }
        self.inner.ensure(queues).await
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let sifted = Sifted::new(batch, |item| self.refuse_message(&item.message));
        merge(sifted.refusals, self.inner.publish(sifted.passed).await)
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        if let Some(refusal) = self.refuse_lease(spec.lease) {
            return Err(refusal);
        }
        Ok(Box::new(ModestConsumer {
            inner: self.inner.consume(spec).await?,
            env: Arc::clone(&self.env),
            deliveries: Arc::clone(&self.deliveries),
        }))
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let sifted = Sifted::new(batch, |item| self.refuse_settle(item));
        merge(sifted.refusals, self.inner.settle(sifted.passed).await)
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        let sifted = Sifted::new(receipts.to_vec(), |receipt| {
            self.refuse_extension(receipt, lease)
                .or_else(|| self.refuse_lease(lease))
        });
        let answers = self.inner.extend(&sifted.passed, lease).await;
        merge(sifted.refusals, answers)
    }

    fn counters(&self) -> Vec<Counter> {
        self.inner.counters()
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        self.inner.facts().await
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        None
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.inner.close(deadline).await
    }
}

#[async_trait]
impl Consumer for ModestConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let mut taken = self.inner.reserve(max, wait).await?;
        let now = self.env.monotonic();
        for delivery in &mut taken {
            delivery.lease.hard_limit = Some(now + TOTAL);
            let mut deliveries = self.deliveries.lock().unwrap();
            deliveries.insert(delivery.receipt.clone(), now);
        }
        Ok(taken)
    }

    async fn stop(&mut self) -> Result<()> {
        self.inner.stop().await
    }
}
