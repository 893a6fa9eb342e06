//! What there must be on the server: queues, their dead queues, and the chain that delays messages.
//!
//! All of it is made here, by `ensure`, on channels that are thrown away: the server ends a channel with the
//! first thing that it does not like.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{QueueName, QueueSpec};
use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use crate::config::{QueueType, Topology};
use crate::connection::{Link, Live};
use crate::error::Error;
use crate::names::{LEVELS, Names, bit_pattern};
use crate::server::Dialect;

/// After so many deliveries that came back, the server itself sets a message aside. Only a net: no policy of ours
/// lets it come to that.
const DELIVERY_LIMIT: i64 = 5_000;

/// How long a server takes to write down that there is a new quorum queue. It confirms the queue, and messages in
/// it, before that; killed in between, it has the messages and does not know whose they are.
const WRITTEN_DOWN: Duration = Duration::from_millis(1_500);

/// Makes and checks what there must be.
#[derive(Debug)]
pub(crate) struct Topologist {
    pub(crate) link: Arc<Link>,
    pub(crate) names: Names,
    pub(crate) kind: QueueType,
    pub(crate) topology: Topology,
    pub(crate) dialect: Dialect,
}

/// A channel for one errand.
pub(crate) struct Errand<'a> {
    link: &'a Link,
    pub(crate) live: Live,
    pub(crate) channel: Channel,
}

impl Errand<'_> {
    pub(crate) async fn on<T>(
        &self,
        operation: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Error> {
        self.link.on(&self.live, operation).await
    }

    /// How many messages are ready in a queue; an error if it is not there.
    pub(crate) async fn ready(&self, name: &str) -> Result<u32, Error> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asked = self
            .channel
            .queue_declare(name.into(), passive, FieldTable::default());
        Ok(self.on(asked).await?.message_count())
    }

    /// Throws the channel away.
    pub(crate) async fn end(self) {
        self.on(self.channel.close(200, "done".into())).await.ok();
    }
}

impl Topologist {
    pub(crate) async fn errand(&self) -> Result<Errand<'_>, Error> {
        let deadline = self.link.env.monotonic() + self.link.timeout();
        let live = self.link.live(deadline).await?;
        let channel = self.link.channel(&live).await?;
        Ok(Errand {
            link: &self.link,
            live,
            channel,
        })
    }

    /// Whether a queue is there.
    pub(crate) async fn find(&self, queue: &QueueName) -> Result<(), Error> {
        let errand = self.errand().await?;
        match errand.ready(&self.names.queue(queue)).await {
            Ok(_) => {
                errand.end().await;
                Ok(())
            }
            Err(e) if e.is_not_found() => Err(Error::NoQueue(queue.clone())),
            Err(e) => Err(e),
        }
    }

    pub(crate) async fn ensure(&self, specs: &[QueueSpec]) -> Result<(), Error> {
        let mut is_new = self.ensure_chain().await?;
        for spec in specs {
            is_new |= self.lacks(&spec.name).await?;
        }
        let errand = self.errand().await?;
        for spec in specs {
            let made = self.ensure_one(&errand, &spec.name).await;
            made.map_err(|e| named(&spec.name, e))?;
        }
        errand.end().await;
        if is_new && self.kind == QueueType::Quorum {
            self.link.env.sleep(WRITTEN_DOWN).await;
        }
        Ok(())
    }

    /// Whether a queue or its dead queue is not there.
    async fn lacks(&self, queue: &QueueName) -> Result<bool, Error> {
        let errand = self.errand().await?;
        for name in [self.names.queue(queue), self.names.dead(queue)] {
            match errand.ready(&name).await {
                Ok(_) => {}
                Err(e) if e.is_not_found() => return Ok(true),
                Err(e) => return Err(e),
            }
        }
        errand.end().await;
        Ok(false)
    }

    async fn ensure_one(&self, errand: &Errand<'_>, queue: &QueueName) -> Result<(), Error> {
        let (name, dead) = (self.names.queue(queue), self.names.dead(queue));
        let channel = &errand.channel;
        // The dead queue first: what the server sets aside must have a place.
        errand
            .on(declare(channel, &dead, self.dead_queue()))
            .await?;
        match self.topology {
            Topology::Own => {
                let arguments = self.queue(&dead);
                errand.on(declare(channel, &name, arguments)).await?;
            }
            Topology::Foreign => drop(errand.ready(&name).await?),
        }
        let pattern = self.names.pattern(queue);
        let bound = channel.queue_bind(
            name.as_str().into(),
            self.names.due().as_str().into(),
            pattern.as_str().into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        errand.on(bound).await
    }

    /// The settings of every queue of ours, its kind among them: a server has a default that may change.
    fn base(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text(self.kind.name()));
        arguments
    }

    fn dead_queue(&self) -> FieldTable {
        let mut arguments = self.base();
        if self.kind == QueueType::Quorum {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(1_000_000));
        }
        arguments
    }

    fn queue(&self, dead: &str) -> FieldTable {
        let mut arguments = self.base();
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(dead));
        match self.kind {
            QueueType::Quorum => {
                let limit = AMQPValue::LongLongInt(DELIVERY_LIMIT);
                arguments.insert("x-delivery-limit".into(), limit);
                safe_moves(&mut arguments);
            }
            QueueType::Classic => {
                if let Some(levels) = self.dialect.max_priority {
                    let levels = AMQPValue::LongInt(levels.into());
                    arguments.insert("x-max-priority".into(), levels);
                }
            }
        }
        arguments
    }

    /// Makes the chain of queues that hold a message for a power of two of seconds each, for all namespaces of a
    /// virtual host. A marker is made last, so that one that was half made is completed. Answers whether it was made.
    async fn ensure_chain(&self) -> Result<bool, Error> {
        let marker = self.names.chain();
        let errand = self.errand().await?;
        let passive = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let kind = ExchangeKind::Fanout;
        let asked = errand.channel.exchange_declare(
            marker.as_str().into(),
            kind.clone(),
            passive,
            FieldTable::default(),
        );
        match errand.on(asked).await {
            Ok(()) => {
                errand.end().await;
                return Ok(false);
            }
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e),
        }
        let errand = self.errand().await?;
        errand
            .on(exchange(
                &errand.channel,
                &self.names.due(),
                ExchangeKind::Topic,
            ))
            .await?;
        for level in 0..LEVELS {
            self.make_level(&errand, level).await?;
        }
        errand.on(exchange(&errand.channel, &marker, kind)).await?;
        errand.end().await;
        Ok(true)
    }

    /// Messages whose bit is set wait in the queue, the others go on at once.
    async fn make_level(&self, errand: &Errand<'_>, level: usize) -> Result<(), Error> {
        let name = self.names.level(level);
        let next = match level.checked_sub(1) {
            Some(below) => self.names.level(below),
            None => self.names.due(),
        };
        let channel = &errand.channel;
        errand
            .on(exchange(channel, &name, ExchangeKind::Topic))
            .await?;
        let mut arguments = self.base();
        let millis = AMQPValue::LongLongInt(1_000 << level);
        arguments.insert("x-message-ttl".into(), millis);
        arguments.insert("x-dead-letter-exchange".into(), text(&next));
        if self.kind == QueueType::Quorum {
            safe_moves(&mut arguments);
        }
        errand.on(declare(channel, &name, arguments)).await?;
        let waits = channel.queue_bind(
            name.as_str().into(),
            name.as_str().into(),
            bit_pattern(level, 1).as_str().into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        errand.on(waits).await?;
        let goes_on = channel.exchange_bind(
            next.as_str().into(),
            name.as_str().into(),
            bit_pattern(level, 0).as_str().into(),
            ExchangeBindOptions::default(),
            FieldTable::default(),
        );
        errand.on(goes_on).await
    }
}

/// The server keeps a message until the queue that it is moved to has it. That needs the other way of bounding a
/// queue, though none of ours has a bound.
fn safe_moves(arguments: &mut FieldTable) {
    let strategy = text("at-least-once");
    arguments.insert("x-dead-letter-strategy".into(), strategy);
    arguments.insert("x-overflow".into(), text("reject-publish"));
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

async fn declare(channel: &Channel, name: &str, arguments: FieldTable) -> lapin::Result<()> {
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(name.into(), durable, arguments);
    declared.await.map(drop)
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let declared = channel.exchange_declare(name.into(), kind, durable, FieldTable::default());
    declared.await
}

/// What the server says of a queue, in the words of the contract.
fn named(queue: &QueueName, error: Error) -> Error {
    match error {
        Error::Server {
            code: 405 | 406,
            text,
            ..
        } => Error::Conflict {
            queue: queue.clone(),
            detail: text,
        },
        error if error.is_not_found() => Error::NoQueue(queue.clone()),
        other => other,
    }
}
