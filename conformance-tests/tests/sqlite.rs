//! The contracts on the SQLite engine: a file for each namespace, opened anew by each client.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use bananas_broker_sqlite::{SqliteConfig, SqliteEngine};
use bananas_core::{Broker, Env, Ledger, Result, StateStore, TokioEnv};
use conformance_tests::{Backend, BrokerHarness, LedgerHarness, StoreHarness, Suite};
use tempfile::TempDir;

/// Tells a child process where the files of its parent are.
const FOLDER: &str = "BANANAS_CONFORMANCE_FOLDER";

struct Sqlite {
    env: Arc<dyn Env>,
    folder: PathBuf,
}

impl Sqlite {
    async fn engine(&self, namespace: &str) -> Result<Arc<SqliteEngine>> {
        self.engine_with(namespace, self.env()).await
    }

    async fn engine_with(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<SqliteEngine>> {
        let mut config = SqliteConfig::default();
        config.path = self.folder.join(namespace).with_extension("db");
        SqliteEngine::open(config, env).await
    }
}

impl Backend for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        let folder = self.folder.to_string_lossy().into_owned();
        Some(vec![(FOLDER.to_owned(), folder)])
    }
}

#[async_trait]
impl BrokerHarness for Sqlite {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        Ok(self.engine(namespace).await?.broker())
    }
}

#[async_trait]
impl StoreHarness for Sqlite {
    async fn open_with(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn StateStore>> {
        Ok(self.engine_with(namespace, env).await?.store())
    }
}

#[async_trait]
impl LedgerHarness for Sqlite {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>> {
        Ok(self.engine(namespace).await?.ledger())
    }
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let own = TempDir::new().unwrap();
    let of_parent = std::env::var_os(FOLDER).map(PathBuf::from);
    let sqlite = Arc::new(Sqlite {
        env: Arc::new(TokioEnv::on(suite.runtime().clone())),
        folder: of_parent.unwrap_or_else(|| own.path().to_owned()),
    });
    suite.broker(&sqlite).store(&sqlite).ledger(&sqlite).run()
}
