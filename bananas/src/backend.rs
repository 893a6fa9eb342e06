//! From a URL to a backend: the only place that knows all of them.

use std::net::IpAddr;
use std::sync::Arc;

use bananas_core::config::{Config, DEFAULT_URL, redact};
use bananas_core::wrapper::{Beside, Wrapping};
use bananas_core::{
    Broker, BrokerInfo, Capabilities, Durability, Env, Error, ErrorKind, Ledger, Result,
    StateStore, StoreInfo,
};

use crate::requirement;

/// One engine that was opened: as a broker, as a store, or as both.
///
/// To look at what a configuration names, each by itself; who wants to work with it opens an
/// [`App`](crate::App).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Engine {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// `None` for an engine that is a broker alone.
    pub store: Option<Arc<dyn StateStore>>,
}

/// The backends that Bananas has or will have, by URL scheme, with the Cargo feature that compiles each in.
const SCHEMES: [(&str, &str); 11] = [
    ("memory", "memory"),
    ("sqlite", "sqlite"),
    ("redis", "redis"),
    ("rediss", "redis"),
    ("amqp", "amqp"),
    ("amqps", "amqp"),
    ("sqs", "sqs"),
    ("nats", "nats"),
    ("tls+nats", "nats"),
    ("postgres", "postgres"),
    ("postgresql", "postgres"),
];

impl Engine {
    /// Opens the engine of a URL, with the namespace of a configuration.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a URL that no backend knows, `Unsupported` for a backend that was not compiled
    /// in, and what the backend answers.
    pub async fn open(url: &str, config: &Config, env: &Arc<dyn Env>) -> Result<Self> {
        let opened = engine(url, config, env).await;
        opened.map_err(|e| e.during("connect"))
    }

    /// Where jobs are recorded when this is the broker of a configuration; `None` for here.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when the configuration must name a store and does not.
    pub fn store_url<'a>(&self, config: &'a Config) -> Result<Option<&'a str>> {
        let broker_url = config.broker.url.as_str();
        match config.store.url.as_deref() {
            Some(url) if url != broker_url => Ok(Some(url)),
            _ if self.store.is_some() => Ok(None),
            _ => default_store(broker_url).map(Some),
        }
    }
}

/// Opens the broker and the store of a configuration and joins them.
pub(crate) async fn open(config: &Config, env: &Arc<dyn Env>) -> Result<Arc<dyn Ledger>> {
    let opened = Engine::open(&config.broker.url, config, env).await?;
    let store = match (opened.store_url(config)?, opened.store) {
        (None, Some(store)) => store,
        (None, None) => return Err(no_store(&config.broker.url)),
        (Some(url), _) => {
            let of_store = Engine::open(url, config, env).await?;
            of_store.store.ok_or_else(|| no_store(url))?
        }
    };
    requirement::check(config, opened.broker.as_ref(), store.as_ref()).await?;
    let info = opened.broker.info();
    let wrapping = Wrapping::of(config, info)?.beside(info, &Beside::of(store.as_ref()));
    let broker = wrapping.around(opened.broker, env);
    let broker = wrapping.keeping_bodies(broker, &store, env)?;
    match Arc::clone(&store).fused(broker.as_ref(), env) {
        Some(ledger) => Ok(ledger),
        None => Ok(join(broker, store, Arc::clone(env))),
    }
}

/// What the backend of a URL can do as far as that is known without connecting: engines that are a store as well
/// can do all that is asked, and the others say what they expect of their servers.
pub(crate) fn expected(url: &str) -> BrokerInfo {
    let scheme = url.split(':').next().unwrap_or(url);
    let known = SCHEMES.iter().find(|(known, _)| *known == scheme);
    BrokerInfo {
        backend: known.map_or("this broker", |(known, _)| known),
        url: redact(url),
        version: None,
        capabilities: expected_capabilities(url, scheme),
    }
}

fn expected_capabilities(url: &str, scheme: &str) -> Capabilities {
    match scheme {
        #[cfg(feature = "amqp")]
        "amqp" | "amqps" => bananas_broker_amqp::AmqpConfig::from_url(url)
            .map_or_else(|_| Capabilities::exact(), |amqp| amqp.capabilities()),
        #[cfg(feature = "nats")]
        "nats" | "tls+nats" => bananas_broker_nats::NatsConfig::from_url(url)
            .map_or_else(|_| Capabilities::exact(), |nats| nats.capabilities()),
        #[cfg(feature = "sqs")]
        "sqs" => bananas_broker_sqs::SqsConfig::from_url(url)
            .map_or_else(|_| Capabilities::exact(), |sqs| sqs.capabilities()),
        _ => {
            let _ = url;
            Capabilities::exact()
        }
    }
}

/// What the store of a configuration is expected to be. Every engine of ours keeps large bodies.
pub(crate) fn expected_store(config: &Config) -> Beside {
    let url = config.store.url.as_deref().unwrap_or(&config.broker.url);
    let scheme = url.split(':').next().unwrap_or(url);
    let known = SCHEMES.iter().find(|(known, _)| *known == scheme);
    Beside {
        store: StoreInfo {
            backend: known.map_or("this store", |(known, _)| known),
            url: redact(url),
            durability: Durability::D1,
            max_value: Capabilities::exact().max_message,
        },
        blobs: true,
    }
}

fn no_store(url: &str) -> Error {
    let message = format!(
        "{} is a broker and no store; in [store] write url = \"{DEFAULT_URL}\", or leave it out",
        redact(url)
    );
    Error::new(ErrorKind::Unsupported, message)
}

/// Where jobs are recorded when the broker keeps no records and nothing else is configured: in a file, if the
/// broker is on this host. A file here would be seen by no other host that uses the broker.
fn default_store(broker_url: &str) -> Result<&'static str> {
    // A URL of sqs without a host is of the region that the environment names.
    let is_region = broker_url.starts_with("sqs:") && hosts(broker_url) == [""];
    if !is_region && hosts(broker_url).into_iter().all(is_here) {
        return Ok(DEFAULT_URL);
    }
    let message = format!(
        "the broker {} records no jobs, and other hosts that use it would not see a file on this one; \
         name a store that all of them reach, under [store] as url = \"...\". If this is the only host, write \
         url = \"{DEFAULT_URL}\"",
        redact(broker_url)
    );
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// The hosts of a URL, which may be several, with commas between them.
fn hosts(url: &str) -> Vec<&str> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority
        .rsplit_once('@')
        .map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').collect()
}

/// Whether a host, maybe with a port, is this one.
fn is_here(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    let bare = bare.unwrap_or_default();
    let address: Option<IpAddr> = bare.parse().ok();
    bare.is_empty() || bare == "localhost" || address.is_some_and(|it| it.is_loopback())
}

#[cfg(feature = "worker")]
fn join(broker: Arc<dyn Broker>, store: Arc<dyn StateStore>, env: Arc<dyn Env>) -> Arc<dyn Ledger> {
    use bananas_core::{SplitLedger, SplitOptions};
    use bananas_worker::process;

    let options = SplitOptions::new(process::owner(&env), process::is_surely_gone);
    Arc::new(SplitLedger::new(broker, store, env, options))
}

#[cfg(not(feature = "worker"))]
fn join(broker: Arc<dyn Broker>, store: Arc<dyn StateStore>, env: Arc<dyn Env>) -> Arc<dyn Ledger> {
    use bananas_core::{Owner, SplitLedger, SplitOptions};

    // Without the facts about this process nobody can see that it is gone; its open batches are published
    // after the time for that.
    let process = Owner {
        id: env.owner_id(),
        host: String::new(),
        boot_id: String::new(),
        pid: 0,
        pid_started: 0,
    };
    Arc::new(SplitLedger::new(
        broker,
        store,
        env,
        SplitOptions::new(process, |_| false),
    ))
}

async fn engine(url: &str, config: &Config, env: &Arc<dyn Env>) -> Result<Engine> {
    let scheme = url.split(':').next().unwrap_or(url);
    match scheme {
        #[cfg(feature = "memory")]
        "memory" => {
            let engine = bananas_broker_memory::MemoryEngine::new(Arc::clone(env));
            Ok(Engine {
                broker: engine.broker(),
                store: Some(engine.store()),
            })
        }
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let mut sqlite = bananas_broker_sqlite::SqliteConfig::from_url(url)?;
            sqlite.namespace.clone_from(&config.broker.namespace);
            let engine = bananas_broker_sqlite::SqliteEngine::open(sqlite, Arc::clone(env)).await?;
            Ok(Engine {
                broker: engine.broker(),
                store: Some(engine.store()),
            })
        }
        #[cfg(feature = "redis")]
        "redis" | "rediss" => {
            let mut redis = bananas_broker_redis::RedisConfig::from_url(url)?;
            redis.namespace.clone_from(&config.broker.namespace);
            let engine = bananas_broker_redis::RedisEngine::open(redis, Arc::clone(env)).await?;
            Ok(Engine {
                broker: engine.broker(),
                store: Some(engine.store()),
            })
        }
        #[cfg(feature = "amqp")]
        "amqp" | "amqps" => {
            let mut amqp = bananas_broker_amqp::AmqpConfig::from_url(url)?;
            amqp.namespace.clone_from(&config.broker.namespace);
            let broker = bananas_broker_amqp::AmqpBroker::open(amqp, Arc::clone(env)).await?;
            Ok(Engine {
                broker: Arc::new(broker),
                store: None,
            })
        }
        #[cfg(feature = "nats")]
        "nats" | "tls+nats" => {
            let mut nats = bananas_broker_nats::NatsConfig::from_url(url)?;
            nats.namespace.clone_from(&config.broker.namespace);
            let engine = bananas_broker_nats::NatsEngine::open(nats, Arc::clone(env)).await?;
            Ok(Engine {
                broker: engine.broker(),
                store: None,
            })
        }
        #[cfg(feature = "sqs")]
        "sqs" => {
            let mut sqs = bananas_broker_sqs::SqsConfig::from_url(url)?;
            sqs.namespace.clone_from(&config.broker.namespace);
            let broker = bananas_broker_sqs::SqsBroker::open(sqs, Arc::clone(env)).await?;
            Ok(Engine {
                broker,
                store: None,
            })
        }
        _ => Err(unknown(url, scheme)),
    }
}

fn unknown(url: &str, scheme: &str) -> Error {
    let known = SCHEMES.iter().find(|(known, _)| *known == scheme);
    if let Some((_, feature)) = known {
        let message = format!(
            "this program was built without the backend of {scheme}: URLs; \
             add the feature \"{feature}\" of the crate bananas, if this version has it"
        );
        return Error::new(ErrorKind::Unsupported, message);
    }
    let compiled: Vec<&str> = [
        ("memory:", cfg!(feature = "memory")),
        ("sqlite://PATH", cfg!(feature = "sqlite")),
        ("redis://HOST", cfg!(feature = "redis")),
        ("amqp://HOST", cfg!(feature = "amqp")),
        ("nats://HOST", cfg!(feature = "nats")),
        ("sqs://REGION", cfg!(feature = "sqs")),
    ]
    .into_iter()
    .filter_map(|(form, there)| there.then_some(form))
    .collect();
    let message = format!(
        "no backend knows the URL {:?}; it can be {}",
        redact(url),
        compiled.join(" or ")
    );
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_url_names_what_can_be_used_and_shows_no_secret() {
        let error = unknown("mysql://me:secret@host/db", "mysql").to_string();
        assert!(
            error.contains("memory:") && !error.contains("secret"),
            "{error}"
        );
        let error = unknown("redis://localhost", "redis").to_string();
        assert!(error.contains("feature \"redis\""), "{error}");
    }

    #[test]
    fn a_broker_on_this_host_gets_a_file_as_its_store_and_one_elsewhere_the_line_to_add() {
        for here in [
            "amqp://localhost",
            "amqp://127.0.0.1:7000/1",
            "nats://[::1]",
            "amqp:///%2f",
            "nats://me:a@localhost:7000,127.0.0.1:7001,[::1]:7002/0?timeout_ms=1",
            "sqs://key:secret@127.0.0.1:5124",
        ] {
            assert_eq!(default_store(here).unwrap(), DEFAULT_URL, "{here}");
        }
        for elsewhere in [
            "sqs:",
            "sqs://",
            "sqs://eu-west-1",
            "nats://localhost:7000,db.example:7001",
        ] {
            let error = default_store(elsewhere).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{elsewhere}");
        }
        let error = default_store("amqp://me:secret@db.example").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let text = error.to_string();
        assert!(
            text.contains("[store]") && text.contains("db.example"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }
}
