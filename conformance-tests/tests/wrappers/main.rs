//! What the core does for brokers that lack something, beyond the contract of the broker: over memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod claim_check;
mod lanes;
mod long_delay;
#[path = "../modest/broker.rs"]
#[expect(dead_code, reason = "the suite needs more of it")]
mod modest;
