//! From a URL to a backend: the only place that knows all of them.

use std::sync::Arc;

use bananas_core::config::{Config, redact};
use bananas_core::{Broker, Env, Error, ErrorKind, Ledger, Result, StateStore};

/// One engine that was opened: as a broker, as a store, or as both.
struct Opened {
    broker: Arc<dyn Broker>,
    store: Arc<dyn StateStore>,
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

/// Opens the broker and the store of a configuration and joins them.
pub(crate) async fn open(config: &Config, env: &Arc<dyn Env>) -> Result<Arc<dyn Ledger>> {
    let broker_url = config.broker.url.as_str();
    let opened = engine(broker_url, config, env)
        .await
        .map_err(|e| e.during("connect"))?;
    let store = match config.store.url.as_deref() {
        None => opened.store,
        Some(url) if url == broker_url => opened.store,
        Some(url) => {
            engine(url, config, env)
                .await
                .map_err(|e| e.during("connect"))?
                .store
        }
    };
    match Arc::clone(&store).fused(opened.broker.as_ref(), env) {
        Some(ledger) => Ok(ledger),
        None => Ok(join(opened.broker, store, Arc::clone(env))),
    }
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

async fn engine(url: &str, config: &Config, env: &Arc<dyn Env>) -> Result<Opened> {
    let scheme = url.split(':').next().unwrap_or(url);
    match scheme {
        #[cfg(feature = "memory")]
        "memory" => {
            let engine = bananas_broker_memory::MemoryEngine::new(Arc::clone(env));
            Ok(Opened {
                broker: engine.broker(),
                store: engine.store(),
            })
        }
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let mut sqlite = bananas_broker_sqlite::SqliteConfig::from_url(url)?;
            sqlite.namespace.clone_from(&config.broker.namespace);
            let engine = bananas_broker_sqlite::SqliteEngine::open(sqlite, Arc::clone(env)).await?;
            Ok(Opened {
                broker: engine.broker(),
                store: engine.store(),
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
}
