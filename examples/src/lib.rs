//! Small programs with Bananas, one idea each, in `examples/`.
//!
//! - `welcome`: a task, a handler with state, a delayed job, a worker. `cargo run -p examples --example welcome`
//! - `shop`: retries, an idempotency key, results, jobs that are due later, on a SQLite file.
//! - [`toy`]: a broker of one's own, with its server, and the conformance suite run on it.
//!   `cargo run -p examples --bin toy-server -- --data toy-data --port 7007`
//!
//! The tests of this crate run each of them as a user does and check what it prints.

pub mod toy;
