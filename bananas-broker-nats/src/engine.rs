//! The engine: one client of JetStream, and what its parts share.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bananas_core::{
    Broker, BrokerInfo, Capabilities, Delay, Durability, Env, Fencing, LeaseLimits, QueueName,
    Reach, Result, Timestamp,
};
use serde_json::Value;

use crate::broker::{Holds, NatsBroker};
use crate::config::{NatsConfig, SyncInterval};
use crate::connection::Dialer;
use crate::error::Error;
use crate::jetstream;
use crate::link::{Link, Wire};
use crate::names::Names;

/// What the server adds to a body: the rest of the message, and the reason why it is dead.
const AROUND_A_BODY: usize = 16 * 1024;

/// The longest delay; the server counts nanoseconds in 63 bits from 1970 on.
const LONGEST_DELAY: Duration = Duration::from_secs(36_500 * 24 * 3_600);

/// Of how many queues the names are kept.
const KNOWN: usize = 1_024;

/// The first version that delivers a message at a time.
const SCHEDULES: (u64, u64, u64) = (2, 12, 0);

/// The first version that can write each message to its disk before it confirms it.
const SYNCS_ALWAYS: (u64, u64, u64) = (2, 10, 0);

/// One client of NATS JetStream, with one connection.
///
/// The connection ends when its broker is closed or the last handle is dropped.
#[derive(Debug)]
pub struct NatsEngine {
    shared: Arc<Shared>,
}

impl NatsEngine {
    /// Connects, and looks at what the server can do.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a namespace with other characters than letters, digits, `.`, `-` and `_`, and for
    /// numbers out of bounds; `Unreachable` when nothing answers within [`NatsConfig::timeout`], `Auth` for
    /// wrong credentials, `Unsupported` for files that cannot be used, `Unavailable` for a server without
    /// JetStream.
    pub async fn open(config: NatsConfig, env: Arc<dyn Env>) -> Result<Arc<Self>> {
        config.check()?;
        let dialer = Arc::new(Dialer::new(config)?);
        let link = Link::new(Arc::clone(&dialer), &env);
        let wire = link.wire();
        let server = wire.server(wire.deadline()).await?;
        // It fails where there is no JetStream for this account.
        jetstream::api(wire, "INFO", &Value::Null, wire.deadline()).await?;
        let release = version(&server.version);
        if dialer.config.sync_interval == SyncInterval::Always && release < SYNCS_ALWAYS {
            let why = "the URL says sync_interval=always, which this server does not know; servers do from 2.10 on";
            return Err(Error::Refused(why.to_owned()).into());
        }
        let schedules = release >= SCHEDULES;
        let info = BrokerInfo {
            backend: "nats",
            version: Some(server.version.clone()),
            url: dialer.url.clone(),
            capabilities: capabilities(&dialer.config, server.max_payload, schedules),
        };
        let shared = Shared {
            namespace: dialer.config.namespace.clone(),
            info,
            holds: Holds::new(env.random()),
            env,
            max_payload: server.max_payload,
            known: Mutex::default(),
            link,
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
        }))
    }

    /// The broker's side.
    #[must_use]
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(NatsBroker::new(Arc::clone(&self.shared)))
    }
}

/// The largest message of a server with default settings.
pub(crate) const USUAL_PAYLOAD: usize = 1024 * 1024;

pub(crate) fn capabilities(
    config: &NatsConfig,
    max_payload: usize,
    schedules: bool,
) -> Capabilities {
    let mut can = Capabilities::exact();
    can.delay = match schedules {
        true => Delay::Native {
            max: Some(LONGEST_DELAY),
            // A server that starts again remembers whole seconds of what was given back.
            granularity: Duration::from_secs(1),
        },
        false => Delay::Unsupported,
    };
    can.priority_levels = config.lanes;
    can.lease = LeaseLimits {
        min: Duration::from_secs(1),
        max: Duration::from_secs(24 * 3_600),
        max_total: None,
    };
    can.fencing = Fencing::Client;
    // A new leader of a cluster may deliver again what is still leased.
    can.redelivery_proves_lease_lost = false;
    // A replacement is published first, and the delivery acknowledged then.
    can.atomic_settle = false;
    // An older server answers before it has handed the deletion to the system: of 156 of version 2.9 that were killed
    // just then, three delivered again what they had confirmed as acknowledged.
    can.confirmed_ack = schedules;
    can.max_message = max_payload.saturating_sub(AROUND_A_BODY);
    can.max_batch = 1_000;
    can.durability = durability(config);
    // What was given back counts as in flight until it is delivered again.
    can.exact_depth = false;
    can.reach = Reach::Network;
    can
}

/// What survives. No server tells whether it syncs its files, so the configuration does.
fn durability(config: &NatsConfig) -> Durability {
    match (config.sync_interval, config.replicas) {
        (SyncInterval::Unknown, _) => Durability::D2,
        (SyncInterval::Always, 0..=2) => Durability::D3,
        (SyncInterval::Always, _) => Durability::D4,
    }
}

/// Major, minor and patch.
pub(crate) fn version(text: &str) -> (u64, u64, u64) {
    let mut numbers = text.split(['.', '-', '+']);
    let mut next = || numbers.next().and_then(|number| number.parse().ok());
    let (major, minor, patch) = (next(), next(), next());
    (
        major.unwrap_or_default(),
        minor.unwrap_or_default(),
        patch.unwrap_or_default(),
    )
}

/// What the parts of one engine share.
pub(crate) struct Shared {
    pub(crate) namespace: String,
    pub(crate) info: BrokerInfo,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) holds: Holds,
    /// The most that a message may have in all.
    pub(crate) max_payload: usize,
    known: Mutex<HashMap<QueueName, Arc<Names>>>,
    link: Link,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("url", &self.info.url)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn wire(&self) -> &Arc<Wire> {
        self.link.wire()
    }

    pub(crate) fn config(&self) -> &NatsConfig {
        &self.wire().dialer.config
    }

    /// The names of a queue, which are made once.
    pub(crate) fn names(&self, queue: &QueueName) -> Result<Arc<Names>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = known.get(queue) {
            return Ok(Arc::clone(names));
        }
        let names = Arc::new(Names::of(&self.namespace, queue)?);
        // Whoever has more queues than that makes them again.
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(queue.clone(), Arc::clone(&names));
        Ok(names)
    }

    /// Whether messages can wait for their time at the server.
    pub(crate) fn schedules(&self) -> bool {
        self.info.capabilities.delay != Delay::Unsupported
    }

    /// The server's time, or ours while it has not told.
    pub(crate) fn server_now(&self) -> Timestamp {
        self.wire().server_now().unwrap_or_else(|| self.env.now())
    }

    /// What JetStream says of a queue's stream.
    pub(crate) async fn look_up(&self, queue: &QueueName) -> Result<Value, Error> {
        let names = self.names(queue)?;
        let what = format!("STREAM.INFO.{}", names.stream);
        let wire = self.wire();
        match jetstream::api(wire, &what, &Value::Null, wire.deadline()).await {
            Err(e) if e.is_missing() => Err(Error::NoQueue(queue.clone())),
            answer => answer,
        }
    }

    /// What it means that nobody answers on a subject of a queue.
    pub(crate) async fn nobody_answers(&self, queue: &QueueName) -> Error {
        match self.look_up(queue).await {
            Ok(_) => Error::NoResponders(self.wire().url()),
            Err(e) => e,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_by_its_numbers() {
        assert!(version("2.9.10") < SCHEDULES);
        assert!(version("2.12.0-RC.1") >= SCHEDULES);
        assert!(version("3.0") >= SCHEDULES);
        assert!(version("unknown") < SCHEDULES);
        assert_eq!(version("2.10.23"), (2, 10, 23));
        assert_eq!(version("2.10.22-RC.3"), (2, 10, 22));
    }

    #[test]
    fn the_class_is_better_only_where_the_configuration_says_so() {
        for (url, class) in [
            ("nats://h?replicas=3", Durability::D2),
            ("nats://h?sync_interval=always", Durability::D3),
            ("nats://h?sync_interval=always&replicas=2", Durability::D3),
            ("nats://h?sync_interval=always&replicas=3", Durability::D4),
        ] {
            assert_eq!(durability(&NatsConfig::from_url(url).unwrap()), class);
        }
    }
}
