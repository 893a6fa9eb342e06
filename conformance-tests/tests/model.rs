//! Random sequences on the engines of this repository, compared with the models.
//!
//! `BANANAS_MODEL_CASES=20000` plays so many sequences, `BANANAS_MODEL_FIRST=7` begins with another one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bananas_broker_memory::MemoryEngine;
use bananas_broker_sqlite::{SqliteConfig, SqliteEngine, Synchronous};
use bananas_core::{Broker, Env, Ledger, Result, StateStore, TokioEnv};
use conformance_tests::{
    Backend, Campaign, VirtualBroker, VirtualStore, broker_sequences, store_sequences,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// The most steps of a sequence.
const STEPS: usize = 60;

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

struct Memory {
    env: Arc<dyn Env>,
    engines: Mutex<HashMap<String, Arc<MemoryEngine>>>,
}

impl Memory {
    fn on(runtime: &Runtime) -> Arc<Self> {
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

struct Sqlite {
    env: Arc<dyn Env>,
    folder: TempDir,
}

impl Sqlite {
    fn on(runtime: &Runtime) -> Arc<Self> {
        Arc::new(Self {
            env: Arc::new(TokioEnv::on(runtime.handle().clone())),
            folder: TempDir::new().unwrap(),
        })
    }

    async fn engine(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<SqliteEngine>> {
        let mut config = SqliteConfig::default();
        config.path = self.folder.path().join(namespace).with_extension("db");
        // What a loss of power would undo is not what is tested here.
        config.synchronous = Synchronous::Normal;
        SqliteEngine::open_on_clock_of(config, env).await
    }

    fn remove(&self, namespace: &str) {
        for extension in ["db", "db-wal", "db-shm"] {
            let file = self.folder.path().join(namespace).with_extension(extension);
            // Not every file is always there, and the folder goes in the end.
            std::fs::remove_file(file).unwrap_or_default();
        }
    }
}

impl Backend for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }
}

#[async_trait]
impl VirtualBroker for Sqlite {
    async fn open(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn Broker>> {
        Ok(self.engine(namespace, env).await?.broker())
    }

    async fn forget(&self, namespace: &str) {
        self.remove(namespace);
    }
}

#[async_trait]
impl VirtualStore for Sqlite {
    async fn open(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn StateStore>> {
        Ok(self.engine(namespace, env).await?.store())
    }

    async fn ledger(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Option<Arc<dyn Ledger>>> {
        Ok(Some(self.engine(namespace, env).await?.ledger()))
    }

    async fn forget(&self, namespace: &str) {
        self.remove(namespace);
    }
}

#[test]
fn memory_broker_answers_as_the_model_does() {
    let runtime = runtime();
    let campaign = Campaign::from_env(300, STEPS);
    let played = broker_sequences(&Memory::on(&runtime), runtime.handle(), &campaign);
    let survey = played.unwrap_or_else(|found| panic!("{found}"));
    println!("{survey:?}");
}

#[test]
fn sqlite_broker_answers_as_the_model_does() {
    let runtime = runtime();
    let campaign = Campaign::from_env(60, STEPS);
    let played = broker_sequences(&Sqlite::on(&runtime), runtime.handle(), &campaign);
    let survey = played.unwrap_or_else(|found| panic!("{found}"));
    println!("{survey:?}");
}

#[test]
fn memory_store_answers_as_the_model_does() {
    let runtime = runtime();
    let campaign = Campaign::from_env(300, STEPS);
    let played = store_sequences(&Memory::on(&runtime), runtime.handle(), &campaign);
    let survey = played.unwrap_or_else(|found| panic!("{found}"));
    println!("{survey:?}");
}

#[test]
fn sqlite_store_answers_as_the_model_does() {
    let runtime = runtime();
    let campaign = Campaign::from_env(60, STEPS);
    let played = store_sequences(&Sqlite::on(&runtime), runtime.handle(), &campaign);
    let survey = played.unwrap_or_else(|found| panic!("{found}"));
    println!("{survey:?}");
}
