//! Bananas broker on a RabbitMQ server, over AMQP 0-9-1.
//!
//! [`AmqpBroker::open`] connects. Queues are quorum queues unless one asks for classic ones; their type is always
//! said explicitly, and they are made by `ensure` alone. Publishes are confirmed and mandatory: a message that no
//! queue takes is an error.
//!
//! **Leases** are the channel's. While this process lives, it gives a delivery back when its lease is over; when
//! it dies, the server does so at once. The server has a limit of its own on the time that a delivery is out,
//! `consumer_timeout`, which is the longest lease in all, extensions included.
//!
//! **Delays** need no plug-in: a delayed message passes a chain of queues, one for each bit of the seconds that it
//! waits, up to eight years. They are exact to a second, never early.
//!
//! **Priorities** are told apart by classic queues (ten levels), and by quorum queues from RabbitMQ 4.3 on (32).
//!
//! **Limits.** A retry is published, confirmed, and then the delivery acknowledged; a crash in between leaves
//! both. An acknowledgement has no answer: when it is `Done`, the queue has dealt with it, and if the server is
//! killed before it has written that, the message comes again. A message has at most 16 MiB. The protocol counts
//! only what is ready, and cannot look into a queue without taking messages out; only dead messages can be looked
//! at here.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use bananas_broker_amqp::{AmqpBroker, AmqpConfig};
//! use bananas_core::{Broker, Env, QueueName, QueueSpec, TokioEnv};
//!
//! # #[tokio::main]
//! # async fn main() -> bananas_core::Result<()> {
//! let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
//! let mut config = AmqpConfig::from_url("amqp://guest:guest@localhost:5672/%2f")?;
//! config.namespace = "shop".to_owned();
//! let broker = AmqpBroker::open(config, env).await?;
//! broker.ensure(&[QueueSpec::new(QueueName::new("mail")?)]).await?;
//! # Ok(())
//! # }
//! ```

mod admin;
mod broker;
mod config;
mod connection;
mod consumer;
mod desk;
mod dialer;
mod envelope;
mod error;
mod facts;
mod names;
mod publisher;
mod pump;
mod receipt;
mod server;
mod session;
mod settle;
mod shared;
mod topology;

pub use self::broker::AmqpBroker;
pub use self::config::{AmqpConfig, Login, QueueType, Tls, Topology};
