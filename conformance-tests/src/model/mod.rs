//! Random sequences of operations, compared step by step with a model.
//!
//! A model states a contract a second time, as a list that it looks through from end to end: it shares no code
//! with any backend, nor the rules of `bananas_core::Standing` with the stores. Where the contract leaves a
//! choice, the model accepts each answer that is right, and goes on from the one that was given.
//!
//! Time is virtual and moves only by a step of the sequence, so a sequence gives the same answers each time.
//! Sequences are numbered; one that fails is made shorter, and printed with its number.

mod broker;
mod campaign;
mod store;

use std::sync::Arc;

use async_trait::async_trait;
use bananas_core::{Broker, Env, Ledger, ManualEnv, Result, StateStore, Timestamp};

pub use self::broker::broker_sequences;
pub use self::campaign::{Campaign, Counterexample, Survey};
pub use self::store::store_sequences;

use crate::harness::Backend;

/// A broker on whose time the model decides.
///
/// It must take its time from the environment that it is opened with, leases included, and obey it to the
/// microsecond: what is due at a moment is ready at that moment. Of [`Backend::env`] only the tasks are used.
#[async_trait]
pub trait VirtualBroker: Backend {
    /// Opens a client of this namespace, which is empty at first.
    async fn open(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn Broker>>;

    /// The sequence that used this namespace is over: nobody will open it again.
    async fn forget(&self, namespace: &str) {
        let _ = namespace;
    }
}

/// A state store on whose time the model decides, as [`VirtualBroker`].
#[async_trait]
pub trait VirtualStore: Backend {
    /// Opens a client of this namespace, which is empty at first.
    async fn open(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn StateStore>>;

    /// The engine's own ledger over the same data, where the record of a job is its message.
    async fn ledger(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Option<Arc<dyn Ledger>>> {
        let _ = (namespace, env);
        Ok(None)
    }

    /// The sequence that used this namespace is over: nobody will open it again.
    async fn forget(&self, namespace: &str) {
        let _ = namespace;
    }
}

/// The clock of a sequence. Tasks run where `tasks` puts them; randomness comes from the sequence's number.
fn clock(tasks: &Arc<dyn Env>, sequence: u64) -> Arc<ManualEnv> {
    let start = Timestamp::from_micros(START_MICROS);
    Arc::new(ManualEnv::new(Arc::clone(tasks), start, sequence))
}

/// When sequences begin: a round time in 2027.
const START_MICROS: i64 = 1_800_000_000_000_000;

/// What was done, and what the model says where the answer is another.
type Step = Result<String, String>;

/// A line of a sequence, right if the answer is what the model says.
fn line(right: bool, call: &str, answer: &str, model: &str) -> Step {
    if right {
        return Ok(format!("{call} -> {answer}"));
    }
    Err(format!("{call} -> {answer}\n      the model says: {model}"))
}
