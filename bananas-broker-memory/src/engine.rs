//! The engine: makes the two sides, and the ledger over both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bananas_core::{
    Broker, BrokerInfo, Capabilities, Durability, Env, Fact, FusedLedger, Ledger, LedgerInfo,
    StateStore, StoreInfo,
};
use tokio::sync::Notify;

use crate::broker::{MemoryBroker, Messages};
use crate::connection::{Connection, Memory};
use crate::store::{Blobs, Jobs, MemoryStore};

/// Broker and state store in the memory of this process.
///
/// Each call of [`broker`](Self::broker), [`store`](Self::store) or [`ledger`](Self::ledger) opens a
/// connection of its own to the same data; closing one leaves the others open.
#[derive(Debug)]
pub struct MemoryEngine {
    pub(crate) memory: Arc<Memory>,
}

/// Tells the engines of one process apart in their URLs.
static ENGINES: AtomicU64 = AtomicU64::new(1);

impl MemoryEngine {
    /// An empty engine with a URL of its own: `memory:1`.
    #[must_use]
    pub fn new(env: Arc<dyn Env>) -> Arc<Self> {
        let url = format!("memory:{}", ENGINES.fetch_add(1, Ordering::Relaxed));
        let capabilities = Capabilities::exact();
        let store = StoreInfo {
            backend: "memory",
            url: url.clone(),
            durability: Durability::D0,
            max_value: capabilities.max_message,
        };
        let broker = BrokerInfo {
            backend: "memory",
            url,
            version: None,
            capabilities,
        };
        let nonce = env.random();
        Arc::new(Self {
            memory: Arc::new(Memory {
                broker,
                store,
                env,
                messages: Messages::new(nonce),
                jobs: Jobs::default(),
                blobs: Blobs::default(),
                changed: Notify::new(),
            }),
        })
    }

    /// A connection to the broker.
    #[must_use]
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(MemoryBroker::new(self.connect()))
    }

    /// A connection to the state store.
    #[must_use]
    pub fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(MemoryStore::new(self.connect()))
    }

    /// A connection where the record of a job is its message.
    #[must_use]
    pub fn ledger(&self) -> Arc<dyn Ledger> {
        let env = Arc::clone(&self.memory.env);
        fused(Arc::new(MemoryStore::new(self.connect())), env)
    }

    fn connect(&self) -> Arc<Connection> {
        Connection::new(Arc::clone(&self.memory))
    }
}

/// What there is to say about data that live in this process.
pub(crate) fn facts() -> Vec<Fact> {
    let advice = "jobs that must survive the process need another URL, such as sqlite://bananas.db";
    vec![Fact::durability(Durability::D0, advice)]
}

/// The ledger over a connection to the store.
pub(crate) fn fused(store: Arc<MemoryStore>, env: Arc<dyn Env>) -> Arc<dyn Ledger> {
    let broker = &store.memory().broker;
    let info = LedgerInfo {
        backend: broker.backend.to_owned(),
        url: broker.url.clone(),
        capabilities: broker.capabilities.clone(),
    };
    let taking = Arc::clone(&store);
    Arc::new(FusedLedger::new(info, store, taking, env))
}
