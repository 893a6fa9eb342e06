//! From the command line, the file and the environment to a configuration, and from there to an application.

use std::path::{Path, PathBuf};

use bananas::config::{Config, redact};
use bananas::{App, ErrorKind, JobIndex};

use crate::cli::Globals;
use crate::exit::usage;

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "bananas.toml";

/// What is in force, and where it came from.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The configuration.
    pub(crate) config: Config,
    /// The file it was read from, if there was one.
    pub(crate) file: Option<PathBuf>,
    /// The variables that override the file.
    pub(crate) variables: Vec<String>,
}

impl Settings {
    /// Reads the file that was named, or `bananas.toml` if there is one here; then `BANANAS_*` variables; then
    /// `--url`.
    pub(crate) fn read(globals: &Globals) -> anyhow::Result<Self> {
        let default = Path::new(DEFAULT_FILE);
        let file = match &globals.config {
            Some(path) => Some(path.clone()),
            None => default.exists().then(|| default.to_path_buf()),
        };
        let text = match &file {
            Some(path) => read_file(path)?,
            None => String::new(),
        };
        let name = file.as_deref().unwrap_or(default).display().to_string();
        let variables = variables()?;
        let names = variables.iter().map(|(name, _)| name.clone()).collect();
        let mut config = Config::read(&name, &text, variables)?;
        if let Some(url) = &globals.url {
            // Who names a place means all of it: a store elsewhere belongs to the broker of the file.
            config.broker.url.clone_from(url);
            config.store.url = None;
        }
        Ok(Self {
            config,
            file,
            variables: names,
        })
    }
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|e| {
        let hint = match e.kind() {
            std::io::ErrorKind::NotFound => {
                "; without --config and BANANAS_CONFIG the defaults are used"
            }
            std::io::ErrorKind::InvalidData => "; it must be UTF-8",
            _ => "",
        };
        usage(format!(
            "configuration file {} cannot be read: {e}{hint}",
            path.display()
        ))
    })
}

/// The variables of Bananas that set something. Others may hold anything, even what is no text.
fn variables() -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else {
            continue;
        };
        let sets = ["BANANAS_BROKER_", "BANANAS_STORE_", "BANANAS_WORKER_"]
            .iter()
            .any(|section| name.starts_with(section));
        if !sets {
            continue;
        }
        // Leaving it out would run on the default, and look as if nothing were wrong.
        let value = value.into_string().map_err(|value| {
            let shown = redact(&value.to_string_lossy());
            usage(format!("{name} is {shown:?}, which is not UTF-8"))
        })?;
        variables.push((name, value));
    }
    Ok(variables)
}

/// Connects as a configuration says; what is not there yet is made.
pub(crate) async fn open(config: Config) -> anyhow::Result<App> {
    if config.broker.url.starts_with("memory:") {
        return Err(usage(
            "memory: lives inside one process, so jobs there are gone when this command ends; \
             use a URL such as sqlite://bananas.db",
        ));
    }
    App::open(config).await.map_err(|e| match e.kind() {
        ErrorKind::Conflict | ErrorKind::NotFound => usage(e.to_string()),
        _ => e.into(),
    })
}

/// Connects in order to look at what is there: a database that does not exist is a mistake in the call.
pub(crate) async fn open_existing(globals: &Globals) -> anyhow::Result<App> {
    let config = Settings::read(globals)?.config;
    let url = config.broker.url.as_str();
    if url.starts_with("sqlite:") {
        let path = bananas::sqlite::SqliteConfig::from_url(url)?.path;
        if !path.exists() {
            return Err(usage(format!(
                "there is no database {}; enqueue a job first, or name another place with --url or --config",
                path.display()
            )));
        }
    }
    open(config).await
}

/// The records of an application.
pub(crate) fn index(app: &App) -> anyhow::Result<&dyn JobIndex> {
    app.client().jobs().ok_or_else(|| {
        let url = redact(&app.config().broker.url);
        usage(format!(
            "{url} stores nothing about jobs; add `url` under `[store]`"
        ))
    })
}
