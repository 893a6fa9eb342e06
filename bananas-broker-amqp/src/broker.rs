//! [`AmqpBroker`]: the contract on a RabbitMQ server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Consumer, ConsumerSpec, Env, Error as Seen, ErrorKind, Fact,
    Lease, Publish, Published, QueueSpec, Receipt, Result, Settle, Settled,
};
use futures::future::join_all;
use tokio::sync::oneshot;

use crate::config::AmqpConfig;
use crate::connection::Link;
use crate::consumer::AmqpConsumer;
use crate::dialer::Dialer;
use crate::error::Error;
use crate::facts;
use crate::names::Names;
use crate::publisher::answered;
use crate::pump::Pump;
use crate::server::{self, Version};
use crate::settle;
use crate::shared::Shared;
use crate::topology::Topologist;

/// One client of one RabbitMQ server.
///
/// It has a connection for consumers, and another, made when it is first needed, for publishing. Both are made
/// again whenever they break, and end when the broker is closed or the last handle and consumer are dropped.
#[derive(Clone, Debug)]
pub struct AmqpBroker {
    pub(crate) shared: Arc<Shared>,
}

impl AmqpBroker {
    /// Looks which server it is, and connects.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for wrong settings; `Unreachable` or `Timeout` when nothing answers within
    /// [`AmqpConfig::timeout`]; `Auth` for a wrong password, missing rights or an unknown virtual host;
    /// `Unsupported` for another server, or one that is too old for quorum queues.
    pub async fn open(config: AmqpConfig, env: Arc<dyn Env>) -> Result<Self> {
        config.check()?;
        let dialer = Arc::new(Dialer::new(config.clone())?);
        let looked = env
            .within(config.timeout, Box::pin(server::look(&dialer)))
            .await;
        let version = looked.unwrap_or_else(|_| {
            Err(Error::NotSent {
                url: dialer.url.clone(),
                why: format!("no answer within {:?}", config.timeout),
                kind: ErrorKind::Timeout,
            })
        })?;
        let oldest = version.as_deref().unwrap_or_default();
        let dialect = Version::parse(oldest).dialect(&config)?;
        let link = Link::new(&dialer, &env, "bananas");
        let publishing = Link::new(&dialer, &env, "bananas publishing");
        let info = BrokerInfo {
            backend: "amqp",
            url: dialer.url.clone(),
            version,
            capabilities: dialect.capabilities(&config),
        };
        let topologist = Topologist {
            link: Arc::clone(&link),
            names: Names::new(&config),
            kind: config.queue_type,
            topology: config.topology,
            dialect,
        };
        let links = (Arc::clone(&link), publishing);
        let shared = Arc::new(Shared::new(&env, info, links, topologist));
        link.live(env.monotonic() + config.timeout).await?;
        Ok(Self { shared })
    }

    /// B31, and the same for extensions, where more than the longest is what the server cannot do.
    fn check_lease(&self, asked: Duration) -> std::result::Result<(), Error> {
        let limits = self.shared.info.capabilities.lease;
        if (limits.min..=limits.max).contains(&asked) {
            return Ok(());
        }
        Err(Error::Lease { asked, limits })
    }

    fn extend_one(&self, receipt: &Receipt, lease: Duration) -> std::result::Result<Lease, Error> {
        self.shared.check_open()?;
        let total = self.shared.total();
        if lease > total {
            let asked = lease;
            return Err(Error::LeaseTotal { asked, total });
        }
        self.check_lease(lease)?;
        match self.shared.desk(receipt)? {
            Some((desk, number)) => desk.extend(number, lease),
            None => Err(Error::LeaseLost),
        }
    }

    async fn open_consumer(&self, spec: ConsumerSpec) -> std::result::Result<AmqpConsumer, Error> {
        self.shared.check_open()?;
        self.check_lease(spec.lease)?;
        self.shared.topologist.find(&spec.queue).await?;
        let name = self.shared.names().queue(&spec.queue);
        let desk = self.shared.new_desk(spec);
        let pump = Pump::new(Arc::clone(&desk), Arc::clone(&self.shared.link), name);
        let shared = Arc::downgrade(&self.shared);
        let id = desk.id;
        let run = async move {
            pump.run().await;
            if let Some(shared) = shared.upgrade() {
                shared.forget_desk(id);
            }
        };
        self.shared.env.spawn_isolated("amqp pump", Box::pin(run));
        Ok(AmqpConsumer::new(desk, Arc::clone(&self.shared)))
    }

    async fn publish_all(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let now = self.shared.env.now();
        let mut answers = Vec::with_capacity(batch.len());
        let mut letters = Vec::with_capacity(batch.len());
        for Publish { queue, message } in batch {
            let delay = message
                .not_before
                .map_or(Duration::ZERO, |at| at.since(now));
            let letter = match self.shared.check_open() {
                Ok(()) => self.shared.letter(&queue, &message, delay).await,
                Err(e) => Err(e),
            };
            let letter = letter.map(|letter| letters.push(letter));
            answers.push((queue, message.id, letter));
        }
        let posted = self
            .shared
            .publisher
            .post(letters)
            .into_iter()
            .map(answered);
        let mut posted = join_all(posted).await.into_iter();
        let answer = |(queue, id, letter): (_, _, std::result::Result<(), Error>)| {
            let answer = letter.and_then(|()| {
                let lost = Err(Error::Closed { sent: true });
                posted.next().unwrap_or(lost)
            });
            let published = Published {
                id,
                duplicate: false,
            };
            let seen = |e| Seen::from(e).during("publish").on(&queue);
            answer.map(|()| published).map_err(seen)
        };
        answers.into_iter().map(answer).collect()
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    fn info(&self) -> &BrokerInfo {
        &self.shared.info
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        let ensured = async {
            self.shared.check_open()?;
            self.shared.topologist.ensure(queues).await
        };
        ensured.await.map_err(|e| Seen::from(e).during("ensure"))?;
        for spec in queues {
            self.shared.is_there(&spec.name);
        }
        Ok(())
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        self.publish_all(batch).await
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        let queue = spec.queue.clone();
        match self.open_consumer(spec).await {
            Ok(consumer) => Ok(Box::new(consumer)),
            Err(e) => Err(Seen::from(e).during("consume").on(&queue)),
        }
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let count = batch.len();
        let seen = |e| Seen::from(e).during("settle");
        if let Err(e) = self.shared.check_open() {
            return (0..count).map(|_| Err(seen(e.clone()))).collect();
        }
        // By itself, so that it is not left half done when nobody waits for it any more.
        let (sender, answers) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let settle = async move {
            sender.send(settle::settle(&shared, batch).await).ok();
        };
        self.shared
            .env
            .spawn_isolated("amqp settle", Box::pin(settle));
        match answers.await {
            Ok(answers) => answers.into_iter().map(|it| it.map_err(seen)).collect(),
            Err(_) => (0..count)
                .map(|_| Err(seen(Error::Closed { sent: true })))
                .collect(),
        }
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        let extend = |receipt| {
            let extended = self.extend_one(receipt, lease);
            extended.map_err(|e| Seen::from(e).during("extend"))
        };
        receipts.iter().map(extend).collect()
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        let facts = facts::of(&self.shared).await;
        facts.map_err(|e| Seen::from(e).during("facts"))
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        Some(self)
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        let end = self.shared.env.monotonic() + deadline;
        self.shared.publisher.close(end).await;
        for desk in self.shared.desks() {
            desk.stop();
        }
        self.shared.publishing.close(end).await;
        self.shared.link.close(end).await;
        for desk in self.shared.desks() {
            desk.wake();
        }
        Ok(())
    }
}
