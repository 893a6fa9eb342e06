//! The contract on Redis through TLS, as a user who may do no more than the guide says: a private server for all
//! checks of this process, and a namespace for each.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{Broker, Env, Error, ErrorKind, Ledger, Result, StateStore, TokioEnv};
use conformance_tests::fault::{Authority, Network, ServerProcess, ServerSpec};
use conformance_tests::{Backend, BrokerHarness, LedgerHarness, Probe, StoreHarness, Suite};
use redis_probe::{Door, RedisProbe};
use tempfile::TempDir;

mod redis_probe;

/// Tells a child process where the server of its parent is: its port and its folder.
const PLACE: &str = "BANANAS_CONFORMANCE_REDIS_TLS";

/// What users may do, and no more.
const GUIDE: &str = include_str!("../../docs/guide/redis.md");

/// The folder of the server that all checks share.
const SHARED: &str = "shared";

const PASSWORD: &str = "a-password-for-nobody-to-see";

/// How clients come to the server that all checks share, or to another.
#[derive(Clone)]
struct RedisTls {
    env: Arc<dyn Env>,
    /// Where the server is that all checks share, or why there is none.
    server: std::result::Result<SocketAddr, String>,
    /// Holds the certificates and a folder for each server.
    folder: PathBuf,
}

impl RedisTls {
    async fn client(
        &self,
        address: SocketAddr,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Arc<dyn Broker>> {
        Ok(self.engine(address, namespace, env).await?.broker())
    }

    async fn engine(
        &self,
        address: SocketAddr,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Arc<RedisEngine>> {
        let authority = self.folder.join("authority.pem");
        let authority = authority.display();
        let url = format!("rediss://bananas:{PASSWORD}@{address}?ca={authority}");
        let mut config = RedisConfig::from_url(&url)?;
        config.namespace = namespace.to_owned();
        RedisEngine::open(config, env).await
    }

    fn shared(&self) -> Result<SocketAddr> {
        let absent = |why: &str| Error::new(ErrorKind::Unavailable, why);
        self.server.clone().map_err(|why| absent(&why))
    }

    /// Starts a server with a folder of this name.
    async fn start(&self, name: &str) -> Result<ServerProcess> {
        let spec = ServerSpec::new("redis-server", self.folder.join(name));
        let settings = [
            "--port 0 --tls-port {port} --tls-auth-clients no --bind 127.0.0.1",
            "--tls-cert-file ../server.pem --tls-key-file ../server.key",
            "--unixsocket redis.sock --dir {folder} --daemonize no",
            "--appendonly yes --loglevel notice --appendfsync",
        ];
        // A server that is going to be killed must not confirm what it has not handed to the system.
        let appendfsync = match name {
            SHARED => "everysec",
            _ => "always",
        };
        let words = settings.iter().flat_map(|line| line.split(' '));
        let spec = words.fold(spec, ServerSpec::arg).arg(appendfsync);
        let spec = spec.arg("--user");
        let spec = rights().into_iter().fold(spec, ServerSpec::arg);
        ServerProcess::start(&self.env, spec.arg("--save").arg("")).await
    }
}

/// The user of the guide, for every namespace.
fn rights() -> Vec<String> {
    let command = GUIDE
        .lines()
        .find_map(|line| line.strip_prefix("ACL SETUSER "));
    let words = command.unwrap().split(' ');
    let any = |word: &str| {
        word.replace(">PASSWORD", &format!(">{PASSWORD}"))
            .replace("NAMESPACE", "*")
    };
    words.map(any).collect()
}

impl Backend for RedisTls {
    fn name(&self) -> &'static str {
        "redis-tls"
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }

    fn absent(&self) -> Option<String> {
        self.server.as_ref().err().cloned()
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        let port = self.server.as_ref().ok()?.port();
        let place = format!("{port} {}", self.folder.display());
        Some(vec![(PLACE.to_owned(), place)])
    }
}

#[async_trait]
impl BrokerHarness for RedisTls {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        self.client(self.shared()?, namespace, self.env()).await
    }

    async fn open_with(
        &self,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Option<Arc<dyn Broker>>> {
        let client = self.client(self.shared()?, namespace, env);
        client.await.map(Some)
    }

    fn network(&self) -> Option<Arc<dyn Network>> {
        Some(Arc::new(self.clone()))
    }

    fn probe(&self, namespace: &str) -> Option<Arc<dyn Probe>> {
        let socket = self.folder.join(SHARED).join("redis.sock");
        let probe = RedisProbe::new(vec![Door::Unix(socket)], namespace);
        Some(Arc::new(probe))
    }

    fn secret(&self) -> Option<String> {
        Some(PASSWORD.to_owned())
    }
}

#[async_trait]
impl StoreHarness for RedisTls {
    async fn open_with(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn StateStore>> {
        let engine = self.engine(self.shared()?, namespace, env);
        Ok(engine.await?.store())
    }
}

#[async_trait]
impl LedgerHarness for RedisTls {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>> {
        let engine = self.engine(self.shared()?, namespace, self.env());
        Ok(engine.await?.ledger())
    }
}

#[async_trait]
impl Network for RedisTls {
    fn address(&self) -> SocketAddr {
        self.shared().unwrap()
    }

    async fn open_at(&self, address: SocketAddr, namespace: &str) -> Result<Arc<dyn Broker>> {
        self.client(address, namespace, self.env()).await
    }

    async fn start_server(&self) -> Result<ServerProcess> {
        self.start(&self.env.random().to_string()).await
    }
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let own = TempDir::new().unwrap();
    let mut tls = RedisTls {
        env: Arc::new(TokioEnv::on(suite.runtime().clone())),
        server: Err("there is no redis-server in PATH".to_owned()),
        folder: own.path().to_owned(),
    };
    let mut ask = Command::new("redis-server");
    ask.arg("--version").stdout(Stdio::null());
    let mut process = None;
    if let Ok(place) = std::env::var(PLACE) {
        let (port, folder) = place.split_once(' ').unwrap();
        tls.server = Ok((Ipv4Addr::LOCALHOST, port.parse().unwrap()).into());
        tls.folder = folder.into();
    } else if ask.status().is_ok() {
        Authority::create(own.path()).unwrap();
        let started = suite.runtime().block_on(tls.start(SHARED)).unwrap();
        tls.server = Ok(started.address());
        process = Some(started);
    }
    let tls = Arc::new(tls);
    let ended = suite.broker(&tls).store(&tls).ledger(&tls).run();
    drop(process);
    ended
}
