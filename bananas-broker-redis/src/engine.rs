//! The engine: one client of one server, and what its parts share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Broker, BrokerInfo, Capabilities, Env, Ledger, QueueName, Reach, Result, StateStore, StoreInfo,
};
use redis::Value;

use crate::bell::Bell;
use crate::broker::{Credits, RedisBroker};
use crate::config::RedisConfig;
use crate::error::Error;
use crate::keys::{Keys, Part};
use crate::question::Call;
use crate::script::Script;
use crate::servers::Servers;
use crate::store::{self, Known, RedisStore, Watchers};

/// The largest body, in bytes.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// The most messages in one call of a script.
pub(crate) const BATCH: usize = 500;

/// One client of one Redis server.
///
/// It has a connection for all calls, and another, made when it is first needed, that waits for messages; of a
/// cluster, one for calls to each master in use, and one that waits for each queue with consumers. All end
/// when its broker is closed or the last handle is dropped.
#[derive(Debug)]
pub struct RedisEngine {
    shared: Arc<Shared>,
}

impl RedisEngine {
    /// Connects, and looks at how the server keeps its data.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a namespace with other characters than letters, digits, `.`, `-` and `_`;
    /// `Unreachable` when nothing answers within [`RedisConfig::timeout`], `Auth` for a wrong password or
    /// missing rights, `Unsupported` for a server that is older than 6.2 or may evict keys, `Unavailable` for
    /// one that is loading or a replica.
    pub async fn open(config: RedisConfig, env: Arc<dyn Env>) -> Result<Arc<Self>> {
        config.check()?;
        let (servers, facts) = Servers::open(config, &env).await?;
        let servers = Arc::new(servers);
        let dialer = &servers.dialer;
        let mut capabilities = Capabilities::exact();
        capabilities.max_message = MAX_MESSAGE;
        capabilities.max_batch = BATCH;
        capabilities.durability = facts.durability;
        capabilities.reach = Reach::Network;
        let info = BrokerInfo {
            backend: "redis",
            url: dialer.url.clone(),
            version: facts.version,
            capabilities,
        };
        let store_info = StoreInfo {
            backend: "redis",
            url: dialer.url.clone(),
            durability: facts.durability,
            max_value: MAX_MESSAGE,
        };
        let bell = Bell::new(&servers, env.random());
        let watchers = Watchers::new(dialer, &env);
        let shared = Shared {
            namespace: dialer.config.namespace.clone(),
            info,
            store_info,
            env,
            bell,
            known: Known::default(),
            watchers,
            credits: Credits::default(),
            servers,
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
        }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The broker's side.
    #[must_use]
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(RedisBroker::new(Arc::clone(&self.shared)))
    }

    /// The store's side. Closing either side closes both.
    #[must_use]
    pub fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(RedisStore::new(Arc::clone(&self.shared)))
    }

    /// The ledger of both, where the record of a job is its message.
    #[must_use]
    pub fn ledger(&self) -> Arc<dyn Ledger> {
        store::fused(&self.shared, &self.shared.env)
    }
}

/// What the parts of one engine share.
pub(crate) struct Shared {
    pub(crate) namespace: String,
    pub(crate) info: BrokerInfo,
    pub(crate) store_info: StoreInfo,
    pub(crate) known: Known,
    pub(crate) watchers: Watchers,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) bell: Bell,
    pub(crate) credits: Credits,
    servers: Arc<Servers>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("url", &self.info.url)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn wire(&self) -> &Arc<Servers> {
        &self.servers
    }

    /// Waits for what is under way, and takes nothing more.
    pub(crate) async fn close(&self, deadline: Duration) {
        self.bell.end();
        self.watchers.end();
        self.wire().close(deadline).await;
        self.bell.end();
    }

    pub(crate) fn keys(&self, queue: &QueueName) -> Keys {
        Keys::of(&self.namespace, queue)
    }

    /// Runs a script on these keys of a queue.
    pub(crate) async fn run(
        &self,
        script: Script,
        queue: &QueueName,
        parts: &[Part],
        args: Vec<Vec<u8>>,
    ) -> Result<Value, Error> {
        let keys = self.keys(queue);
        let call = Call {
            script,
            keys: parts.iter().map(|part| keys.key(*part)).collect(),
            args,
        };
        self.wire().run(&call).await.map(|(answer, _)| answer)
    }

    /// The same, of a queue that must exist.
    pub(crate) async fn run_on(
        &self,
        script: Script,
        queue: &QueueName,
        parts: &[Part],
        args: Vec<Vec<u8>>,
    ) -> Result<Value, Error> {
        match self.run(script, queue, parts, args).await? {
            Value::Int(-1) => Err(Error::NoQueue(queue.clone())),
            answer => Ok(answer),
        }
    }

    /// Reads an answer; one that makes no sense ends the connection it came over.
    pub(crate) fn read<T>(&self, read: Option<T>) -> Result<T, Error> {
        read.ok_or_else(|| self.wire().mistrust())
    }
}
