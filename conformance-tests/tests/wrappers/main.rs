//! What the wrappers of the core promise beyond the contract of the broker, over memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lanes;
