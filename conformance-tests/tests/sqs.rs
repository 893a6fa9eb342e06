//! The contract on Amazon SQS, with standard queues and FIFO queues, each also behind the wrappers: a private
//! emulator for all checks of this process, or the one that `BANANAS_TEST_SQS_URL` names, and a namespace for each.
//!
//! The emulator is moto. It takes ten milliseconds for each message, so that fewer of them must do; what it is too
//! lenient for is left to `sqs_faults`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_broker_sqs::{QueueKind, SqsBroker, SqsConfig};
use bananas_core::{
    Broker, Count, Depth, Env, Error, ErrorKind, QueueName, QueueSpec, Result, TokioEnv,
};
use conformance_tests::fault::{Network, ServerProcess};
use conformance_tests::{Backend, BrokerHarness, Probe, Probing, Suite, Timing, Wrapped};
use tempfile::TempDir;

mod sqs_server;

/// Names an emulator to use instead of a private one; also tells a child process where that of its parent is.
const URL: &str = "BANANAS_TEST_SQS_URL";

/// The secret of every client, which no text may show.
const SECRET: &str = "secret-of-the-conformance-tests";

/// So many at once are enough for one emulator.
const AT_ONCE: usize = 2;

/// How clients come to the emulator that all checks share, or to another.
#[derive(Clone)]
struct Sqs {
    name: &'static str,
    kind: QueueKind,
    env: Arc<dyn Env>,
    /// Why there is no emulator, if so.
    address: std::result::Result<SocketAddr, String>,
    folder: Arc<TempDir>,
}

impl Sqs {
    /// A client's settings. A namespace is shortened, for names of queues are.
    fn config(&self, address: SocketAddr, namespace: &str) -> SqsConfig {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let short = namespace.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        let url = format!("sqs://KEY:{SECRET}@{address}?region=us-east-1");
        let mut config = SqsConfig::from_url(&url).unwrap();
        config.kind = self.kind;
        config.namespace = format!("t{short:016x}");
        // A busy emulator is slow, and what is lost on the way is waited for.
        config.timeout = Duration::from_secs(15);
        config.handover = Duration::from_secs(5);
        config
    }

    fn shared_address(&self) -> Result<SocketAddr> {
        let absent = |why: &String| Error::new(ErrorKind::Unavailable, why);
        self.address.as_ref().copied().map_err(absent)
    }
}

impl Backend for Sqs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }

    fn absent(&self) -> Option<String> {
        self.address.as_ref().err().cloned()
    }

    fn timing(&self) -> Timing {
        let mut timing = Timing::default();
        timing.most_messages = 60;
        timing
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        let address = self.address.as_ref().ok()?;
        Some(vec![(URL.to_owned(), format!("http://{address}"))])
    }
}

#[async_trait]
impl BrokerHarness for Sqs {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        self.open_at(self.shared_address()?, namespace).await
    }

    async fn open_with(
        &self,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Option<Arc<dyn Broker>>> {
        let config = self.config(self.shared_address()?, namespace);
        let broker = SqsBroker::open(config, env).await?;
        Ok(Some(broker))
    }

    fn network(&self) -> Option<Arc<dyn Network>> {
        Some(Arc::new(self.clone()))
    }

    fn probe(&self, namespace: &str) -> Option<Arc<dyn Probe>> {
        Some(Arc::new(Behind {
            sqs: self.clone(),
            namespace: namespace.to_owned(),
        }))
    }

    fn secret(&self) -> Option<String> {
        Some(SECRET.to_owned())
    }
}

#[async_trait]
impl Network for Sqs {
    fn address(&self) -> SocketAddr {
        self.shared_address().unwrap()
    }

    async fn open_at(&self, address: SocketAddr, namespace: &str) -> Result<Arc<dyn Broker>> {
        let config = self.config(address, namespace);
        let broker = SqsBroker::open(config, Arc::clone(&self.env)).await?;
        Ok(broker)
    }

    async fn start_server(&self) -> Result<ServerProcess> {
        sqs_server::start(&self.env, self.folder.path()).await
    }
}

/// Counts messages and makes queues with clients of its own.
struct Behind {
    sqs: Sqs,
    namespace: String,
}

#[async_trait]
impl Probe for Behind {
    fn offers(&self) -> &'static [Probing] {
        // No body on the server holds any bytes that one likes, so that none of them can be planted.
        &[Probing::Messages, Probing::Conflict]
    }

    async fn messages(&self, queue: &QueueName) -> Result<u64> {
        let broker = self.sqs.open(&self.namespace).await?;
        let depths = broker.admin().unwrap().depth(std::slice::from_ref(queue));
        let depths = depths.await?;
        let counts = |depth: &Depth| [depth.ready, depth.in_flight, depth.delayed, depth.dead];
        Ok(depths
            .iter()
            .flat_map(counts)
            .filter_map(Count::value)
            .sum())
    }

    async fn make_conflicting(&self, queue: &QueueName) -> Result<()> {
        let address = self.sqs.shared_address()?;
        let mut config = self.sqs.config(address, &self.namespace);
        config.max_bytes = 64 * 1024;
        let broker = SqsBroker::open(config, self.sqs.env()).await?;
        broker.ensure(&[QueueSpec::new(queue.clone())]).await
    }
}

/// The emulator that is named, or a private one, or why there is none.
fn server(
    suite: &Suite,
    env: &Arc<dyn Env>,
    folder: &TempDir,
) -> (
    std::result::Result<SocketAddr, String>,
    Option<ServerProcess>,
) {
    if let Ok(url) = std::env::var(URL) {
        let authority = url.trim_start_matches("http://").trim_end_matches('/');
        let address = authority.to_socket_addrs().unwrap().next().unwrap();
        return (Ok(address), None);
    }
    if sqs_server::program().is_none() {
        let why = format!("there is no moto_server in PATH, and {URL} names none");
        return (Err(why), None);
    }
    if std::env::args().any(|argument| argument == "--list") {
        // Nothing is going to be asked of it.
        return (Ok(SocketAddr::from(([127, 0, 0, 1], 9))), None);
    }
    let process = suite
        .runtime()
        .block_on(sqs_server::start(env, folder.path()));
    let process = process.unwrap();
    (Ok(process.address()), Some(process))
}

fn main() -> ExitCode {
    let suite = Suite::start().at_once(AT_ONCE);
    let env: Arc<dyn Env> = Arc::new(TokioEnv::on(suite.runtime().clone()));
    let folder = Arc::new(TempDir::new().unwrap());
    let (address, _process) = server(&suite, &env, &folder);
    let standard = Arc::new(Sqs {
        name: "sqs",
        kind: QueueKind::Standard,
        env,
        address,
        folder,
    });
    let mut fifo = Sqs::clone(&standard);
    fifo.name = "sqs-fifo";
    fifo.kind = QueueKind::Fifo;
    let fifo = Arc::new(fifo);
    let suite = suite.broker(&standard).broker(&fifo);
    let suite = suite.broker(&Wrapped::behind_all(&standard));
    suite.broker(&Wrapped::behind_all(&fifo)).run()
}
