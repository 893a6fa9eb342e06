//! The contracts of Bananas as a program: what every broker, store and ledger must do.
//!
//! A backend implements the harness traits for itself, and [`Suite`] runs every check against it, each under
//! a name of its own such as `sqlite::ledger::core::a_settle_counts_once`. The checks are written once, against the
//! traits of `bananas-core` alone; each names in its documentation the clauses that it proves. `README.md`
//! says how to run the suite against a backend of your own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "every function here is part of a test: it fails by panicking, with the place and the values"
)]

mod case;
mod check;
mod checks;
mod child;
mod entry;
pub mod fault;
mod flaky_store;
mod gate;
mod hand_worker;
mod harness;
mod impatience;
pub mod judge;
mod jumping_env;
mod known_failure;
mod ledger_role;
mod model;
mod outcome;
mod outcomes;
mod patience;
mod population;
mod probe;
mod race;
mod report;
mod role;
mod store_client;
mod storm;
mod suite;
mod tally;
mod teeth;
mod tier;
mod timing;
mod told;
mod tool;
mod virtual_env;
mod watched_broker;
mod wrapped;

pub use self::harness::{Backend, BrokerHarness, LedgerHarness, SplitHarness, StoreHarness};
pub use self::known_failure::KnownFailure;
pub use self::model::{
    Campaign, Counterexample, Survey, VirtualBroker, VirtualStore, broker_sequences,
    store_sequences,
};
pub use self::probe::{Probe, Probing};
pub use self::suite::Suite;
pub use self::teeth::{GoodEngine, Teeth};
pub use self::timing::Timing;
pub use self::wrapped::{Wrap, Wrapped};
