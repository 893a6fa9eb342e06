//! What a backend tells the suite about itself: how to open it, and how to attack it.
//!
//! A namespace is an empty place of its own on the backend, as a database or a key prefix is. Opening the same
//! namespace twice gives a second client of the same data.
//!
//! Only [`Backend::name`], [`Backend::env`] and one `open` have no default. What a backend can do comes from
//! its own `Capabilities` alone; a tool that a harness does not offer leaves the checks that need it
//! *untested*, which is shown as such.

use std::sync::Arc;

use async_trait::async_trait;
use bananas_core::{Broker, Env, Ledger, Result, StateStore};

use crate::fault::Network;
use crate::known_failure::KnownFailure;
use crate::probe::Probe;
use crate::timing::Timing;

/// Who is tested.
pub trait Backend: Send + Sync + 'static {
    /// The first part of the name of each check: `sqlite`.
    fn name(&self) -> &str;

    /// The environment that everything is opened with. The checks take time, ids and chance from it.
    fn env(&self) -> Arc<dyn Env>;

    /// Why the backend cannot be tested here, say for want of a server. The checks are skipped with this
    /// reason then, or fail with it where `BANANAS_TEST_REQUIRED` is set.
    fn absent(&self) -> Option<String> {
        None
    }

    /// How fast it can be expected to be.
    fn timing(&self) -> Timing {
        Timing::default()
    }

    /// The checks that it is known to fail.
    fn known_failures(&self) -> &'static [KnownFailure] {
        &[]
    }

    /// How a child process that is this program again finds the same places: variables for its environment.
    /// `None` where no other process can.
    fn child(&self) -> Option<Vec<(String, String)>> {
        None
    }
}

/// A broker to test.
#[async_trait]
pub trait BrokerHarness: Backend {
    /// Opens a client of this namespace.
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>>;

    /// How to reach the server through a proxy, and how to start one for a check that kills it.
    fn network(&self) -> Option<Arc<dyn Network>> {
        None
    }

    /// Opens a client that takes its time from `env`, whose wall clock is wrong on purpose. `None` where a
    /// client has no clock of its own.
    async fn open_with(
        &self,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Option<Arc<dyn Broker>>> {
        let _ = (namespace, env);
        Ok(None)
    }

    /// A way to the data of this namespace behind the broker's back.
    fn probe(&self, namespace: &str) -> Option<Arc<dyn Probe>> {
        let _ = namespace;
        None
    }

    /// The password that the backend is opened with, which no text may show.
    fn secret(&self) -> Option<String> {
        None
    }
}

/// A state store to test.
#[async_trait]
pub trait StoreHarness: Backend {
    /// Opens a client of this namespace that takes its time from `env`: some checks set a wall clock.
    async fn open_with(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn StateStore>>;

    /// Opens a client of this namespace.
    async fn open(&self, namespace: &str) -> Result<Arc<dyn StateStore>> {
        self.open_with(namespace, self.env()).await
    }
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
