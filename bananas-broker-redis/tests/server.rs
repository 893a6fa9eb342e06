//! What is true of a Redis server alone: its settings, its own errors, its forgetfulness about scripts, and how
//! little a client asks of it that only waits.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may"
)]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{
    Broker, Consumer, ConsumerSpec, DeliveryCount, Durability, Env, ErrorKind, Publish, Published,
    QueueName, QueueSpec, RawMessage, Result, Settle, Settled, Settlement, Status, TokioEnv,
};
use conformance_tests::fault::{Direction, Proxy, ServerProcess, ServerSpec};
use tempfile::TempDir;

mod redis_server;

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server of its own for each test.
struct Server {
    env: Arc<dyn Env>,
    process: ServerProcess,
    _folder: TempDir,
}

impl Server {
    /// `None` where there is no redis-server, unless one must be.
    async fn start(settings: &str) -> Option<Self> {
        if redis_server::is_missing() {
            return None;
        }
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let folder = TempDir::new().unwrap();
        let always = "--port {port} --bind 127.0.0.1 --dir {folder}".split(' ');
        let words = always.chain(settings.split(' ').filter(|word| !word.is_empty()));
        let spec = words.fold(
            ServerSpec::new("redis-server", folder.path()),
            ServerSpec::arg,
        );
        let process = ServerProcess::start(&env, spec.arg("--save").arg(""))
            .await
            .unwrap();
        Some(Self {
            env,
            process,
            _folder: folder,
        })
    }

    fn url(&self, credentials: &str) -> String {
        url_of(self.process.address(), credentials)
    }

    async fn rig(&self) -> Rig {
        Rig::open(&self.env, &self.url("")).await.unwrap()
    }

    /// What `redis-cli` answers.
    fn cli(&self, words: &str) -> String {
        let port = self.process.address().port().to_string();
        let output = Command::new("redis-cli")
            .args(["-p", &port])
            .args(words.split(' '))
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    /// Waits until so many clients wait for a key.
    async fn until_waiting(&self, clients: u64) {
        let line = format!("blocked_clients:{clients}\r");
        let until = self.env.monotonic() + DEADLINE;
        while !self.cli("INFO clients").contains(&line) {
            assert!(self.env.monotonic() < until, "not {clients} clients wait");
            self.env.sleep(Duration::from_millis(10)).await;
        }
    }

    /// How many commands the server has run, but for those that ask.
    fn commands(&self) -> u64 {
        let line = "total_commands_processed:";
        let info = self.cli("INFO stats");
        let count = info.lines().find_map(|it| it.strip_prefix(line)).unwrap();
        count.trim().parse().unwrap()
    }
}

fn url_of(address: SocketAddr, credentials: &str) -> String {
    format!("redis://{credentials}{address}")
}

struct Rig {
    env: Arc<dyn Env>,
    queue: QueueName,
    broker: Arc<dyn Broker>,
}

impl Rig {
    async fn open(env: &Arc<dyn Env>, url: &str) -> Result<Self> {
        let config = RedisConfig::from_url(url)?;
        let broker = RedisEngine::open(config, Arc::clone(env)).await?.broker();
        let queue = QueueName::new("mail")?;
        broker.ensure(&[QueueSpec::new(queue.clone())]).await?;
        Ok(Self {
            env: Arc::clone(env),
            queue,
            broker,
        })
    }

    async fn publish(&self) -> Result<Published> {
        let publish = Publish {
            queue: self.queue.clone(),
            message: RawMessage::new(self.env.job_id(), vec![b'x'; 1_000].into()),
        };
        self.broker.publish(vec![publish]).await.remove(0)
    }

    async fn consumer(&self) -> Box<dyn Consumer> {
        let mut spec = ConsumerSpec::new(self.queue.clone());
        spec.lease = DEADLINE * 10;
        self.broker.consume(spec).await.unwrap()
    }

    async fn ack(&self, receipt: &bananas_core::Receipt) -> Result<Settled> {
        let settle = Settle {
            receipt: receipt.clone(),
            settlement: Settlement::Ack,
        };
        self.broker.settle(vec![settle]).await.remove(0)
    }
}

#[tokio::test]
async fn a_wrong_password_is_an_auth_error_that_does_not_show_it() {
    let Some(server) = Server::start("--requirepass hidden-one").await else {
        return;
    };
    for credentials in [":hidden-two@", ""] {
        let url = format!("{}?timeout_ms=500", server.url(credentials));
        let error = Rig::open(&server.env, &url).await.err().unwrap();
        assert_eq!(
            (error.kind(), error.status()),
            (ErrorKind::Auth, Status::Permanent),
            "{error}"
        );
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
    let rig = Rig::open(&server.env, &server.url(":hidden-one@"))
        .await
        .unwrap();
    assert!(
        rig.broker.info().url.contains(":***@"),
        "{:?}",
        rig.broker.info()
    );
    rig.publish().await.unwrap();
}

#[tokio::test]
async fn the_settings_of_the_server_decide_the_class_and_eviction_is_refused() {
    let Some(server) = Server::start("--maxmemory-policy allkeys-lru").await else {
        return;
    };
    let error = Rig::open(&server.env, &server.url("")).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("allkeys-lru"), "{error}");
    let accepted = format!("{}?eviction=accepted", server.url(""));
    Rig::open(&server.env, &accepted).await.unwrap();
    server.cli("CONFIG SET maxmemory-policy noeviction");
    for (setting, class) in [
        ("appendonly no", Durability::D1),
        ("appendonly yes", Durability::D2),
        ("appendfsync always", Durability::D3),
    ] {
        server.cli(&format!("CONFIG SET {setting}"));
        let rig = server.rig().await;
        assert_eq!(
            rig.broker.info().capabilities.durability,
            class,
            "{setting}"
        );
    }
}

#[tokio::test]
async fn a_replica_and_a_full_server_refuse_and_nothing_was_applied() {
    let Some(server) = Server::start("").await else {
        return;
    };
    let rig = server.rig().await;
    let mut consumer = rig.consumer().await;
    rig.publish().await.unwrap();
    let held = consumer.reserve(1, DEADLINE).await.unwrap().remove(0);
    server.cli("REPLICAOF 127.0.0.1 1");
    let error = rig.publish().await.unwrap_err();
    assert_eq!(error.status(), Status::NotApplied, "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.cli("REPLICAOF NO ONE");
    server.cli("CONFIG SET maxmemory 1");
    let full = rig.env.within(DEADLINE, async {
        loop {
            match rig.publish().await.unwrap_err() {
                error if error.kind() == ErrorKind::Full => return error,
                error => assert!(error.is_retryable(), "{error}"),
            }
        }
    });
    let full = full.await.unwrap();
    assert_eq!(full.status(), Status::NotApplied, "{full}");
    // What makes room is not refused.
    assert_eq!(rig.ack(&held.receipt).await.unwrap(), Settled::Done);
    server.cli("CONFIG SET maxmemory 0");
    rig.publish().await.unwrap();
    let depth = rig
        .broker
        .admin()
        .unwrap()
        .depth(std::slice::from_ref(&rig.queue))
        .await
        .unwrap();
    assert_eq!(depth[0].ready.value(), Some(1), "{depth:?}");
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_learns_them_again() {
    let Some(server) = Server::start("").await else {
        return;
    };
    let rig = server.rig().await;
    let mut consumer = rig.consumer().await;
    for _ in 0..3 {
        server.cli("SCRIPT FLUSH");
        rig.publish().await.unwrap();
        server.cli("SCRIPT FLUSH");
        let taken = consumer.reserve(10, DEADLINE).await.unwrap();
        assert_eq!(taken.len(), 1);
        server.cli("SCRIPT FLUSH");
        assert_eq!(rig.ack(&taken[0].receipt).await.unwrap(), Settled::Done);
    }
}

#[tokio::test]
async fn who_waits_asks_the_server_almost_nothing_and_wakes_at_once() {
    let Some(server) = Server::start("").await else {
        return;
    };
    let (rig, other) = (server.rig().await, server.rig().await);
    let mut consumer = rig.consumer().await;
    let start = rig.env.monotonic();
    let waiting = consumer.reserve(1, DEADLINE);
    let publish = async {
        server.until_waiting(1).await;
        let before = server.commands();
        rig.env.sleep(Duration::from_secs(4)).await;
        let asked = server.commands() - before;
        other.publish().await.unwrap();
        (asked, rig.env.monotonic())
    };
    let (taken, (asked, published)) = tokio::join!(waiting, publish);
    assert_eq!(taken.unwrap().len(), 1);
    let late = rig.env.monotonic().since(published);
    assert!(late < Duration::from_secs(3), "it woke {late:?} late");
    // A look is a script of a few commands; two of them and a wait that begins anew fit in 4 s.
    let waited = rig.env.monotonic().since(start);
    assert!(asked < 40, "{asked} commands in 4 s of {waited:?}");
}

/// Another queue for whoever wants to wait for two.
async fn consumer_queue(rig: &Rig) -> QueueName {
    let queue = QueueName::new("other").unwrap();
    rig.broker
        .ensure(&[QueueSpec::new(queue.clone())])
        .await
        .unwrap();
    queue
}

#[tokio::test]
async fn one_connection_waits_for_queues_that_are_added_while_it_waits() {
    let Some(server) = Server::start("").await else {
        return;
    };
    let (rig, other) = (server.rig().await, server.rig().await);
    let mut first = rig.consumer().await;
    let queue = consumer_queue(&rig).await;
    let mut spec = ConsumerSpec::new(queue.clone());
    spec.lease = DEADLINE;
    let mut second = rig.broker.consume(spec).await.unwrap();
    let later = async {
        // The second is added to the wait of the first.
        server.until_waiting(1).await;
        second.reserve(1, DEADLINE).await.unwrap().len()
    };
    let publish = async {
        rig.env.sleep(Duration::from_millis(600)).await;
        let message = RawMessage::new(rig.env.job_id(), "body".into());
        let began = rig.env.monotonic();
        other
            .broker
            .publish(vec![Publish { queue, message }])
            .await
            .remove(0)
            .unwrap();
        other.publish().await.unwrap();
        began
    };
    let (one, two, began) = tokio::join!(first.reserve(1, DEADLINE), later, publish);
    assert_eq!((one.unwrap().len(), two), (1, 1));
    let took = rig.env.monotonic().since(began);
    assert!(took < Duration::from_secs(3), "they woke {took:?} late");
}

#[tokio::test]
async fn what_a_lost_answer_had_taken_comes_back_long_before_its_lease_ends() {
    let Some(server) = Server::start("").await else {
        return;
    };
    let rig = server.rig().await;
    let proxy = Proxy::start(&server.env, server.process.address()).unwrap();
    let url = format!("{}?timeout_ms=1000", url_of(proxy.address(), ""));
    let cut = Rig::open(&server.env, &url).await.unwrap();
    let mut taking = cut.consumer().await;
    rig.publish().await.unwrap();
    proxy.blackhole(Direction::ToClient);
    // The server takes the message for it, and it does not hear so.
    let error = taking.reserve(1, Duration::ZERO).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let mut other = rig.consumer().await;
    assert!(other.reserve(1, Duration::ZERO).await.unwrap().is_empty());
    proxy.heal().unwrap();
    let back = other.reserve(1, DEADLINE).await.unwrap().remove(0);
    assert_eq!(back.count, DeliveryCount::Exact(1), "nobody had seen it");
}

/// So long a timeout that nothing here is noticed by it.
const PATIENT: &str = "?timeout_ms=600000";

#[tokio::test]
async fn a_connection_that_went_silent_is_replaced_before_its_calls_time_out() {
    let Some(server) = Server::start("").await else {
        return;
    };
    let proxy = Proxy::start(&server.env, server.process.address()).unwrap();
    let url = format!("{}{PATIENT}", url_of(proxy.address(), ""));
    let rig = Rig::open(&server.env, &url).await.unwrap();
    rig.publish().await.unwrap();
    proxy.strand();
    let doubtful = server.env.within(DEADLINE, rig.publish()).await.unwrap();
    assert_eq!(doubtful.unwrap_err().status(), Status::MayBeApplied);
    let published = server.env.within(DEADLINE, rig.publish()).await.unwrap();
    published.unwrap();
}

#[tokio::test]
async fn a_consumer_whose_connections_went_silent_while_it_waited_goes_on() {
    let Some(server) = Server::start("").await else {
        return;
    };
    let proxy = Proxy::start(&server.env, server.process.address()).unwrap();
    let url = format!("{}{PATIENT}", url_of(proxy.address(), ""));
    let silent = Rig::open(&server.env, &url).await.unwrap();
    let mut consumer = silent.consumer().await;
    let none = consumer.reserve(1, Duration::from_millis(50)).await;
    assert!(none.unwrap().is_empty());
    proxy.strand();
    let other = server.rig().await;
    let publish = async {
        server.env.sleep(Duration::from_millis(50)).await;
        other.publish().await.unwrap()
    };
    let reserve = server.env.within(DEADLINE, consumer.reserve(1, DEADLINE));
    let (taken, published) = tokio::join!(reserve, publish);
    let taken = taken.unwrap().unwrap();
    assert_eq!(taken[0].message.id, published.id);
}

#[tokio::test]
async fn a_server_that_stands_still_for_a_while_costs_no_call() {
    let Some(server) = Server::start("").await else {
        return;
    };
    let url = format!("{}{PATIENT}", server.url(""));
    let rig = Rig::open(&server.env, &url).await.unwrap();
    rig.publish().await.unwrap();
    server.process.pause().unwrap();
    let resume = async {
        server.env.sleep(Duration::from_millis(1_200)).await;
        server.process.resume().unwrap();
    };
    let (published, ()) = tokio::join!(rig.publish(), resume);
    published.unwrap();
}
