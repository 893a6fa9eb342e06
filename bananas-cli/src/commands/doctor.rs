//! `bananas doctor`: what broker and store say about themselves, and whether that is good enough.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bananas::config::{Config, redact};
use bananas::sqlite::SqliteConfig;
use bananas::{Broker, Durability, Engine, Env, Fact, FactLevel, StateStore, TokioEnv};

use crate::cli::Globals;
use crate::exit;
use crate::output::Output;
use crate::render::health::{Health, Side};
use crate::settings::Settings;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bananas doctor
  bananas doctor --url redis://localhost
  bananas doctor --json | jq '.backends[].facts[] | select(.level != \"info\")'

It changes nothing, and asks broker and store for what decides about losing jobs: what survives, which settings
are dangerous, and what to change.

Ends with 0 when all is well, with 1 when there are warnings, and with 2 when a backend cannot be reached, refuses
us, is weaker than `require_durability`, or has a dangerous setting.")]
pub(crate) struct DoctorArgs {}

/// Looks, prints what was found, and ends with the code for it.
pub(crate) async fn run(globals: &Globals, output: &Output) -> anyhow::Result<ExitCode> {
    let health = match Settings::read(globals) {
        Ok(settings) => look(&settings.config).await,
        Err(error) if output.is_json() => Health::failed(format!("{error:#}")),
        Err(error) => return Err(error),
    };
    if output.is_json() {
        output.json(&health)?;
    } else {
        output.line(health.text())?;
    }
    Ok(match health.level() {
        FactLevel::Info => ExitCode::SUCCESS,
        FactLevel::Warning => ExitCode::from(exit::FAILURE),
        FactLevel::Danger => ExitCode::from(exit::USAGE),
    })
}

async fn look(config: &Config) -> Health {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let url = config.broker.url.as_str();
    let opened = open(url, config, &env).await;
    let engine = match opened {
        Ok(engine) => engine,
        Err(fact) => {
            let broker = Side::without("broker", redact(url), fact);
            let own = config.store.url.as_deref().filter(|store| *store != url);
            let mut sides = vec![broker];
            if let Some(url) = own {
                sides.push(store_elsewhere(url, config, &env).await);
            }
            return Health::of(sides);
        }
    };
    let broker = broker_side(engine.broker.as_ref(), config).await;
    let sides = match (engine.store_url(config), &engine.store) {
        (Ok(None), Some(store)) => with_own_store(broker, store.as_ref(), config).await,
        (Ok(None), None) => vec![broker],
        (Ok(Some(url)), _) => vec![broker, store_elsewhere(url, config, &env).await],
        (Err(error), _) => {
            let fact = Fact::danger("configuration", error.to_string(), ADD_STORE);
            vec![broker, Side::without("store", String::new(), fact)]
        }
    };
    Health::of(sides)
}

/// What to do when the place for records is missing.
const ADD_STORE: &str = "add the section [store] with a url to bananas.toml";

/// Opens what is there. What is not is left so, and what cannot be opened is said as a fact.
async fn open(url: &str, config: &Config, env: &Arc<dyn Env>) -> Result<Engine, Fact> {
    if let Some(file) = unmade(url) {
        let value = format!("{} is not there yet", file.display());
        let advice = "it is made when the first job is enqueued or a worker starts; if there should be one, name \
                      its place with --url or --config";
        return Err(Fact::warning("file", value, advice));
    }
    Engine::open(url, config, env).await.map_err(|error| {
        let advice = "until this is mended no job is accepted and none runs";
        Fact::danger("connection", error.to_string(), advice)
    })
}

/// The file of an SQLite URL, if it could be made but was not.
fn unmade(url: &str) -> Option<PathBuf> {
    if !url.starts_with("sqlite:") {
        return None;
    }
    let path = SqliteConfig::from_url(url).ok()?.path;
    let folder = path.parent()?;
    let is_there = folder.as_os_str().is_empty() || folder.is_dir();
    (is_there && !path.exists()).then_some(path)
}

async fn broker_side(broker: &dyn Broker, config: &Config) -> Side {
    let info = broker.info();
    let class = info.capabilities.durability;
    let mut side = Side {
        name: "broker",
        backend: Some(info.backend),
        version: info.version.clone(),
        url: info.url.clone(),
        durability: Some(class),
        facts: told(broker.facts().await),
    };
    side.facts.extend(required(config, class));
    side
}

async fn store_side(store: &dyn StateStore, config: &Config) -> Side {
    let info = store.info();
    let mut side = Side {
        name: "store",
        backend: Some(info.backend),
        version: None,
        url: info.url.clone(),
        durability: Some(info.durability),
        facts: told(store.facts().await),
    };
    side.facts.extend(required(config, info.durability));
    side
}

/// An engine that is both is shown once, unless its two sides differ.
async fn with_own_store(mut broker: Side, store: &dyn StateStore, config: &Config) -> Vec<Side> {
    let info = store.info();
    let is_same = broker.backend == Some(info.backend) && broker.url == info.url;
    if is_same && broker.durability == Some(info.durability) {
        broker.name = "broker and store";
        return vec![broker];
    }
    vec![broker, store_side(store, config).await]
}

async fn store_elsewhere(url: &str, config: &Config, env: &Arc<dyn Env>) -> Side {
    match open(url, config, env).await.map(|engine| engine.store) {
        Ok(Some(store)) => store_side(store.as_ref(), config).await,
        Ok(None) => {
            let fact = Fact::danger("configuration", "a broker and no store", ADD_STORE);
            Side::without("store", redact(url), fact)
        }
        Err(fact) => Side::without("store", redact(url), fact),
    }
}

fn told(answer: bananas::Result<Vec<Fact>>) -> Vec<Fact> {
    answer.unwrap_or_else(|error| {
        let advice = "look at the server's log, and ask again";
        vec![Fact::danger("answer", error.to_string(), advice)]
    })
}

/// How the class that was found stands to the one that is required.
fn required(config: &Config, found: Durability) -> Option<Fact> {
    let required = config.broker.require_durability.as_deref()?;
    let class: Durability = required.parse().ok()?;
    let name = "required durability";
    if found >= class {
        return Some(Fact::info(name, required));
    }
    let value = format!("{required}, and this is {found}: nothing starts");
    let advice = "see what is said about its durability, or require less";
    Some(Fact::danger(name, value, advice))
}
