//! The contract of the broker on `PriorityLanes`, over memory and SQLite made to tell no priorities apart.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bananas_broker_memory::MemoryEngine;
use bananas_broker_sqlite::{SqliteConfig, SqliteEngine};
use bananas_core::wrapper::{LanePlan, Lanes, PriorityLanes};
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Bucket, Consumer, ConsumerSpec, Counter, Delivery, Depth, Env,
    Fact, JobId, Lease, Priority, Publish, Published, QueueName, QueueSpec, RawMessage, Receipt,
    Result, Settle, Settled, Settlement, TokioEnv,
};
use conformance_tests::{Backend, BrokerHarness, Probe, Probing, Suite};
use rusqlite::Connection;
use tempfile::TempDir;

/// Where a message keeps its priority from the broker underneath.
const HIDDEN: &str = "hidden-priority";

/// Tells a child process where the files of its parent are.
const FOLDER: &str = "BANANAS_CONFORMANCE_FOLDER";

/// A broker around a broker that tells no priorities apart.
#[derive(Debug)]
struct Flat {
    inner: Arc<dyn Broker>,
    info: BrokerInfo,
}

#[derive(Debug)]
struct FlatConsumer(Box<dyn Consumer>);

impl Flat {
    fn around(inner: Arc<dyn Broker>) -> Self {
        let mut info = inner.info().clone();
        info.capabilities.priority_levels = 1;
        Self { inner, info }
    }

    fn inner_admin(&self) -> &dyn BrokerAdmin {
        self.inner.admin().unwrap()
    }
}

fn hide(message: &mut RawMessage) {
    let priority = message.priority.get().to_string();
    message
        .properties
        .push((HIDDEN.to_owned(), priority.into()));
    message.priority = Priority::DEFAULT;
}

fn show(message: &mut RawMessage) {
    let hidden = message.property(HIDDEN).cloned();
    message.properties.retain(|(name, _)| name != HIDDEN);
    if let Some(priority) = hidden {
        let priority = std::str::from_utf8(&priority).unwrap().parse().unwrap();
        message.priority = Priority::new(priority).unwrap();
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Broker for Flat {
    fn info(&self) -> &BrokerInfo {
        &self.info
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        self.inner.ensure(queues).await
    }

    async fn publish(&self, mut batch: Vec<Publish>) -> Vec<Result<Published>> {
        batch.iter_mut().for_each(|item| hide(&mut item.message));
        self.inner.publish(batch).await
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(FlatConsumer(self.inner.consume(spec).await?)))
    }

    async fn settle(&self, mut batch: Vec<Settle>) -> Vec<Result<Settled>> {
        for settle in &mut batch {
            match &mut settle.settlement {
                Settlement::Retry { message, .. } => hide(message),
                Settlement::DeadLetter { message, .. } => {
                    message.iter_mut().for_each(|it| hide(it))
                }
                Settlement::Ack | Settlement::Release { .. } => {}
            }
        }
        self.inner.settle(batch).await
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        self.inner.extend(receipts, lease).await
    }

    fn counters(&self) -> Vec<Counter> {
        self.inner.counters()
    }

    async fn facts(&self) -> Result<Vec<Fact>> {
        self.inner.facts().await
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        Some(self)
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.inner.close(deadline).await
    }
}

#[async_trait]
impl Consumer for FlatConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let mut taken = self.0.reserve(max, wait).await?;
        taken.iter_mut().for_each(|it| show(&mut it.message));
        Ok(taken)
    }

    async fn stop(&mut self) -> Result<()> {
        self.0.stop().await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BrokerAdmin for Flat {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        self.inner_admin().depth(queues).await
    }

    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>> {
        let mut seen = self.inner_admin().peek(queue, bucket, max).await?;
        seen.iter_mut().for_each(show);
        Ok(seen)
    }

    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        self.inner_admin().purge(queue, bucket).await
    }

    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        self.inner_admin().redrive(queue, ids).await
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        self.inner_admin().queues().await
    }

    async fn delete(&self, queue: &QueueName) -> Result<()> {
        self.inner_admin().delete(queue).await
    }
}

fn in_lanes(inner: Arc<dyn Broker>, env: Arc<dyn Env>) -> Arc<dyn Broker> {
    let plan = LanePlan::new().others(Lanes::strict(3).unwrap());
    Arc::new(PriorityLanes::new(Arc::new(Flat::around(inner)), plan, env))
}

struct Memory {
    env: Arc<dyn Env>,
    engines: Mutex<HashMap<String, Arc<MemoryEngine>>>,
}

impl Backend for Memory {
    fn name(&self) -> &'static str {
        "memory+lanes"
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }
}

#[async_trait]
impl BrokerHarness for Memory {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        let mut engines = self.engines.lock().unwrap();
        let new = || MemoryEngine::new(self.env());
        let engine = engines.entry(namespace.to_owned()).or_insert_with(new);
        Ok(in_lanes(engine.broker(), self.env()))
    }
}

struct Sqlite {
    env: Arc<dyn Env>,
    folder: PathBuf,
}

impl Sqlite {
    fn file(&self, namespace: &str) -> PathBuf {
        self.folder.join(namespace).with_extension("db")
    }

    async fn broker(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn Broker>> {
        let mut config = SqliteConfig::default();
        config.path = self.file(namespace);
        let engine = SqliteEngine::open(config, Arc::clone(&env)).await?;
        Ok(in_lanes(engine.broker(), env))
    }
}

impl Backend for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite+lanes"
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
        self.broker(namespace, self.env()).await
    }

    async fn open_with(
        &self,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Option<Arc<dyn Broker>>> {
        Ok(Some(self.broker(namespace, env).await?))
    }

    fn probe(&self, namespace: &str) -> Option<Arc<dyn Probe>> {
        Some(Arc::new(File(self.file(namespace))))
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
        let count =
            "SELECT count(*) FROM messages WHERE queue IN (?1, ?1 || ':high1', ?1 || ':low1')";
        let row = [queue.as_str()];
        let count: i64 = self.open().query_row(count, row, |row| row.get(0)).unwrap();
        Ok(u64::try_from(count).unwrap())
    }

    async fn plant(&self, queue: &QueueName, body: bytes::Bytes) -> Result<()> {
        let plant =
            "INSERT INTO messages (queue, state, priority, body) VALUES (?1, 'ready', 50, ?2)";
        let row = (queue.as_str(), body.to_vec());
        self.open().execute(plant, row).unwrap();
        Ok(())
    }
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let env: Arc<dyn Env> = Arc::new(TokioEnv::on(suite.runtime().clone()));
    let own = TempDir::new().unwrap();
    let of_parent = std::env::var_os(FOLDER).map(PathBuf::from);
    let memory = Arc::new(Memory {
        env: Arc::clone(&env),
        engines: Mutex::default(),
    });
    let sqlite = Arc::new(Sqlite {
        env,
        folder: of_parent.unwrap_or_else(|| own.path().to_owned()),
    });
    suite.broker(&memory).broker(&sqlite).run()
}
