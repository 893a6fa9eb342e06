//! A toy broker over TCP, written as a third party would: against `bananas-core` alone.
//!
//! It is small and it is honest: what was confirmed is on disk, a lease is fenced by a token, and the client
//! says of every failure whether the operation was surely not applied or may have been. It shows how to bring a
//! broker of one's own to Bananas in the five steps of `conformance-tests/README.md`:
//!
//! 1. *Implement `Broker`.* The client is [`ToyBroker`] (`broker.rs`), with its consumer (`consumer.rs`), its
//!    admin side (`admin.rs`) and its connection (`link.rs`). All errors become those of the core in `error.rs`.
//!    Since nobody has such a server, it is here too: `server.rs` and `connection.rs` speak the `protocol.rs`,
//!    `desk.rs` decides, `board.rs` and `queue.rs` remember, `log.rs` keeps. `line.rs` is the form of all that is
//!    sent or kept.
//! 2. *Make a test target without the usual harness*: `[[test]] name = "toy"` in `Cargo.toml`.
//! 3. *Say how it is opened*: `tests/toy.rs` starts one server, and a namespace is a name in the [`ToyConfig`].
//! 4. *Run it*: `cargo test -p examples --test toy`. What the toy cannot do stands in its `Capabilities`: it does
//!    not notice an id that is published again.
//! 5. *Let it be attacked*: the same file says how to reach the server through a proxy, how to start one that may
//!    be killed, and how to ask it behind the client's back.
//!
//! What it leaves out: the log only grows; anybody who reaches the port may do anything; one `reserve` brings
//! about 4 MiB at most; and a restart gives every lease its full length again, since the server's monotonic
//! clock does not outlive it.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use bananas_core::{Broker, Env, QueueName, QueueSpec, TokioEnv};
//! use examples::toy::{ToyBroker, ToyConfig};
//!
//! # #[tokio::main]
//! # async fn main() -> bananas_core::Result<()> {
//! // The server: `cargo run -p examples --bin toy-server -- --data toy-data --port 7007`
//! let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
//! let broker = ToyBroker::connect(ToyConfig::new("127.0.0.1:7007"), &env).await?;
//! broker.ensure(&[QueueSpec::new(QueueName::new("mail")?)]).await?;
//! # Ok(())
//! # }
//! ```

mod admin;
mod board;
mod broker;
mod config;
mod connection;
mod consumer;
mod desk;
mod error;
mod line;
mod link;
mod log;
mod protocol;
mod queue;
mod server;

pub use self::broker::ToyBroker;
pub use self::config::ToyConfig;
pub use self::server::ToyServer;
