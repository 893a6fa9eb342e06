//! The configuration file `bananas.toml`, as types.
//!
//! Every section and key is optional. Precedence: default < file < `BANANAS_*` environment < command line.
//! An unknown key is an error with the line and the nearest known key.

pub(crate) mod duration;
mod environment;
mod file;
mod queue;
mod task;
mod worker;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::queue::QueueConfig;
pub use self::task::{ExecConfig, TaskConfig};
pub use self::worker::WorkerConfig;

use crate::{Durability, Error, ErrorKind, Result, TaskName};

/// Where everything goes when nothing is configured.
pub const DEFAULT_URL: &str = "sqlite://bananas.db";

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// `[broker]`
    pub broker: BrokerConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[queues.NAME]`
    pub queues: BTreeMap<crate::QueueName, QueueConfig>,
    /// `[tasks."NAME"]`
    pub tasks: BTreeMap<TaskName, TaskConfig>,
    /// `[worker]`
    pub worker: WorkerConfig,
}

/// `[broker]`: where jobs wait.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BrokerConfig {
    /// `memory:`, `sqlite://PATH`, `redis://HOST`, `nats://HOST`. Default `sqlite://bananas.db`.
    pub url: String,
    /// Keeps applications on one server apart. Default `bananas`.
    pub namespace: String,
    /// `D0` to `D4`: refuses to start on anything weaker.
    pub require_durability: Option<String>,
}

/// `[store]`: where the life of jobs is recorded.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StoreConfig {
    /// Default: the broker's own engine, where it is one.
    pub url: Option<String>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            url: DEFAULT_URL.to_owned(),
            namespace: "bananas".to_owned(),
            require_durability: None,
        }
    }
}

impl std::fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerConfig")
            .field("url", &redact(&self.url))
            .field("namespace", &self.namespace)
            .field("require_durability", &self.require_durability)
            .finish()
    }
}

impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreConfig")
            .field("url", &self.url.as_deref().map(redact))
            .finish()
    }
}

/// The URL without its password and query, for people to see.
#[must_use]
pub fn redact(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) => {
            if parsed.password().is_some() && parsed.set_password(Some("***")).is_err() {
                return format!("{}:***", parsed.scheme());
            }
            // A user without a password is a token at some servers.
            let is_alone = parsed.password().is_none() && !parsed.username().is_empty();
            if is_alone && parsed.set_username("***").is_err() {
                return format!("{}:***", parsed.scheme());
            }
            parsed.set_query(None);
            parsed.to_string()
        }
        // Several hosts with their ports are no URL for the parser.
        Err(_) => {
            let shown = url.split(['?', '#']).next().unwrap_or_default();
            match (shown.split_once("://"), shown.rsplit_once('@')) {
                (Some((scheme, _)), Some((_, hosts))) => format!("{scheme}://***@{hosts}"),
                (None, Some(_)) => "***".to_owned(),
                (_, None) => shown.to_owned(),
            }
        }
    }
}

impl Config {
    /// Reads a file's text, then lets the environment override it.
    ///
    /// `name` is the file's name for error texts; `environment` are variables, of which those that begin with
    /// `BANANAS_` and name a key count: `BANANAS_BROKER_URL`, `BANANAS_WORKER_CONCURRENCY`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` with the place and, for an unknown key, the nearest known one.
    pub fn read(
        name: &str,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut config = file::parse(name, text)?;
        environment::apply(&mut config, environment)?;
        config.check()?;
        Ok(config)
    }

    /// Whether the values make sense together.
    fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        if self.worker.concurrency == 0 {
            return invalid("worker.concurrency is 0; a worker needs at least 1".to_owned());
        }
        if let Some(class) = &self.broker.require_durability {
            class.parse::<Durability>()?;
        }
        for (name, queue) in &self.queues {
            if queue.concurrency == Some(0) {
                return invalid(format!(
                    "queues.{name}.concurrency is 0; leave the queue out of `worker --queues` instead"
                ));
            }
        }
        self.check_lanes()?;
        for (name, task) in &self.tasks {
            task.check(name)?;
        }
        Ok(())
    }
}
