//! What all calls go to: one server, or the cluster in which each key has its node.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Env, Tick};
use redis::{Cmd, Value};

use crate::cluster::Cluster;
use crate::config::RedisConfig;
use crate::connection::Dialer;
use crate::door::Door;
use crate::error::Error;
use crate::link::{Asking, Link, Silences};
use crate::question::{Call, Question};
use crate::scout::Scout;
use crate::server::{self, Mode, ServerFacts};

/// One server, or a cluster; its connections end when this is dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) silences: Silences,
    door: Door,
    way: Way,
    /// Listens to the sentinels, if there are any.
    scout: Option<Scout>,
}

#[derive(Debug)]
enum Way {
    One(Arc<Link>),
    Cluster(Cluster),
}

impl Servers {
    /// Connects, and looks at how the servers keep their data.
    pub(crate) async fn open(
        config: RedisConfig,
        env: &Arc<dyn Env>,
    ) -> Result<(Self, ServerFacts), Error> {
        let dialer = Arc::new(Dialer::new(config, env)?);
        let silences = Silences::new();
        let link = Arc::new(Link::new(Arc::clone(&dialer), &silences));
        let until = env.monotonic() + dialer.config.timeout;
        let greeting = server::greet(link.wire(), until).await?;
        let (way, durability) = match greeting.mode {
            Mode::Cluster => {
                drop(link);
                let cluster = Cluster::open(&dialer, &silences).await?;
                let durability = cluster.look(until).await?;
                (Way::Cluster(cluster), durability)
            }
            Mode::Alone if dialer.config.hosts.len() > 1 && dialer.config.sentinel.is_none() => {
                return Err(Error::Refused(format!(
                    "{} names several servers, and they are no cluster; name one, or sentinels with ?sentinel=NAME",
                    dialer.url
                )));
            }
            Mode::Alone => {
                let eviction = dialer.config.eviction;
                let durability = server::look(link.wire(), eviction, until).await?;
                (Way::One(link), durability)
            }
        };
        let servers = Self {
            env: Arc::clone(env),
            scout: Scout::start(&dialer),
            dialer,
            silences,
            door: Door::open(),
            way,
        };
        let version = greeting.version.as_deref();
        for link in servers.all() {
            let confirm = servers.dialer.config.confirm;
            confirm.check(link.wire(), version, until).await?;
        }
        let facts = ServerFacts {
            durability,
            version: greeting.version,
        };
        Ok((servers, facts))
    }

    /// Whether they are a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.way, Way::Cluster(_))
    }

    /// How long an operation may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.dialer.config.timeout
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        self.door.check_open()
    }

    /// Runs a script; what it answered, and when it was handed to the connection.
    pub(crate) async fn run(&self, call: &Call) -> Result<(Value, Tick), Error> {
        self.answer(Question::Call(call)).await
    }

    /// Sends a plain command, whose first argument is its first key.
    pub(crate) async fn command(&self, command: &Cmd) -> Result<Value, Error> {
        let answer = self.answer(Question::Command(command)).await;
        answer.map(|(answer, _)| answer)
    }

    async fn answer(&self, question: Question<'_>) -> Result<(Value, Tick), Error> {
        let _inside = self.door.enter()?;
        let until = self.env.monotonic() + self.timeout();
        match &self.way {
            Way::One(link) => {
                let line = link.wire().line(until).await?;
                let answer = link.wire().answer(&line, question, Asking::No, until);
                answer.await
            }
            Way::Cluster(cluster) => cluster.answer(question, until).await,
        }
    }

    /// The connection to the server, or those to all masters.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        match &self.way {
            Way::One(link) => vec![Arc::clone(link)],
            Way::Cluster(cluster) => cluster.masters(),
        }
    }

    /// Who connects to the server that has this key, as far as is known.
    pub(crate) fn dialer_of(&self, key: &str) -> Arc<Dialer> {
        match &self.way {
            Way::One(_) => Arc::clone(&self.dialer),
            Way::Cluster(cluster) => cluster.dialer_of(key),
        }
    }

    /// A connection to the server that has this key did not serve: it may be elsewhere.
    pub(crate) fn is_elsewhere(&self) {
        if let Way::Cluster(cluster) = &self.way {
            cluster.look_around();
        }
    }

    /// An answer makes no sense: what else comes over its connection may be the answer to something else.
    pub(crate) fn mistrust(&self) -> Error {
        match &self.way {
            Way::One(link) => link.wire().mistrust(),
            Way::Cluster(cluster) => cluster.mistrust(),
        }
    }

    /// Takes no more calls, waits for those under way, and ends.
    pub(crate) async fn close(&self, deadline: Duration) {
        self.door.close(&*self.env, deadline).await;
        if let Some(scout) = &self.scout {
            scout.end();
        }
        match &self.way {
            Way::One(link) => link.wire().end(),
            Way::Cluster(cluster) => cluster.end(),
        }
    }
}
