//! The contracts on the memory engine: broker, store, and the ledger where both are one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bananas_broker_memory::MemoryEngine;
use bananas_core::{Broker, Env, Ledger, Result, StateStore, TokioEnv};
use conformance_tests::{Backend, BrokerHarness, LedgerHarness, StoreHarness, Suite};

struct Memory {
    env: Arc<dyn Env>,
    engines: Mutex<HashMap<String, Arc<MemoryEngine>>>,
}

impl Memory {
    fn engine(&self, namespace: &str) -> Arc<MemoryEngine> {
        self.engine_with(namespace, self.env())
    }

    fn engine_with(&self, namespace: &str, env: Arc<dyn Env>) -> Arc<MemoryEngine> {
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
impl BrokerHarness for Memory {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        Ok(self.engine(namespace).broker())
    }
}

#[async_trait]
impl StoreHarness for Memory {
    async fn open_with(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn StateStore>> {
        Ok(self.engine_with(namespace, env).store())
    }
}

#[async_trait]
impl LedgerHarness for Memory {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>> {
        Ok(self.engine(namespace).ledger())
    }
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let memory = Arc::new(Memory {
        env: Arc::new(TokioEnv::on(suite.runtime().clone())),
        engines: Mutex::default(),
    });
    suite.broker(&memory).store(&memory).ledger(&memory).run()
}
