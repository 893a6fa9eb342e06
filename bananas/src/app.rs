//! An application: one configuration, one ledger, one client.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::config::Config;
use bananas_core::wrapper::Wrapping;
use bananas_core::{Client, Env, Error, ErrorKind, Ledger, Result, TokioEnv};

use crate::backend;

/// An application: where its jobs go, and how to run them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    config: Arc<Config>,
    env: Arc<dyn Env>,
    ledger: Arc<dyn Ledger>,
    client: Client,
}

/// The configuration file that is looked for when none is named.
const DEFAULT_FILE: &str = "bananas.toml";

impl App {
    /// Reads a configuration file, lets `BANANAS_*` variables override it, and connects.
    ///
    /// # Errors
    ///
    /// `NotFound` without the file, `InvalidArgument` with the place for a mistake in it, and what
    /// [`connect`](Self::connect) answers.
    pub async fn from_config(path: impl AsRef<Path>) -> Result<Self> {
        Self::open(read(path.as_ref())?).await
    }

    /// Connects as `BANANAS_*` variables say: with the file in `BANANAS_CONFIG`, or with `bananas.toml` if
    /// there is one here, or else with the defaults.
    ///
    /// # Errors
    ///
    /// Those of [`from_config`](Self::from_config).
    pub async fn from_env() -> Result<Self> {
        Self::open(Self::config_from_env()?).await
    }

    /// The configuration that [`from_env`](Self::from_env) uses.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` with the place of a mistake.
    pub fn config_from_env() -> Result<Config> {
        match std::env::var_os("BANANAS_CONFIG") {
            Some(path) => read(Path::new(&path)),
            None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE)),
            None => Config::read(DEFAULT_FILE, "", environment()),
        }
    }

    /// Connects to a broker by its URL, with defaults for everything else.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a URL that no backend knows, `Unsupported` for a backend that was not compiled
    /// in, and what the backend answers.
    pub async fn connect(url: &str) -> Result<Self> {
        let mut config = Config::default();
        url.clone_into(&mut config.broker.url);
        Self::open(config).await
    }

    /// Connects as a configuration says.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and `Conflict` when the backend is less durable than required.
    pub async fn open(config: Config) -> Result<Self> {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let ledger = backend::open(&config, &env).await?;
        Ok(Self::with(config, ledger, env))
    }

    /// Puts an application together from its parts: for backends of your own, and for tests.
    #[must_use]
    pub fn with(config: Config, ledger: Arc<dyn Ledger>, env: Arc<dyn Env>) -> Self {
        let config = Arc::new(config);
        let client = Client::new(Arc::clone(&ledger), Arc::clone(&env), Arc::clone(&config));
        Self {
            config,
            env,
            ledger,
            client,
        }
    }

    /// The wrappers that a configuration puts around its broker: a line for each, with its reason. Connects to
    /// nothing.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, with the key, for a wrapper that is asked for what makes no sense.
    pub fn wrappers(config: &Config) -> Result<Vec<String>> {
        let expected = backend::expected(&config.broker.url);
        let beside = backend::expected_store(config);
        let wrapping = Wrapping::of(config, &expected)?.beside(&expected, &beside);
        Ok(wrapping.reasons().to_vec())
    }

    /// Enqueues jobs and looks at them.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs jobs; handlers are added to it.
    #[cfg(feature = "worker")]
    pub fn worker(&self) -> bananas_worker::Worker {
        bananas_worker::Worker::new(
            Arc::clone(&self.ledger),
            Arc::clone(&self.env),
            Arc::clone(&self.config),
        )
    }

    /// The ledger underneath.
    #[must_use]
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Time, randomness and tasks, as this application has them.
    #[must_use]
    pub fn env(&self) -> &Arc<dyn Env> {
        &self.env
    }

    /// Finishes what is under way, at most within `deadline`, and closes.
    ///
    /// # Errors
    ///
    /// `Timeout` when something did not end in time.
    pub async fn close(&self, deadline: Duration) -> Result<()> {
        self.ledger.close(deadline).await
    }
}

fn read(path: &Path) -> Result<Config> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::InvalidData => ErrorKind::InvalidArgument,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("configuration file {name} cannot be read")).because(e)
    })?;
    Config::read(&name, &text, environment())
}

/// The variables whose names and values are text; one that is not cannot be meant for us.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
