//! The contract on RabbitMQ, with quorum queues and with classic ones: a private server for all checks of this
//! process, or the one that `BANANAS_TEST_AMQP_URL` names, and a namespace for each. And the ledger on quorum
//! queues over a store in SQLite, and over one in memory; and either kind behind the wrappers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amqp_probe::AmqpProbe;
use async_trait::async_trait;
use bananas_broker_amqp::{AmqpBroker, AmqpConfig, QueueType};
use bananas_broker_memory::MemoryEngine;
use bananas_broker_sqlite::{SqliteConfig, SqliteEngine};
use bananas_core::{
    Broker, Env, Error, ErrorKind, Ledger, Owner, Result, SplitLedger, SplitOptions, StateStore,
    TokioEnv,
};
use conformance_tests::fault::{Network, ServerProcess, ServerSpec};
use conformance_tests::{Backend, BrokerHarness, LedgerHarness, Probe, Suite, Timing, Wrapped};
use tempfile::TempDir;

mod amqp_probe;

/// Names a server to use instead of a private one; also tells a child process where that of its parent is.
const URL: &str = "BANANAS_TEST_AMQP_URL";

/// Tells a child process where the SQLite stores of its parent are.
const FOLDER: &str = "BANANAS_CONFORMANCE_FOLDER";

/// Who we are on a private server.
const USER: &str = "conformance";
const PASSWORD: &str = "shown-nowhere";

/// How clients come to the server that all checks share, or to another.
#[derive(Clone)]
struct Amqp {
    name: &'static str,
    queue_type: QueueType,
    env: Arc<dyn Env>,
    /// Why there is no server, if so.
    server: std::result::Result<AmqpConfig, String>,
    folder: Arc<TempDir>,
}

impl Amqp {
    /// Patient, since a busy machine and its disk may make every check wait.
    fn config(&self) -> Result<AmqpConfig> {
        let absent = |why: &str| Error::new(ErrorKind::Unavailable, why);
        let mut config = self.server.clone().map_err(|why| absent(&why))?;
        config.timeout = Duration::from_secs(30);
        Ok(config)
    }

    async fn open_as(
        &self,
        mut config: AmqpConfig,
        namespace: &str,
        env: &Arc<dyn Env>,
    ) -> Result<Arc<dyn Broker>> {
        config.namespace = namespace.to_owned();
        config.queue_type = self.queue_type;
        Ok(Arc::new(AmqpBroker::open(config, Arc::clone(env)).await?))
    }
}

/// Starts a node with a port mapper of its own, which Erlang would else leave behind.
const SCRIPT: &str = r#"set -e
mkdir -p {folder}/mnesia {folder}/log
export HOME={folder} RABBITMQ_NODENAME=conformance-{port}@localhost
export RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT={port}
export RABBITMQ_DIST_PORT=$(({port} - 12000)) ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$(({port} - 6000))
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
export RABBITMQ_MNESIA_BASE={folder}/mnesia RABBITMQ_LOG_BASE={folder}/log RABBITMQ_PID_FILE={folder}/pid
export RABBITMQ_ENABLED_PLUGINS_FILE={folder}/plugins RABBITMQ_CONFIG_FILE={folder}/rabbitmq
export RABBITMQ_CONF_ENV_FILE=/dev/null
echo '[].' > {folder}/plugins
cat > {folder}/rabbitmq.conf <<END
listeners.tcp.1 = 127.0.0.1:{port}
default_user = $USER_NAME
default_pass = $USER_PASSWORD
vm_memory_high_watermark.absolute = 3GB
disk_free_limit.absolute = 500MB
log.console = true
log.console.level = error
END
epmd -port $ERL_EPMD_PORT -address 127.0.0.1 &
exec "$RABBITMQ_SERVER"
"#;

/// Starts a server with a folder of its own within this one.
async fn start_server(
    env: &Arc<dyn Env>,
    folder: &TempDir,
    (user, password): (&str, &str),
) -> Result<ServerProcess> {
    let Some(program) = program() else {
        return Err(Error::new(ErrorKind::Unavailable, "no rabbitmq-server"));
    };
    let own = folder.path().join(env.random().to_string());
    let spec = ServerSpec::new("sh", own)
        .arg("-c")
        .arg(SCRIPT)
        .variable("RABBITMQ_SERVER", program.to_string_lossy())
        .variable("USER_NAME", user)
        .variable("USER_PASSWORD", password)
        .deadline(Duration::from_mins(4));
    ServerProcess::start(env, spec).await
}

/// The start script. Debian's one on the path insists on the user `rabbitmq` and on its folders, so it is the one
/// behind it.
fn program() -> Option<PathBuf> {
    let behind = std::fs::read_dir("/usr/lib/rabbitmq/lib");
    let behind = behind.into_iter().flatten().filter_map(|version| {
        let path = version.ok()?.path().join("sbin/rabbitmq-server");
        path.is_file().then_some(path)
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("rabbitmq-server"));
    behind
        .max()
        .or_else(|| on_path.into_iter().find(|it| Path::is_file(it)))
}

impl Backend for Amqp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }

    fn absent(&self) -> Option<String> {
        self.server.as_ref().err().cloned()
    }

    fn timing(&self) -> Timing {
        let mut timing = Timing::default();
        timing.recovery = Duration::from_secs(30);
        timing
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        let config = self.server.as_ref().ok()?;
        let url = std::env::var(URL).ok();
        let AmqpConfig { host, port, .. } = config;
        let own = || format!("amqp://{USER}:{PASSWORD}@{host}:{port}/%2f");
        Some(vec![(URL.to_owned(), url.unwrap_or_else(own))])
    }
}

#[async_trait]
impl BrokerHarness for Amqp {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        self.open_as(self.config()?, namespace, &self.env).await
    }

    async fn open_with(
        &self,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Option<Arc<dyn Broker>>> {
        self.open_as(self.config()?, namespace, &env)
            .await
            .map(Some)
    }

    fn network(&self) -> Option<Arc<dyn Network>> {
        Some(Arc::new(self.clone()))
    }

    fn probe(&self, namespace: &str) -> Option<Arc<dyn Probe>> {
        let config = self.server.as_ref().ok()?;
        Some(Arc::new(AmqpProbe {
            address: self.address(),
            username: config.username.clone(),
            password: config.password.clone(),
            namespace: namespace.to_owned(),
        }))
    }

    fn secret(&self) -> Option<String> {
        let config = self.server.as_ref().ok()?;
        // The default password is the name as well, which is no secret.
        (config.password != config.username).then(|| config.password.clone())
    }
}

#[async_trait]
impl Network for Amqp {
    fn address(&self) -> SocketAddr {
        let config = self.server.as_ref().unwrap();
        let address = (config.host.as_str(), config.port);
        address.to_socket_addrs().unwrap().next().unwrap()
    }

    async fn open_at(&self, address: SocketAddr, namespace: &str) -> Result<Arc<dyn Broker>> {
        let mut config = self.config()?;
        config.host = address.ip().to_string();
        config.port = address.port();
        config.timeout = Duration::from_secs(5);
        self.open_as(config, namespace, &self.env).await
    }

    async fn start_server(&self) -> Result<ServerProcess> {
        // Clients know it by its address alone, and so show it what they show the one that all share.
        let AmqpConfig {
            username, password, ..
        } = self.config()?;
        start_server(&self.env, &self.folder, (&username, &password)).await
    }
}

/// Where the store beside the broker is.
enum Place {
    Memory(Mutex<HashMap<String, Arc<MemoryEngine>>>),
    Sqlite(PathBuf),
}

/// RabbitMQ as the broker, and a store beside it.
struct Split {
    name: &'static str,
    amqp: Arc<Amqp>,
    place: Place,
}

impl Split {
    fn new(name: &'static str, amqp: &Arc<Amqp>, place: Place) -> Arc<Self> {
        Arc::new(Self {
            name,
            amqp: Arc::clone(amqp),
            place,
        })
    }

    async fn store(&self, namespace: &str) -> Result<Arc<dyn StateStore>> {
        match &self.place {
            Place::Memory(engines) => {
                let mut engines = engines.lock().unwrap();
                let new = || MemoryEngine::new(self.env());
                let engine = engines.entry(namespace.to_owned()).or_insert_with(new);
                Ok(engine.store())
            }
            Place::Sqlite(folder) => {
                let mut config = SqliteConfig::default();
                config.path = folder.join(namespace).with_extension("db");
                let engine = SqliteEngine::open(config, self.env()).await?;
                Ok(engine.store())
            }
        }
    }
}

impl Backend for Split {
    fn name(&self) -> &str {
        self.name
    }

    fn env(&self) -> Arc<dyn Env> {
        self.amqp.env()
    }

    fn absent(&self) -> Option<String> {
        self.amqp.absent()
    }

    fn timing(&self) -> Timing {
        self.amqp.timing()
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        let mut variables = self.amqp.child()?;
        let Place::Sqlite(folder) = &self.place else {
            return None;
        };
        let folder = folder.to_string_lossy().into_owned();
        variables.push((FOLDER.to_owned(), folder));
        Some(variables)
    }
}

#[async_trait]
impl LedgerHarness for Split {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>> {
        let broker = self.amqp.open(namespace).await?;
        let store = self.store(namespace).await?;
        let process = Owner {
            id: self.env().owner_id(),
            host: "conformance".to_owned(),
            boot_id: String::new(),
            pid: std::process::id(),
            pid_started: 0,
        };
        let mut options = SplitOptions::new(process, |_| false);
        options.open_for = Duration::from_secs(2);
        let ledger = SplitLedger::new(broker, store, self.env(), options);
        Ok(Arc::new(ledger))
    }

    async fn broker_behind(&self, namespace: &str) -> Result<Option<Arc<dyn Broker>>> {
        self.amqp.open(namespace).await.map(Some)
    }
}

/// The server that is named, or a private one, or why there is none.
fn server(
    suite: &Suite,
    env: &Arc<dyn Env>,
    folder: &TempDir,
) -> (
    std::result::Result<AmqpConfig, String>,
    Option<ServerProcess>,
) {
    if let Ok(url) = std::env::var(URL) {
        return (Ok(AmqpConfig::from_url(&url).unwrap()), None);
    }
    if std::env::var_os("NEXTEST").is_some() {
        // Each check is a process there, and a server takes many seconds to start.
        let why = format!("{URL} names no server; `cargo xtask brokers up rabbitmq` starts one");
        return (Err(why), None);
    }
    if program().is_none() {
        let why = format!("there is no rabbitmq-server here, and {URL} names none");
        return (Err(why), None);
    }
    let starting = start_server(env, folder, (USER, PASSWORD));
    let process = suite.runtime().block_on(starting).unwrap();
    let mut config = AmqpConfig::default();
    config.host = process.address().ip().to_string();
    config.port = process.address().port();
    USER.clone_into(&mut config.username);
    PASSWORD.clone_into(&mut config.password);
    (Ok(config), Some(process))
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let env: Arc<dyn Env> = Arc::new(TokioEnv::on(suite.runtime().clone()));
    let folder = Arc::new(TempDir::new().unwrap());
    let (server, _process) = server(&suite, &env, &folder);
    let of = |name, queue_type| {
        Arc::new(Amqp {
            name,
            queue_type,
            env: Arc::clone(&env),
            server: server.clone(),
            folder: Arc::clone(&folder),
        })
    };
    let quorum = of("amqp-quorum", QueueType::Quorum);
    let classic = of("amqp-classic", QueueType::Classic);
    let own = TempDir::new().unwrap();
    let of_parent = std::env::var_os(FOLDER).map(PathBuf::from);
    let stores = of_parent.unwrap_or_else(|| own.path().to_owned());
    let memory = Place::Memory(Mutex::default());
    let memory = Split::new("amqp-quorum+memory", &quorum, memory);
    let sqlite = Split::new("amqp-quorum+sqlite", &quorum, Place::Sqlite(stores));
    let suite = suite.broker(&quorum).broker(&classic);
    let suite = suite.ledger(&memory).ledger(&sqlite);
    let suite = suite.broker(&Wrapped::behind_all(&quorum));
    suite.broker(&Wrapped::behind_all(&classic)).run()
}
