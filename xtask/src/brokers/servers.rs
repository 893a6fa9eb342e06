//! [`SERVERS`]: which there are, and the variables that say where each is.

use anyhow::Result;

use super::record::Export;
use super::start::Start;
use super::{nats, postgres, rabbitmq, redis, sqs};

/// A server, by the name that it has on the command line and in `docker-compose.yml`.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its name.
    pub(crate) name: &'static str,
    /// The variable that says where it is.
    pub(crate) variable: &'static str,
    /// Where it is when `docker-compose.yml` has started it.
    pub(crate) compose_url: &'static str,
    /// Starts it privately, and answers with the variables once it can be used.
    pub(super) start: fn(&mut Start<'_>) -> Result<Vec<Export>>,
}

/// All servers.
pub(crate) const SERVERS: [Server; 7] = [
    Server {
        name: "redis",
        variable: redis::VARIABLE,
        compose_url: "redis://127.0.0.1:7379",
        start: redis::single,
    },
    Server {
        name: "redis-cluster",
        variable: redis::CLUSTER_VARIABLE,
        compose_url: "redis://127.0.0.1:7381,127.0.0.1:7382,127.0.0.1:7383",
        start: redis::cluster,
    },
    Server {
        name: "rabbitmq",
        variable: rabbitmq::VARIABLE,
        compose_url: "amqp://guest:guest@127.0.0.1:5673/%2f",
        start: rabbitmq::start,
    },
    Server {
        name: "nats",
        variable: nats::VARIABLE,
        compose_url: "nats://127.0.0.1:4223",
        start: nats::newest,
    },
    Server {
        name: "nats-old",
        variable: nats::OLD_VARIABLE,
        compose_url: "nats://127.0.0.1:4224",
        start: nats::oldest,
    },
    Server {
        name: "postgres",
        variable: postgres::VARIABLE,
        compose_url: "postgres://postgres@127.0.0.1:5433/postgres",
        start: postgres::start,
    },
    Server {
        name: "sqs",
        variable: sqs::VARIABLE,
        compose_url: "http://127.0.0.1:5124",
        start: sqs::start,
    },
];
