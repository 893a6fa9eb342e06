//! Background jobs on the broker you already have.
//!
//! ```
//! use std::time::Duration;
//!
//! use bananas::prelude::*;
//!
//! #[derive(Task, Serialize, Deserialize)]
//! #[task(name = "email.welcome", queue = "mail", max_attempts = 5)]
//! struct WelcomeEmail {
//!     user_id: u64,
//! }
//!
//! async fn send(email: WelcomeEmail, State(smtp): State<Smtp>, attempt: Attempt) -> TaskResult {
//!     smtp.welcome(email.user_id, attempt.0).await?;
//!     Ok(())
//! }
//!
//! #[derive(Clone)]
//! struct Smtp; // yours
//!
//! impl Smtp {
//!     async fn welcome(&self, user_id: u64, attempt: u32) -> Result<(), std::io::Error> {
//!         println!("welcome, user {user_id} (attempt {attempt})");
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), bananas::Error> {
//!     let app = bananas::App::connect("memory:").await?;
//!     let job = app.client().enqueue(WelcomeEmail { user_id: 42 }).await?;
//!
//!     app.worker()
//!         .state(Smtp)
//!         .handle(send)
//!         .run_until(async { job.result(Duration::from_secs(10)).await.map_or((), |()| ()) })
//!         .await
//! }
//! ```
//!
//! A service uses [`App::from_config`] and [`shutdown_signal`] instead. Which broker and store it talks to is
//! decided by `bananas.toml`; each backend is compiled in by the Cargo feature of its name.

mod app;
mod backend;
mod requirement;

pub use bananas_core::*;
#[cfg(feature = "macros")]
pub use bananas_macros::Task;
#[cfg(feature = "worker")]
pub use bananas_worker::{
    Attempt, FromJob, FromRef, JobContext, Shutdown, State, TaskError, TaskResult, Worker,
    shutdown_signal,
};

#[cfg(feature = "amqp")]
pub use bananas_broker_amqp as amqp;
#[cfg(feature = "memory")]
pub use bananas_broker_memory as memory;
#[cfg(feature = "nats")]
pub use bananas_broker_nats as nats;
#[cfg(feature = "redis")]
pub use bananas_broker_redis as redis;
#[cfg(feature = "sqlite")]
pub use bananas_broker_sqlite as sqlite;
#[cfg(feature = "sqs")]
pub use bananas_broker_sqs as sqs;

pub use self::app::App;
pub use self::backend::Engine;

/// The guide's programs are compiled and run as documentation tests.
#[cfg(all(doctest, feature = "worker", feature = "macros", feature = "memory"))]
#[doc = include_str!("../../docs/guide/tasks.md")]
pub struct Guide;

/// What almost every program needs.
pub mod prelude {
    pub use serde::{Deserialize, Serialize};

    #[cfg(feature = "macros")]
    pub use bananas_macros::Task;
    #[cfg(feature = "worker")]
    pub use bananas_worker::{Attempt, JobContext, State, TaskError, TaskResult};

    pub use std::time::Duration;

    pub use crate::{App, Client, JobHandle};
}
