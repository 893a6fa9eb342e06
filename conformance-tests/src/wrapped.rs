//! A backend with something around its broker: for wrappers on a server whose own checks are made elsewhere.
//!
//! It has no server to attack and no way behind the broker's back, so the checks that need one stay untested: what
//! is left is cheap, and asks what a wrapper could break.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bananas_broker_memory::MemoryEngine;
use bananas_core::wrapper::{ClaimCheck, LanePlan, Lanes, PriorityLanes};
use bananas_core::{Broker, Env, Result};

use crate::harness::{Backend, BrokerHarness};
use crate::timing::Timing;

/// Puts something around a broker of this namespace.
pub type Wrap =
    dyn Fn(&str, Arc<dyn Broker>, Arc<dyn Env>) -> Result<Arc<dyn Broker>> + Send + Sync;

/// A backend with something around its broker.
pub struct Wrapped<H> {
    name: String,
    inner: Arc<H>,
    wrap: Box<Wrap>,
}

impl<H: BrokerHarness> Wrapped<H> {
    /// The backend under its name and that of the wrapper, as in `nats+lanes`.
    pub fn new(
        inner: &Arc<H>,
        wrapper: &str,
        wrap: impl Fn(&str, Arc<dyn Broker>, Arc<dyn Env>) -> Result<Arc<dyn Broker>>
        + Send
        + Sync
        + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: format!("{}+{wrapper}", inner.name()),
            inner: Arc::clone(inner),
            wrap: Box::new(wrap),
        })
    }

    /// The backend in three lanes.
    pub fn in_lanes(inner: &Arc<H>) -> Arc<Self> {
        Self::new(inner, "lanes", |_, broker, env| in_lanes(broker, env))
    }

    /// The backend with large bodies beside it, in memory.
    pub fn checked(inner: &Arc<H>) -> Arc<Self> {
        let blobs = Blobs::default();
        let wrap = move |namespace: &str, broker, env| blobs.beside(broker, namespace, env);
        Self::new(inner, "check", wrap)
    }

    /// The backend with both.
    pub fn behind_all(inner: &Arc<H>) -> Arc<Self> {
        let blobs = Blobs::default();
        let wrap = move |namespace: &str, broker, env| {
            let broker = in_lanes(broker, Arc::clone(&env))?;
            blobs.beside(broker, namespace, env)
        };
        Self::new(inner, "lanes+check", wrap)
    }
}

/// Lanes around a broker, as the configuration asks for them.
fn in_lanes(broker: Arc<dyn Broker>, env: Arc<dyn Env>) -> Result<Arc<dyn Broker>> {
    let plan = LanePlan::new().others(Lanes::strict(3)?);
    Ok(Arc::new(PriorityLanes::new(broker, plan, env)))
}

/// Where the large bodies of each namespace are.
#[derive(Debug, Default)]
struct Blobs(Mutex<HashMap<String, Arc<MemoryEngine>>>);

impl Blobs {
    fn beside(
        &self,
        broker: Arc<dyn Broker>,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Arc<dyn Broker>> {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = engines.entry(namespace.to_owned());
        let store = engine
            .or_insert_with(|| MemoryEngine::new(Arc::clone(&env)))
            .store();
        Ok(Arc::new(ClaimCheck::new(broker, store, env)?))
    }
}

impl<H> fmt::Debug for Wrapped<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wrapped({})", self.name)
    }
}

impl<H: BrokerHarness> Backend for Wrapped<H> {
    fn name(&self) -> &str {
        &self.name
    }

    fn env(&self) -> Arc<dyn Env> {
        self.inner.env()
    }

    fn absent(&self) -> Option<String> {
        self.inner.absent()
    }

    fn timing(&self) -> Timing {
        self.inner.timing()
    }
}

#[async_trait]
impl<H: BrokerHarness> BrokerHarness for Wrapped<H> {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        let broker = self.inner.open(namespace).await?;
        (self.wrap)(namespace, broker, self.inner.env())
    }

    async fn open_with(
        &self,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Option<Arc<dyn Broker>>> {
        let broker = self.inner.open_with(namespace, Arc::clone(&env)).await?;
        let wrap = |broker| (self.wrap)(namespace, broker, env);
        broker.map(wrap).transpose()
    }

    fn secret(&self) -> Option<String> {
        self.inner.secret()
    }
}
