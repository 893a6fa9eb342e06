//! The memory engine: one for each sequence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bananas_broker_memory::MemoryEngine;
use bananas_core::{Broker, Env, Ledger, Result, StateStore, TokioEnv};
use conformance_tests::{Backend, VirtualBroker, VirtualStore};
use tokio::runtime::Runtime;

pub(crate) struct Memory {
    env: Arc<dyn Env>,
    engines: Mutex<HashMap<String, Arc<MemoryEngine>>>,
}

impl Memory {
    pub(crate) fn on(runtime: &Runtime) -> Arc<Self> {
        Arc::new(Self {
            env: Arc::new(TokioEnv::on(runtime.handle().clone())),
            engines: Mutex::default(),
        })
    }

    fn engine(&self, namespace: &str, env: Arc<dyn Env>) -> Arc<MemoryEngine> {
        let mut engines = self.engines.lock().unwrap();
        let new = || MemoryEngine::new(env);
        Arc::clone(engines.entry(namespace.to_owned()).or_insert_with(new))
    }
}

impl Backend for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }
}

#[async_trait]
impl VirtualBroker for Memory {
    async fn open(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn Broker>> {
        Ok(self.engine(namespace, env).broker())
    }

    async fn forget(&self, namespace: &str) {
        self.engines.lock().unwrap().remove(namespace);
    }
}

#[async_trait]
impl VirtualStore for Memory {
    async fn open(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn StateStore>> {
        Ok(self.engine(namespace, env).store())
    }

    async fn ledger(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Option<Arc<dyn Ledger>>> {
        Ok(Some(self.engine(namespace, env).ledger()))
    }

    async fn forget(&self, namespace: &str) {
        self.engines.lock().unwrap().remove(namespace);
    }
}
