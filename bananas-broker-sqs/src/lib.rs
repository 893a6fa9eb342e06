//! Bananas broker on Amazon SQS.
//!
//! [`SqsBroker::open`] makes a client of one region, with keys from the chain of AWS. Queues are standard ones, or
//! FIFO ones where messages with the same key are to stay in order. All calls of a client gather their messages:
//! ten of a kind travel in one request, and [`requests`](SqsBroker::requests) says how many there were, since
//! requests are what the service costs.
//!
//! **Leases** are fenced by our own clock, as SQS refuses nobody who lost one. A delivery can be held for twelve
//! hours less a minute in all.
//!
//! **Limits.** Delays of at most 15 minutes, none on FIFO queues; one priority; about counts. A body has at most
//! 764 KiB where the service takes 1 MiB, for it travels as text.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use bananas_broker_sqs::{SqsBroker, SqsConfig};
//! use bananas_core::{Broker, Env, QueueName, QueueSpec, TokioEnv};
//!
//! # #[tokio::main]
//! # async fn main() -> bananas_core::Result<()> {
//! let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
//! let mut config = SqsConfig::from_url("sqs://eu-west-1")?;
//! config.namespace = "shop".to_owned();
//! let broker = SqsBroker::open(config, env).await?;
//! broker.ensure(&[QueueSpec::new(QueueName::new("mail")?)]).await?;
//! println!("{} requests so far", broker.requests().total());
//! # Ok(())
//! # }
//! ```

mod batch;
mod broker;
mod config;
mod connection;
mod envelope;
mod error;
mod gate;
mod gather;
mod held;
mod names;
mod receipt;
mod requests;
mod shared;

pub use self::broker::SqsBroker;
pub use self::config::{QueueKind, SqsConfig};
pub use self::requests::Requests;
