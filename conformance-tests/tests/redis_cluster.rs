//! The contract on a cluster of three Redis servers, private for all checks of this process or the one that
//! `BANANAS_TEST_REDIS_CLUSTER_URL` names, and a namespace for each. Nodes tell their own addresses, so no proxy
//! can stand before them: the checks that need one are untested here, and what happens when slots move and
//! masters die is tested in `bananas-broker-redis/tests/cluster.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{Broker, Env, Error, ErrorKind, Ledger, Result, StateStore, TokioEnv};
use conformance_tests::{Backend, BrokerHarness, LedgerHarness, Probe, StoreHarness, Suite};
use redis_cluster::{ServerCluster, is_here};
use redis_probe::{Door, RedisProbe};

#[path = "../../bananas-broker-redis/tests/redis_cluster/mod.rs"]
#[allow(dead_code, reason = "the tests of clusters alone use more of it")]
mod redis_cluster;
mod redis_probe;

/// Names a cluster to use instead of a private one; also tells a child process where that of its parent is.
const URL: &str = "BANANAS_TEST_REDIS_CLUSTER_URL";

struct Cluster {
    env: Arc<dyn Env>,
    /// Why there is no cluster, if so.
    url: std::result::Result<String, String>,
}

impl Cluster {
    fn config(&self) -> Result<RedisConfig> {
        let absent = |why: &String| Error::new(ErrorKind::Unavailable, why.clone());
        RedisConfig::from_url(self.url.as_ref().map_err(absent)?)
    }

    async fn engine(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<RedisEngine>> {
        let mut config = self.config()?;
        config.namespace = namespace.to_owned();
        RedisEngine::open(config, env).await
    }
}

impl Backend for Cluster {
    fn name(&self) -> &'static str {
        "redis-cluster"
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }

    fn absent(&self) -> Option<String> {
        self.url.as_ref().err().cloned()
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        let url = self.url.clone().ok()?;
        Some(vec![(URL.to_owned(), url)])
    }
}

#[async_trait]
impl BrokerHarness for Cluster {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        Ok(self.engine(namespace, self.env()).await?.broker())
    }

    async fn open_with(
        &self,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Option<Arc<dyn Broker>>> {
        Ok(Some(self.engine(namespace, env).await?.broker()))
    }

    fn probe(&self, namespace: &str) -> Option<Arc<dyn Probe>> {
        let hosts = self.config().ok()?.hosts;
        let door = |host: &bananas_broker_redis::Address| {
            let mut found = (host.host.as_str(), host.port).to_socket_addrs().unwrap();
            Door::Tcp(found.next().unwrap())
        };
        let doors = hosts.iter().map(door).collect();
        Some(Arc::new(RedisProbe::new(doors, namespace)))
    }
}

#[async_trait]
impl StoreHarness for Cluster {
    async fn open_with(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn StateStore>> {
        Ok(self.engine(namespace, env).await?.store())
    }
}

#[async_trait]
impl LedgerHarness for Cluster {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>> {
        Ok(self.engine(namespace, self.env()).await?.ledger())
    }
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let env: Arc<dyn Env> = Arc::new(TokioEnv::on(suite.runtime().clone()));
    let mut own = None;
    let url = match std::env::var(URL) {
        Ok(url) => Ok(url),
        Err(_) if is_here() => {
            let started = suite.runtime().block_on(ServerCluster::start(&env, 0));
            let started = own.insert(started.unwrap());
            Ok(started.url())
        }
        Err(_) => Err(format!(
            "there is no redis-server in PATH, and {URL} names no cluster"
        )),
    };
    let cluster = Arc::new(Cluster { env, url });
    let suite = suite.broker(&cluster).store(&cluster).ledger(&cluster);
    let ended = suite.run();
    drop(own);
    ended
}
