//! [`Home`]: where the jobs of the demo live, as all its processes open it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bananas::config::{Config, TaskConfig, redact};
use bananas::redis::{RedisConfig, RedisEngine};
use bananas::wrapper::Wrapping;
use bananas::{App, Backoff, Engine, Env, ErrorKind, Task, TaskName};
use serde::{Deserialize, Serialize};

use super::digest::{self, Digest};

/// How long closing may take.
pub(super) const CLOSE: Duration = Duration::from_secs(5);

/// The variable by which a worker process learns where the jobs are; an argument would show passwords to all.
pub(super) const VARIABLE: &str = "BANANAS_DEMO_HOME";

/// Where the jobs of the demo live: in a database file of its own, or on the broker that is configured, in a
/// namespace of its own. Nothing else of a configuration has a say: the demo is the same everywhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Home {
    broker: String,
    namespace: String,
    /// `None` where the broker records the jobs itself.
    store: Option<String>,
    /// Whether it is more than a file.
    served: bool,
}

/// A server that the jobs of the demo are on, for people.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Server {
    /// Where it is, without secrets.
    pub(super) url: String,
    /// The namespace of the demo.
    pub(super) namespace: String,
    /// Where the records are, if not there.
    pub(super) store: Option<String>,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, namespace {}", self.url, self.namespace)?;
        match &self.store {
            Some(store) => write!(f, ", records in {store}"),
            None => Ok(()),
        }
    }
}

impl Home {
    /// Finds out where. The database is used if the jobs, or their records, are kept in a file.
    pub(super) async fn of(
        mut config: Config,
        database: &Path,
        env: &Arc<dyn Env>,
    ) -> anyhow::Result<Self> {
        let file = url(database)?;
        if is_local(&config.broker.url) {
            return Ok(Self {
                broker: file,
                namespace: Config::default().broker.namespace,
                store: None,
                served: false,
            });
        }
        let namespace = format!(
            "{}-demo-{:08x}",
            config.broker.namespace,
            env.random() >> 32
        );
        config.broker.namespace.clone_from(&namespace);
        let engine = open_engine(&config.broker.url, &config, env).await?;
        let keeps_records = engine.store.is_some();
        engine.broker.close(CLOSE).await?;
        let store = match config.store.url {
            Some(url) if !is_local(&url) => Some(url),
            None if keeps_records => None,
            _ => Some(file),
        };
        Ok(Self {
            broker: config.broker.url,
            namespace,
            store,
            served: true,
        })
    }

    /// What the process that started this one says.
    pub(super) fn given() -> anyhow::Result<Self> {
        let text = std::env::var(VARIABLE)
            .with_context(|| format!("{VARIABLE} is for the workers that the demo starts"))?;
        serde_json::from_str(&text).with_context(|| format!("{VARIABLE} cannot be read"))
    }

    /// What a process is told that is started by this one.
    pub(super) fn told(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// Opens it, for a worker that runs so many jobs at once.
    pub(super) async fn open(&self, concurrency: usize) -> anyhow::Result<App> {
        let mut config = self.config();
        config.worker.concurrency = concurrency;
        config.worker.shutdown_grace = Duration::from_secs(5);
        // A file that cannot be read is soon known as such; nobody wants to wait minutes for that in a demo.
        let mut backoff = Backoff::default();
        backoff.base = Duration::from_millis(100);
        let mut task = TaskConfig::default();
        task.backoff = Some(backoff);
        config.tasks.insert(TaskName::new(Digest::NAME)?, task);
        App::open(config)
            .await
            .with_context(|| format!("{} cannot be used", redact(&self.broker)))
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        config.broker.url.clone_from(&self.broker);
        config.broker.namespace.clone_from(&self.namespace);
        config.store.url.clone_from(&self.store);
        config
    }

    /// The server that the jobs are on, for people; `None` for a file of the demo.
    pub(super) fn server(&self) -> Option<Server> {
        self.served.then(|| Server {
            url: redact(&self.broker),
            namespace: self.namespace.clone(),
            store: self.store.as_deref().map(redact),
        })
    }

    /// How to look at the jobs when the demo has ended.
    pub(super) fn look_on(&self) -> String {
        if !self.served {
            return format!("bananas jobs list --url '{}'", self.broker);
        }
        let store = match &self.store {
            Some(store) => format!("BANANAS_STORE_URL='{}' ", redact(store)),
            None => String::new(),
        };
        format!(
            "BANANAS_BROKER_NAMESPACE={} {store}bananas jobs list",
            self.namespace
        )
    }

    /// The file, if one holds the jobs or their records.
    pub(super) fn file(&self) -> Option<&str> {
        let url = self.store.as_ref().unwrap_or(&self.broker);
        is_local(url).then_some(url)
    }

    /// Removes all that the demo left on a server.
    pub(super) async fn clear(&self, app: &App) -> anyhow::Result<()> {
        if !self.served {
            return Ok(());
        }
        if is_redis(&self.broker) {
            let mut config = RedisConfig::from_url(&self.broker)?;
            config.namespace.clone_from(&self.namespace);
            let engine = RedisEngine::open(config, Arc::clone(app.env())).await?;
            engine.remove_namespace().await?;
            engine.broker().close(CLOSE).await?;
            return Ok(());
        }
        let config = self.config();
        let engine = open_engine(&self.broker, &config, app.env()).await?;
        // As the jobs came to it: what a wrapper has made goes with the rest.
        let wrapping = Wrapping::of(&config, engine.broker.info())?;
        let broker = wrapping.around(engine.broker, app.env());
        if let Some(admin) = broker.admin() {
            // The namespace is the demo's own, and all in it.
            let queues = match admin.queues().await {
                Err(e) if e.kind() == ErrorKind::Unsupported => vec![digest::queue()?],
                queues => queues?,
            };
            for queue in queues {
                admin.delete(&queue).await?;
            }
        }
        broker.close(CLOSE).await?;
        Ok(())
    }
}

async fn open_engine(url: &str, config: &Config, env: &Arc<dyn Env>) -> anyhow::Result<Engine> {
    Ok(Engine::open(url, config, env).await?)
}

fn is_redis(url: &str) -> bool {
    url.starts_with("redis:") || url.starts_with("rediss:")
}

/// Whether a URL names something on this host alone that the demo must not share with other jobs.
pub(super) fn is_local(url: &str) -> bool {
    url.starts_with("sqlite:") || url.starts_with("memory:")
}

/// The URL of a database file.
pub(super) fn url(path: &Path) -> anyhow::Result<String> {
    match path.to_str() {
        Some(text) if !text.contains('?') => Ok(format!("sqlite://{text}")),
        _ => bail!(
            "the database path {path:?} cannot be written in a URL; use a path of UTF-8 without \"?\""
        ),
    }
}
