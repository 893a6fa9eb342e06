//! The judge judged: what it must find, and what it must let pass.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test may"
)]

mod ends;
mod files;
mod measure;
mod order;
mod runs;
mod script;
mod settlements;
mod simulated;
mod simulation;
