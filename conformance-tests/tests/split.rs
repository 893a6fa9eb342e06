//! The contract of the ledger on a broker and a store that are not one: the memory broker over the SQLite
//! store and over the memory store. And what the `SplitLedger` owes beyond that contract.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bananas_broker_memory::MemoryEngine;
use bananas_broker_sqlite::{SqliteConfig, SqliteEngine};
use bananas_core::{
    Broker, Env, Ledger, Owner, Result, SplitLedger, SplitOptions, StateStore, TokioEnv,
};
use conformance_tests::{Backend, LedgerHarness, SplitHarness, Suite};
use tempfile::TempDir;

struct Split {
    name: &'static str,
    env: Arc<dyn Env>,
    engines: Mutex<HashMap<String, Arc<MemoryEngine>>>,
    /// Where the SQLite stores are; `None` when the store is in memory, too.
    folder: Option<TempDir>,
}

impl Split {
    fn new(name: &'static str, env: &Arc<dyn Env>, folder: Option<TempDir>) -> Arc<Self> {
        Arc::new(Self {
            name,
            env: Arc::clone(env),
            engines: Mutex::default(),
            folder,
        })
    }

    fn engine(&self, namespace: &str) -> Arc<MemoryEngine> {
        let mut engines = self.engines.lock().unwrap();
        let new = || MemoryEngine::new(Arc::clone(&self.env));
        Arc::clone(engines.entry(namespace.to_owned()).or_insert_with(new))
    }

    async fn store(&self, namespace: &str) -> Result<Arc<dyn StateStore>> {
        let Some(folder) = &self.folder else {
            return Ok(self.engine(namespace).store());
        };
        let mut config = SqliteConfig::default();
        config.path = folder.path().join(namespace).with_extension("db");
        let engine = SqliteEngine::open(config, Arc::clone(&self.env)).await?;
        Ok(engine.store())
    }
}

impl Backend for Split {
    fn name(&self) -> &str {
        self.name
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }
}

#[async_trait]
impl LedgerHarness for Split {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>> {
        let broker = self.engine(namespace).broker();
        let store = self.store(namespace).await?;
        let process = Owner {
            id: self.env.owner_id(),
            host: "conformance".to_owned(),
            boot_id: String::new(),
            pid: std::process::id(),
            pid_started: 0,
        };
        let mut options = SplitOptions::new(process, |_| false);
        options.open_for = Duration::from_secs(2);
        let env = Arc::clone(&self.env);
        Ok(Arc::new(SplitLedger::new(broker, store, env, options)))
    }

    async fn broker_behind(&self, namespace: &str) -> Result<Option<Arc<dyn Broker>>> {
        Ok(Some(self.engine(namespace).broker()))
    }
}

#[async_trait]
impl SplitHarness for Split {
    async fn open(&self, env: Arc<dyn Env>) -> Result<(Arc<dyn Broker>, Arc<dyn StateStore>)> {
        let broker = MemoryEngine::new(Arc::clone(&env)).broker();
        Ok((broker, MemoryEngine::new(env).store()))
    }
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let env: Arc<dyn Env> = Arc::new(TokioEnv::on(suite.runtime().clone()));
    let memory = Split::new("memory+memory", &env, None);
    let folder = TempDir::new().unwrap();
    let sqlite = Split::new("memory+sqlite", &env, Some(folder));
    suite.ledger(&memory).split(&memory).ledger(&sqlite).run()
}
