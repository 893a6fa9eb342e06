//! Bananas broker on NATS JetStream.
//!
//! [`NatsEngine::open`] connects; [`broker`](NatsEngine::broker) moves messages. A queue is a work-queue stream
//! whose subjects are lanes for priorities, each with one durable consumer that all workers share.
//!
//! **Fencing.** The server accepts a settlement from somebody whose lease is over. So the client refuses it: a
//! lease counts as over a tenth before its end, by the client's own clock.
//!
//! **Durability.** What was confirmed survives the kill of the server (class D2). Servers sync their files every
//! two minutes unless they are told otherwise, so a loss of power may take what was confirmed since. Where they
//! sync always, [`SyncInterval`] says so: then it is survived, too.
//!
//! **Delays** need a server of version 2.12 or newer; before that they are refused as `Unsupported`.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use bananas_broker_nats::{NatsConfig, NatsEngine};
//! use bananas_core::{Env, QueueName, QueueSpec, TokioEnv};
//!
//! # #[tokio::main]
//! # async fn main() -> bananas_core::Result<()> {
//! let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
//! let mut config = NatsConfig::from_url("nats://localhost")?;
//! config.namespace = "shop".to_owned();
//! let broker = NatsEngine::open(config, env).await?.broker();
//! broker.ensure(&[QueueSpec::new(QueueName::new("mail")?)]).await?;
//! # Ok(())
//! # }
//! ```

mod broker;
mod config;
mod connection;
mod credentials;
mod engine;
mod error;
mod facts;
mod jetstream;
mod link;
mod names;
mod tls;

pub use self::config::{Login, NatsConfig, SyncInterval, Tls};
pub use self::engine::NatsEngine;
