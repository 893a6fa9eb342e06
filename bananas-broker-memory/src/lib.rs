//! Broker and state store in one process's memory: the reference model of both contracts.
//!
//! A [`MemoryEngine`] is broker and store at once, with every capability exact, so the other backends are
//! tested against it; and it is what a user's own tests run on, see [`MemoryEngine::drain`]. Nothing survives
//! the process: its durability class is D0.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bananas_broker_memory::MemoryEngine;
//! use bananas_core::{Env, Ledger, TokioEnv};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> bananas_core::Result<()> {
//! let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
//! let engine = MemoryEngine::new(env);
//! let ledger: Arc<dyn Ledger> = engine.ledger();
//! assert_eq!(ledger.info().backend, "memory");
//! let drained = engine.drain(Duration::from_secs(10)).await?;
//! assert_eq!(drained.succeeded, 0);
//! # Ok(())
//! # }
//! ```

mod broker;
mod connection;
mod drain;
mod engine;
mod error;
mod line;
#[cfg(test)]
mod rig;
mod store;

pub use self::drain::Drained;
pub use self::engine::MemoryEngine;
