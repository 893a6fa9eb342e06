//! The broker: queues of opaque messages on Amazon SQS.

mod admin;
mod consumer;
mod facts;
mod poller;
mod publish;
mod queues;
mod receive;
mod settle;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Bucket, Capabilities, Consumer, ConsumerSpec, Counter, Delay,
    Depth, Durability, Env, Error as Seen, Fact, Fencing, JobId, Lease, LeaseLimits, Ordering,
    Publish, Published, QueueName, QueueSpec, RawMessage, Reach, Receipt, Result, Settle, Settled,
};
use futures::future::{join_all, try_join_all};

use self::consumer::SqsConsumer;
use crate::config::{QueueKind, SqsConfig};
use crate::connection::Wire;
use crate::envelope;
use crate::error::Error;
use crate::gate::Gate;
use crate::gather::{BATCH, Gather};
use crate::held::Deliveries;
use crate::names::{Names, Place};
use crate::requests::Requests;
use crate::shared::Shared;

/// The longest that a delivery can be held in all: the twelve hours of the server, less a minute for what is on
/// its way.
const MAX_LEASE: Duration = Duration::from_secs(12 * 3_600 - 60);

/// The longest delay of a message.
const MAX_DELAY: Duration = Duration::from_secs(900);

/// A broker on Amazon SQS.
///
/// It holds no connection while nothing is asked. What was under way when the last handle is dropped goes on.
pub struct SqsBroker {
    shared: Arc<Shared>,
}

impl fmt::Debug for SqsBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsBroker")
            .field("url", &self.shared.info.url)
            .finish_non_exhaustive()
    }
}

impl SqsBroker {
    /// Makes a client. Nothing is sent before the first call.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for settings that are none.
    pub async fn open(config: SqsConfig, env: Arc<dyn Env>) -> Result<Arc<Self>> {
        config.check()?;
        let wire = Box::pin(Wire::open(&config, Arc::clone(&env))).await;
        let info = BrokerInfo {
            backend: "sqs",
            url: config.shown_url(),
            version: None,
            capabilities: capabilities(&config),
        };
        let shared = Shared {
            info,
            wire,
            gate: Gate::open(),
            gather: Gather::new(),
            deliveries: Deliveries::default(),
            names: Names::new(&config.namespace, config.kind),
            kind: config.kind,
            number: env.random(),
            env,
            max_bytes: config.max_bytes,
            handover: config.handover,
            urls: Mutex::new(HashMap::new()),
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
        }))
    }

    /// How many requests this client has made.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.shared.wire.meter.read()
    }

    /// Makes a call of one answer in a task of its own.
    async fn pass<T: Send + 'static>(
        &self,
        during: &'static str,
        call: impl Future<Output = std::result::Result<T, Error>> + Send + 'static,
    ) -> Result<T> {
        let shared = &self.shared;
        let answer = shared.gate.pass(&shared.env, call).await;
        let answer = answer.and_then(|answer| answer);
        answer.map_err(|error| Seen::from(error).during(during))
    }

    /// The same for a call with so many answers.
    async fn pass_all<T: Send + 'static>(
        &self,
        during: &'static str,
        answers: usize,
        call: impl Future<Output = Vec<Result<T>>> + Send + 'static,
    ) -> Vec<Result<T>> {
        let shared = &self.shared;
        let passed = shared.gate.pass(&shared.env, call).await;
        passed.unwrap_or_else(|error| {
            let refused = || Err(Seen::from(error.clone()).during(during));
            (0..answers).map(|_| refused()).collect()
        })
    }

    /// B31, and the same for extensions.
    fn check_lease(&self, asked: Duration) -> std::result::Result<(), Error> {
        let LeaseLimits { min, max, .. } = self.shared.info.capabilities.lease;
        if (min..=max).contains(&asked) {
            return Ok(());
        }
        Err(Error::Lease { asked, min, max })
    }
}

/// What the service can do, by the kind of its queues and by whose service it is.
pub(crate) fn capabilities(config: &SqsConfig) -> Capabilities {
    let fifo = config.kind == QueueKind::Fifo;
    let mut can = Capabilities::exact();
    can.delay = if fifo {
        Delay::Unsupported
    } else {
        Delay::Native {
            max: Some(MAX_DELAY),
            granularity: Duration::from_secs(1),
        }
    };
    can.priority_levels = 1;
    can.lease = LeaseLimits {
        min: Duration::from_secs(1),
        max: MAX_LEASE,
        max_total: Some(MAX_LEASE),
    };
    can.fencing = Fencing::Client;
    // A standard queue may deliver twice what it delivered once; a FIFO queue does not.
    can.redelivery_proves_lease_lost = fifo;
    // A replacement is sent first, and the delivery deleted then.
    can.atomic_settle = false;
    can.exact_delivery_count = false;
    can.ordering = if fifo { Ordering::Key } else { Ordering::None };
    can.max_message = envelope::largest_body(config.max_bytes);
    can.max_batch = BATCH;
    // An emulator behind an endpoint says nothing of its data.
    can.durability = if config.is_of_amazon() {
        Durability::D4
    } else {
        Durability::D1
    };
    can.exact_depth = false;
    can.reach = Reach::Network;
    can
}

#[async_trait]
impl Broker for SqsBroker {
    fn info(&self) -> &BrokerInfo {
        &self.shared.info
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let names: Vec<QueueName> = queues.iter().map(|spec| spec.name.clone()).collect();
        let ensure = async move {
            let ensured = names.iter().map(|name| queues::ensure(&shared, name));
            try_join_all(ensured).await.map(drop)
        };
        self.pass("ensure", ensure).await
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let (shared, answers) = (Arc::clone(&self.shared), batch.len());
        let publish = async move { publish::publish(&shared, batch).await };
        self.pass_all("publish", answers, publish).await
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        let queue = spec.queue.clone();
        let shared = Arc::clone(&self.shared);
        let asked = self.check_lease(spec.lease);
        let find = async move {
            asked?;
            shared.url(&spec.queue, Place::Live).await?;
            Ok(SqsConsumer::new(shared, spec))
        };
        match self.pass("consume", find).await {
            Ok(consumer) => Ok(Box::new(consumer)),
            Err(error) => Err(error.on(&queue)),
        }
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let (shared, answers) = (Arc::clone(&self.shared), batch.len());
        let settle = async move { settle::settle(&shared, batch).await };
        self.pass_all("settle", answers, settle).await
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        let limit = MAX_LEASE;
        let checked = if lease > limit {
            Err(Error::TotalLease {
                asked: lease,
                limit,
            })
        } else {
            self.check_lease(lease)
        };
        if let Err(error) = checked {
            let refused = |_| Err(Seen::from(error.clone()).during("extend"));
            return receipts.iter().map(refused).collect();
        }
        let (shared, receipts) = (Arc::clone(&self.shared), receipts.to_vec());
        let answers = receipts.len();
        let extend = async move { settle::extend(&shared, receipts, lease).await };
        self.pass_all("extend", answers, extend).await
    }

    fn counters(&self) -> Vec<Counter> {
        self.requests().counters()
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        let shared = Arc::clone(&self.shared);
        self.pass("facts", async move { facts::facts(&shared).await })
            .await
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        Some(self)
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        let shared = &self.shared;
        shared.gate.close(&shared.env, deadline).await;
        Ok(())
    }
}

#[async_trait]
impl BrokerAdmin for SqsBroker {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        let (shared, queues) = (Arc::clone(&self.shared), queues.to_vec());
        let look = async move {
            let depths = queues.iter().map(|queue| admin::depth(&shared, queue));
            let mut found = Vec::new();
            for depth in join_all(depths).await {
                match depth {
                    Ok(depth) => found.push(depth),
                    Err(Error::NoQueue(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        };
        self.pass("depth", look).await
    }

    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>> {
        let (shared, queue) = (Arc::clone(&self.shared), queue.clone());
        let peek = async move { admin::peek(&shared, &queue, bucket, max).await };
        self.pass("peek", peek).await
    }

    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        let (shared, queue) = (Arc::clone(&self.shared), queue.clone());
        let purge = async move { admin::purge(&shared, &queue, bucket).await };
        self.pass("purge", purge).await
    }

    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        let (shared, queue) = (Arc::clone(&self.shared), queue.clone());
        let ids = ids.map(<[JobId]>::to_vec);
        let redrive = async move { admin::redrive(&shared, &queue, ids.as_deref()).await };
        self.pass("redrive", redrive).await
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        let shared = Arc::clone(&self.shared);
        self.pass("queues", async move { admin::queues(&shared).await })
            .await
    }

    async fn delete(&self, queue: &QueueName) -> Result<()> {
        let (shared, queue) = (Arc::clone(&self.shared), queue.clone());
        let delete = async move { admin::remove(&shared, &queue).await };
        self.pass("delete", delete).await
    }
}
