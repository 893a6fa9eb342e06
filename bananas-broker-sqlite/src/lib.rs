//! Bananas broker and state store in one SQLite file.
//!
//! [`SqliteEngine::open`] opens the file; [`ledger`](SqliteEngine::ledger) is what clients and workers use.
//! There the record of a job is its message, so a job costs three batched writes in its whole life. Any number
//! of processes on one machine may open the same file.
//!
//! **Durability.** With [`Synchronous::Full`], the default, what was answered `Ok` survives the crash of the
//! machine and the loss of power (class D3). With [`Synchronous::Normal`] it survives the death of any process
//! (class D2); the loss of power may undo the last commits, never damage the file.
//!
//! **Limits.** A local disk only: SQLite's write-ahead log does not work over a network, and such places are
//! refused. One process writes at a time; writes that come together share a commit. A body or result has at
//! most 64 MiB. Leases are measured on the machine's boot clock, so a wall clock that jumps does not touch
//! them, and all processes must share one machine and one time namespace.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bananas_broker_sqlite::{SqliteConfig, SqliteEngine};
//! use bananas_core::{Args, Env, Job, TokioEnv};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> bananas_core::Result<()> {
//! # let place = tempfile::tempdir().map_err(|e| bananas_core::Error::new(bananas_core::ErrorKind::Internal, e.to_string()))?;
//! let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
//! let mut config = SqliteConfig::from_url("sqlite://bananas.db?synchronous=normal")?;
//! # config.path = place.path().join("bananas.db");
//! config.namespace = "shop".to_owned();
//! let engine = SqliteEngine::open(config, Arc::clone(&env)).await?;
//!
//! let args = Args::from_json(r#"{"user_id": 42}"#)?;
//! let job = Job::new(env.job_id(), "email.welcome".parse()?, args, env.now());
//! for accepted in engine.ledger().enqueue(vec![job]).await {
//!     assert!(!accepted?.duplicate);
//! }
//! # Ok(())
//! # }
//! ```

mod bell;
mod boot_clock;
mod broker;
mod busy;
mod columns;
mod config;
mod connection;
mod engine;
mod error;
mod facts;
mod filesystem;
mod lane;
mod reader;
mod schema;
mod store;
#[cfg(test)]
mod testing;
mod threads;
mod transaction;
mod watcher;
mod writer;

pub use self::config::{SqliteConfig, Synchronous};
pub use self::engine::SqliteEngine;
