//! What a backend tells the suite about itself: how to open it.
//!
//! A namespace is an empty place of its own on the backend, as a database or a key prefix is. Opening the same
//! namespace twice gives a second client of the same data.

use std::sync::Arc;

use async_trait::async_trait;
use bananas_core::{Broker, Env, Ledger, Result, StateStore};

/// Who is tested.
pub trait Backend: Send + Sync + 'static {
    /// The first part of the name of each check: `sqlite`.
    fn name(&self) -> &str;

    /// The environment that everything is opened with. The checks take time, ids and chance from it.
    fn env(&self) -> Arc<dyn Env>;
}

/// A broker to test.
#[async_trait]
pub trait BrokerHarness: Backend {
    /// Opens a client of this namespace.
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>>;
}

/// A state store to test.
#[async_trait]
pub trait StoreHarness: Backend {
    /// Opens a client of this namespace.
    async fn open(&self, namespace: &str) -> Result<Arc<dyn StateStore>>;
}

/// A ledger to test: an engine's own, or a `SplitLedger` over two engines.
///
/// Where a batch may wait for its confirmation, let it wait two seconds and not thirty
/// (`SplitOptions::open_for`), so that the suite need not.
#[async_trait]
pub trait LedgerHarness: Backend {
    /// Opens a client of this namespace.
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>>;

    /// A client of the broker behind the ledger, if it has one of its own.
    async fn broker_behind(&self, namespace: &str) -> Result<Option<Arc<dyn Broker>>> {
        let _ = namespace;
        Ok(None)
    }
}

/// A broker and a store on whose time the check decides.
#[async_trait]
pub trait SplitHarness: Backend {
    /// Opens a broker and a store, both empty, that take their time from `env`.
    async fn open(&self, env: Arc<dyn Env>) -> Result<(Arc<dyn Broker>, Arc<dyn StateStore>)>;
}
