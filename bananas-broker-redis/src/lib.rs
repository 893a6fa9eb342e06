//! Bananas broker and state store on a Redis server.
//!
//! [`RedisEngine::open`] connects; [`broker`](RedisEngine::broker) moves messages, [`store`](RedisEngine::store)
//! remembers jobs, and [`ledger`](RedisEngine::ledger) is both, where the record of a job is its message. A queue keeps all 101
//! priorities apart and messages of one priority in order, delays to the millisecond, and fences every lease by
//! a token. The server's clock alone decides about delays and leases.
//!
//! **Durability** is the server's: without its append-only file what was confirmed survives the end of our
//! processes (class D1), with `appendfsync everysec` the kill of the server (D2), with `always` the loss of
//! power (D3). It is looked up when the engine is opened; a server that does not tell counts as the weakest.
//!
//! **Limits.** One server, one that sentinels watch ([`Sentinel`]), or a cluster, version 6.2 or newer. A body has
//! at most 64 MiB. A failover to a replica loses what was not replicated; [`Confirm`] waits for replicas.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use bananas_broker_redis::{RedisConfig, RedisEngine};
//! use bananas_core::{Env, QueueName, QueueSpec, TokioEnv};
//!
//! # #[tokio::main]
//! # async fn main() -> bananas_core::Result<()> {
//! let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
//! let mut config = RedisConfig::from_url("redis://localhost")?;
//! config.namespace = "shop".to_owned();
//! let broker = RedisEngine::open(config, env).await?.broker();
//! broker.ensure(&[QueueSpec::new(QueueName::new("mail")?)]).await?;
//! # Ok(())
//! # }
//! ```

mod address;
mod bell;
mod broker;
mod cluster;
mod config;
mod confirm;
mod confirmer;
mod connection;
mod debt;
mod door;
mod ear;
mod engine;
mod error;
mod facts;
mod keys;
mod link;
mod namespace;
mod pulse;
mod question;
mod reply;
mod scout;
mod script;
mod sentinel;
mod server;
mod servers;
mod slots;
mod store;

pub use self::address::Address;
pub use self::config::{Eviction, RedisConfig, Tls};
pub use self::confirm::Confirm;
pub use self::engine::RedisEngine;
pub use self::sentinel::Sentinel;
