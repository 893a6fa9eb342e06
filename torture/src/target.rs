//! [`Target`]: the broker that is struck: its server, if it has one, and how clients come to it.
//!
//! What there is to know of one kind of broker is here and nowhere else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bananas::amqp::{AmqpBroker, AmqpConfig};
use bananas::nats::{NatsConfig, NatsEngine};
use bananas::redis::{RedisConfig, RedisEngine};
use bananas::sqs::{SqsBroker, SqsConfig};
use bananas::{Broker, Count, Depth, Env, QueueName, Track};
use conformance_tests::fault::{ServerProcess, ServerSpec};

use crate::args::Plan;
use crate::sqs_server;
use crate::work::QUEUE;

/// The beginning of all that a run has on a server.
const NAMESPACE: &str = "torture";

/// Runs a RabbitMQ node.
const RABBITMQ: &str = include_str!("../../conformance-tests/servers/rabbitmq.sh");

/// A kind of broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A file, which is the store, too: nothing to restart and nothing in between.
    Sqlite,
    /// A Redis server that writes each answer's effect to the disk first (`appendfsync always`). With `everysec`
    /// a server whose disk is slow confirms up to two seconds of writes before it has handed them to the
    /// system, and a kill takes them.
    Redis,
    /// The NATS server of the path, with JetStream; its jobs are recorded in a file. It should be 2.12 or newer: one
    /// of 2.9 that is killed keeps remains of what was acknowledged, which count as not settled.
    Nats,
    /// Standard queues of an emulator of Amazon SQS, whose state is in memory: it is not restarted. Jobs are recorded
    /// in a file.
    Sqs,
    /// The same with FIFO queues.
    SqsFifo,
    /// A RabbitMQ node with quorum queues; its jobs are recorded in a file.
    Rabbitmq,
    /// The same with classic queues.
    RabbitmqClassic,
}

/// Where jobs are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StoreKind {
    /// Where the messages are.
    Own,
    /// In a file that all worker processes share.
    Sqlite,
}

/// A broker that is there for one run.
#[derive(Debug)]
pub(crate) struct Target {
    kind: Kind,
    store: StoreKind,
    track: Track,
    folder: PathBuf,
    /// `None` for a file.
    pub(crate) server: Option<ServerProcess>,
}

impl StoreKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Sqlite => "sqlite",
        }
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Sqs => "sqs",
            Self::SqsFifo => "sqs-fifo",
            Self::Rabbitmq => "rabbitmq",
            Self::RabbitmqClassic => "rabbitmq-classic",
        }
    }

    /// Where clients find it at this address.
    fn url(self, address: SocketAddr) -> String {
        let emulator = |kind| format!("sqs://KEY:SECRET@{address}?region=us-east-1&kind={kind}");
        match self {
            Self::Sqlite | Self::Redis | Self::Nats => format!("{}://{address}", self.name()),
            Self::Rabbitmq => format!("amqp://guest:guest@{address}/%2f"),
            Self::RabbitmqClassic => format!("amqp://guest:guest@{address}/%2f?queues=classic"),
            Self::Sqs => emulator("standard"),
            Self::SqsFifo => emulator("fifo"),
        }
    }

    /// Whether there is a server.
    pub(crate) fn has_server(self) -> bool {
        self != Self::Sqlite
    }

    /// Whether what the server has confirmed is there after its end.
    pub(crate) fn outlives_restarts(self) -> bool {
        !matches!(self, Self::Sqs | Self::SqsFifo)
    }

    /// Where jobs are recorded if that is asked for.
    pub(crate) fn store(self, asked: StoreKind) -> StoreKind {
        match self {
            Self::Sqlite | Self::Redis => asked,
            Self::Nats | Self::Rabbitmq | Self::RabbitmqClassic | Self::Sqs | Self::SqsFifo => {
                StoreKind::Sqlite
            }
        }
    }

    /// How long a worker process may take to run a job again.
    pub(crate) fn bound(self) -> Duration {
        match self {
            Self::Sqlite | Self::Redis => Duration::from_secs(5),
            // A heartbeat comes every 2 s, and a lease goes on for 15 s.
            Self::Nats => Duration::from_secs(15),
            // A request that waits at the server for a second is given up after ten more.
            Self::Sqs | Self::SqsFifo => Duration::from_secs(15),
            // A call waits for 10 s, and a heartbeat comes every 20 s.
            Self::Rabbitmq | Self::RabbitmqClassic => Duration::from_secs(15),
        }
    }

    async fn serve(self, env: &Arc<dyn Env>, folder: &Path) -> anyhow::Result<ServerProcess> {
        if !self.outlives_restarts() {
            return Ok(sqs_server::start(env, folder).await?);
        }
        Ok(ServerProcess::start(env, self.spec(folder)?).await?)
    }

    fn spec(self, folder: &Path) -> anyhow::Result<ServerSpec> {
        let (program, settings) = match self {
            Self::Sqlite | Self::Sqs | Self::SqsFifo => bail!("{} has none", self.name()),
            Self::Redis => (
                "redis-server",
                "--port {port} --bind 127.0.0.1 --daemonize no --dir {folder} \
                 --appendonly yes --appendfsync always",
            ),
            Self::Nats => ("nats-server", "-a 127.0.0.1 -p {port} -js -sd {folder}"),
            Self::Rabbitmq | Self::RabbitmqClassic => return Ok(rabbitmq(folder)),
        };
        let mut ask = Command::new(program);
        ask.arg("--version").stdout(Stdio::null());
        ask.status()
            .with_context(|| format!("{program} cannot be started; is it installed?"))?;
        let words = settings.split_whitespace();
        let spec = words.fold(ServerSpec::new(program, folder), ServerSpec::arg);
        Ok(match self {
            // An empty argument, which switches snapshots off.
            Self::Redis => spec.arg("--save").arg(""),
            _ => spec,
        })
    }
}

/// A node of its own. It starts slowly, and all the slower on a machine that is busy.
fn rabbitmq(folder: &Path) -> ServerSpec {
    ServerSpec::new("sh", folder)
        .arg("-c")
        .arg(RABBITMQ)
        .variable("PORT", "{port}")
        .variable("FOLDER", "{folder}")
        .variable("LOGIN", "guest")
        .variable("PASSWORD", "guest")
        .deadline(Duration::from_mins(4))
}

impl Target {
    /// Starts it, with its files in this folder.
    pub(crate) async fn start(
        env: &Arc<dyn Env>,
        plan: &Plan,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let kind = plan.broker;
        let mut server = None;
        if kind.has_server() {
            server = Some(kind.serve(env, &folder.join("server")).await?);
        }
        Ok(Self {
            kind,
            store: kind.store(plan.store),
            track: plan.track,
            folder: folder.to_owned(),
            server,
        })
    }

    /// Where the server is.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(ServerProcess::address)
    }

    /// The configuration of a client that comes to the server through this address, as TOML.
    pub(crate) fn config(&self, through: Option<SocketAddr>, concurrency: u32) -> String {
        let file = format!("sqlite://{}", self.folder.join("store.db").display());
        let broker = match through {
            Some(address) => self.kind.url(address),
            None => file.clone(),
        };
        let store = match self.store {
            StoreKind::Own => &broker,
            StoreKind::Sqlite => &file,
        };
        let track = self.track;
        format!(
            "[broker]\nurl = {broker:?}\nnamespace = {NAMESPACE:?}\n[store]\nurl = {store:?}\n\
             [queues.{QUEUE}]\ntrack = \"{track}\"\n[worker]\nconcurrency = {concurrency}\n"
        )
    }

    /// How many messages the broker has, in whatever state, beside those that are records: the store counts
    /// them.
    pub(crate) async fn messages(&self, env: &Arc<dyn Env>) -> anyhow::Result<u64> {
        let Some(address) = self.address() else {
            return Ok(0);
        };
        if self.store == StoreKind::Own && self.track == Track::Full {
            return Ok(0);
        }
        let url = self.kind.url(address);
        let broker: Arc<dyn Broker> = match self.kind {
            Kind::Sqlite => return Ok(0),
            Kind::Sqs | Kind::SqsFifo => {
                let mut config = SqsConfig::from_url(&url)?;
                NAMESPACE.clone_into(&mut config.namespace);
                SqsBroker::open(config, Arc::clone(env)).await?
            }
            Kind::Redis => {
                let mut config = RedisConfig::from_url(&url)?;
                NAMESPACE.clone_into(&mut config.namespace);
                RedisEngine::open(config, Arc::clone(env)).await?.broker()
            }
            Kind::Nats => {
                let mut config = NatsConfig::from_url(&url)?;
                NAMESPACE.clone_into(&mut config.namespace);
                NatsEngine::open(config, Arc::clone(env)).await?.broker()
            }
            Kind::Rabbitmq | Kind::RabbitmqClassic => {
                let mut config = AmqpConfig::from_url(&url)?;
                NAMESPACE.clone_into(&mut config.namespace);
                Arc::new(AmqpBroker::open(config, Arc::clone(env)).await?)
            }
        };
        let admin = broker.admin().context("the broker counts nothing")?;
        let depths = admin.depth(&[QueueName::new(QUEUE)?]).await?;
        let counts = |depth: &Depth| [depth.ready, depth.in_flight, depth.delayed, depth.dead];
        Ok(depths
            .iter()
            .flat_map(counts)
            .filter_map(Count::value)
            .sum())
    }
}
