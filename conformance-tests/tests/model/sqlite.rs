//! The SQLite engine: a file for each sequence, with its leases on the clock of the sequence.

use std::sync::Arc;

use async_trait::async_trait;
use bananas_broker_sqlite::{SqliteConfig, SqliteEngine, Synchronous};
use bananas_core::{Broker, Env, Ledger, Result, StateStore, TokioEnv};
use conformance_tests::{Backend, VirtualBroker, VirtualStore};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) struct Sqlite {
    env: Arc<dyn Env>,
    folder: TempDir,
}

impl Sqlite {
    pub(crate) fn on(runtime: &Runtime) -> Arc<Self> {
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
