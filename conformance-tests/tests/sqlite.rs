//! The contracts on the SQLite engine: a file for each namespace, opened anew by each client.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_broker_sqlite::{SqliteConfig, SqliteEngine};
use bananas_core::{Broker, Env, Ledger, QueueName, Result, StateStore, TokioEnv};
use bytes::Bytes;
use conformance_tests::{
    Backend, BrokerHarness, LedgerHarness, Probe, Probing, StoreHarness, Suite,
};
use rusqlite::Connection;
use tempfile::TempDir;

/// Tells a child process where the files of its parent are.
const FOLDER: &str = "BANANAS_CONFORMANCE_FOLDER";

struct Sqlite {
    env: Arc<dyn Env>,
    folder: PathBuf,
}

impl Sqlite {
    fn file(&self, namespace: &str) -> PathBuf {
        self.folder.join(namespace).with_extension("db")
    }

    async fn engine(&self, namespace: &str) -> Result<Arc<SqliteEngine>> {
        self.engine_with(namespace, self.env()).await
    }

    async fn engine_with(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<SqliteEngine>> {
        let mut config = SqliteConfig::default();
        config.path = self.file(namespace);
        SqliteEngine::open(config, env).await
    }
}

/// The file as any other program sees it.
struct File(PathBuf);

impl File {
    fn open(&self) -> Connection {
        let file = Connection::open(&self.0).unwrap();
        file.busy_timeout(Duration::from_secs(60)).unwrap();
        file
    }
}

#[async_trait]
impl Probe for File {
    fn offers(&self) -> &'static [Probing] {
        &[Probing::Messages, Probing::Plant]
    }

    async fn messages(&self, queue: &QueueName) -> Result<u64> {
        let count = "SELECT count(*) FROM messages WHERE queue = ?1";
        let count: i64 = self
            .open()
            .query_row(count, [queue.as_str()], |row| row.get(0))
            .unwrap();
        Ok(u64::try_from(count).unwrap())
    }

    async fn plant(&self, queue: &QueueName, body: Bytes) -> Result<()> {
        let plant =
            "INSERT INTO messages (queue, state, priority, body) VALUES (?1, 'ready', 50, ?2)";
        let row = (queue.as_str(), body.to_vec());
        self.open().execute(plant, row).unwrap();
        Ok(())
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

    async fn open_with(
        &self,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Option<Arc<dyn Broker>>> {
        Ok(Some(self.engine_with(namespace, env).await?.broker()))
    }

    fn probe(&self, namespace: &str) -> Option<Arc<dyn Probe>> {
        Some(Arc::new(File(self.file(namespace))))
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
