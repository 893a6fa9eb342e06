//! The contract on Redis: a private server for all checks of this process, or the one that `BANANAS_TEST_REDIS_URL`
//! names, and a namespace for each: broker, store and the ledger of both. And the ledger on Redis over a store in
//! SQLite, one in memory, and one on the same server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bananas_broker_memory::MemoryEngine;
use bananas_broker_redis::{Address, RedisConfig, RedisEngine};
use bananas_broker_sqlite::{SqliteConfig, SqliteEngine};
use bananas_core::{
    Broker, Env, Error, ErrorKind, Ledger, Owner, Result, SplitLedger, SplitOptions, StateStore,
    TokioEnv,
};
use conformance_tests::fault::{Network, ServerProcess, ServerSpec};
use conformance_tests::{Backend, BrokerHarness, LedgerHarness, Probe, StoreHarness, Suite};
use redis_probe::{Door, RedisProbe};
use tempfile::TempDir;

mod redis_probe;

/// Names a server to use instead of a private one; also tells a child process where that of its parent is.
const URL: &str = "BANANAS_TEST_REDIS_URL";

/// Tells a child process where the SQLite stores of its parent are.
const FOLDER: &str = "BANANAS_CONFORMANCE_FOLDER";

/// How clients come to the server that all checks share, or to another.
#[derive(Clone)]
struct Redis {
    env: Arc<dyn Env>,
    /// Why there is no server, if so.
    server: std::result::Result<RedisConfig, String>,
    folder: Arc<TempDir>,
}

impl Redis {
    fn config(&self) -> Result<RedisConfig> {
        let absent = |why: &str| Error::new(ErrorKind::Unavailable, why);
        self.server.clone().map_err(|why| absent(&why))
    }

    async fn client(
        &self,
        mut config: RedisConfig,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Arc<dyn Broker>> {
        config.namespace = namespace.to_owned();
        Ok(RedisEngine::open(config, env).await?.broker())
    }

    async fn engine(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<RedisEngine>> {
        let mut config = self.config()?;
        config.namespace = namespace.to_owned();
        RedisEngine::open(config, env).await
    }
}

/// Starts a server with a folder of its own within this one.
///
/// One that is going to be killed needs `always`: with `everysec` it confirms up to two seconds of writes before
/// it has handed them to the system, while an earlier `fsync` lasts.
async fn start_server(
    env: &Arc<dyn Env>,
    folder: &TempDir,
    appendfsync: &str,
) -> Result<ServerProcess> {
    let own = folder.path().join(env.random().to_string());
    let settings = [
        "--port {port} --bind 127.0.0.1 --daemonize no --dir {folder}",
        "--appendonly yes --loglevel notice --appendfsync",
    ];
    let words = settings.iter().flat_map(|line| line.split(' '));
    let spec = words.fold(ServerSpec::new("redis-server", own), ServerSpec::arg);
    let spec = spec.arg(appendfsync).arg("--save").arg("");
    ServerProcess::start(env, spec).await
}

impl Backend for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }

    fn absent(&self) -> Option<String> {
        self.server.as_ref().err().cloned()
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        let config = self.server.as_ref().ok()?;
        let url = std::env::var(URL).ok();
        let own = || format!("redis://{}", config.hosts[0]);
        Some(vec![(URL.to_owned(), url.unwrap_or_else(own))])
    }
}

#[async_trait]
impl BrokerHarness for Redis {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        self.client(self.config()?, namespace, self.env()).await
    }

    async fn open_with(
        &self,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Option<Arc<dyn Broker>>> {
        let client = self.client(self.config()?, namespace, env);
        client.await.map(Some)
    }

    fn network(&self) -> Option<Arc<dyn Network>> {
        Some(Arc::new(self.clone()))
    }

    fn probe(&self, namespace: &str) -> Option<Arc<dyn Probe>> {
        let doors = vec![Door::Tcp(self.address())];
        Some(Arc::new(RedisProbe::new(doors, namespace)))
    }
}

#[async_trait]
impl StoreHarness for Redis {
    async fn open_with(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn StateStore>> {
        Ok(self.engine(namespace, env).await?.store())
    }
}

#[async_trait]
impl LedgerHarness for Redis {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>> {
        Ok(self.engine(namespace, self.env()).await?.ledger())
    }
}

#[async_trait]
impl Network for Redis {
    fn address(&self) -> SocketAddr {
        let config = self.server.as_ref().unwrap();
        let address = (config.hosts[0].host.as_str(), config.hosts[0].port);
        address.to_socket_addrs().unwrap().next().unwrap()
    }

    async fn open_at(&self, address: SocketAddr, namespace: &str) -> Result<Arc<dyn Broker>> {
        let mut config = self.config()?;
        config.hosts = vec![Address::new(address.ip().to_string(), address.port())];
        self.client(config, namespace, self.env()).await
    }

    async fn start_server(&self) -> Result<ServerProcess> {
        start_server(&self.env, &self.folder, "always").await
    }
}

/// Where the store beside the broker is.
enum Place {
    Memory(Mutex<HashMap<String, Arc<MemoryEngine>>>),
    Sqlite(PathBuf),
    /// On the same server, as where a wrapper stands around the broker.
    Redis,
}

/// Redis as the broker, and a store beside it.
struct Split {
    name: &'static str,
    redis: Arc<Redis>,
    place: Place,
}

impl Split {
    fn new(name: &'static str, redis: &Arc<Redis>, place: Place) -> Arc<Self> {
        Arc::new(Self {
            name,
            redis: Arc::clone(redis),
            place,
        })
    }

    async fn store(&self, namespace: &str) -> Result<Arc<dyn StateStore>> {
        match &self.place {
            Place::Memory(engines) => {
                let mut engines = engines.lock().unwrap();
                let new = || MemoryEngine::new(self.env());
                let engine = engines.entry(namespace.to_owned()).or_insert_with(new);
                Ok(engine.store())
            }
            Place::Sqlite(folder) => {
                let mut config = SqliteConfig::default();
                config.path = folder.join(namespace).with_extension("db");
                let engine = SqliteEngine::open(config, self.env()).await?;
                Ok(engine.store())
            }
            Place::Redis => Ok(self.redis.engine(namespace, self.env()).await?.store()),
        }
    }
}

impl Backend for Split {
    fn name(&self) -> &str {
        self.name
    }

    fn env(&self) -> Arc<dyn Env> {
        self.redis.env()
    }

    fn absent(&self) -> Option<String> {
        self.redis.absent()
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        let mut variables = self.redis.child()?;
        match &self.place {
            Place::Memory(_) => return None,
            Place::Sqlite(folder) => {
                let folder = folder.to_string_lossy().into_owned();
                variables.push((FOLDER.to_owned(), folder));
            }
            Place::Redis => {}
        }
        Some(variables)
    }
}

#[async_trait]
impl LedgerHarness for Split {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>> {
        let broker = BrokerHarness::open(self.redis.as_ref(), namespace).await?;
        let store = self.store(namespace).await?;
        let process = Owner {
            id: self.env().owner_id(),
            host: "conformance".to_owned(),
            boot_id: String::new(),
            pid: std::process::id(),
            pid_started: 0,
        };
        let mut options = SplitOptions::new(process, |_| false);
        options.open_for = Duration::from_secs(2);
        Ok(Arc::new(SplitLedger::new(
            broker,
            store,
            self.env(),
            options,
        )))
    }

    async fn broker_behind(&self, namespace: &str) -> Result<Option<Arc<dyn Broker>>> {
        BrokerHarness::open(self.redis.as_ref(), namespace)
            .await
            .map(Some)
    }
}

/// The server that is named, or a private one, or why there is none.
fn server(
    suite: &Suite,
    env: &Arc<dyn Env>,
    folder: &TempDir,
) -> (
    std::result::Result<RedisConfig, String>,
    Option<ServerProcess>,
) {
    if let Ok(url) = std::env::var(URL) {
        return (Ok(RedisConfig::from_url(&url).unwrap()), None);
    }
    let mut ask = Command::new("redis-server");
    ask.arg("--version").stdout(Stdio::null());
    if ask.status().is_err() {
        let why = format!("there is no redis-server in PATH, and {URL} names none");
        return (Err(why), None);
    }
    let process = suite
        .runtime()
        .block_on(start_server(env, folder, "everysec"))
        .unwrap();
    let mut config = RedisConfig::default();
    let address = process.address();
    config.hosts = vec![Address::new(address.ip().to_string(), address.port())];
    (Ok(config), Some(process))
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let env: Arc<dyn Env> = Arc::new(TokioEnv::on(suite.runtime().clone()));
    let folder = Arc::new(TempDir::new().unwrap());
    let (server, _process) = server(&suite, &env, &folder);
    let redis = Arc::new(Redis {
        env,
        server,
        folder,
    });
    let memory = Split::new("redis+memory", &redis, Place::Memory(Mutex::default()));
    let own = TempDir::new().unwrap();
    let of_parent = std::env::var_os(FOLDER).map(PathBuf::from);
    let stores = of_parent.unwrap_or_else(|| own.path().to_owned());
    let sqlite = Split::new("redis+sqlite", &redis, Place::Sqlite(stores));
    let both = Split::new("redis+redis", &redis, Place::Redis);
    let suite = suite.broker(&redis).store(&redis).ledger(&redis);
    suite.ledger(&memory).ledger(&sqlite).ledger(&both).run()
}
