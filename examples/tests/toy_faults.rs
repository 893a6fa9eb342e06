//! What the toy's client makes of a server that dies, freezes, or was never there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Broker, Consumer, ConsumerSpec, DeliveryCount, Env, ErrorKind, JobId, Publish, Published,
    QueueName, QueueSpec, RawMessage, Result, Settle, Settled, Settlement, Status, TokioEnv,
};
use conformance_tests::fault::{Proxy, Ready, ServerProcess, ServerSpec};
use examples::toy::{ToyBroker, ToyConfig};
use tempfile::TempDir;

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server of its own for each test.
struct Server {
    folder: TempDir,
    process: ServerProcess,
}

impl Server {
    async fn start() -> Self {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let folder = TempDir::new().unwrap();
        let spec = ServerSpec::new(env!("CARGO_BIN_EXE_toy-server"), folder.path())
            .arg("--data")
            .arg("{folder}")
            .arg("--port")
            .arg("{port}")
            .ready_when(Ready::Prints("ready".to_owned()));
        let process = ServerProcess::start(&env, spec).await.unwrap();
        Self { folder, process }
    }

    async fn restart(&mut self) {
        self.process.kill().await.unwrap();
        self.process.start_again().await.unwrap();
    }

    /// Adds to its log what a crash in the middle of a write leaves behind.
    fn tear_log(&self, tail: &[u8]) {
        let path = self.folder.path().join("toy.log");
        let mut log = OpenOptions::new().append(true).open(path).unwrap();
        log.write_all(tail).unwrap();
    }
}

struct Rig {
    env: Arc<dyn Env>,
    queue: QueueName,
    broker: ToyBroker,
}

impl Rig {
    async fn connect(address: SocketAddr, patience: Duration) -> Result<Self> {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let mut config = ToyConfig::new(address.to_string());
        config.patience = patience;
        let broker = ToyBroker::connect(config, &env).await?;
        let queue = QueueName::new("mail").unwrap();
        broker.ensure(&[QueueSpec::new(queue.clone())]).await?;
        Ok(Self { env, queue, broker })
    }

    async fn to(server: &Server) -> Self {
        Self::connect(server.process.address(), Duration::from_secs(5))
            .await
            .unwrap()
    }

    async fn publish(&self) -> (JobId, Result<Published>) {
        let id = self.env.job_id();
        let publish = Publish {
            queue: self.queue.clone(),
            message: RawMessage::new(id, "body".into()),
        };
        (id, self.broker.publish(vec![publish]).await.remove(0))
    }

    async fn confirmed(&self) -> JobId {
        let (id, published) = self.publish().await;
        published.unwrap();
        id
    }

    async fn consumer(&self, lease: Duration) -> Box<dyn Consumer> {
        let mut spec = ConsumerSpec::new(self.queue.clone());
        spec.lease = lease;
        self.broker.consume(spec).await.unwrap()
    }

    async fn settle(&self, receipt: &bananas_core::Receipt) -> Result<Settled> {
        let settle = Settle {
            receipt: receipt.clone(),
            settlement: Settlement::Ack,
        };
        self.broker.settle(vec![settle]).await.remove(0)
    }
}

#[tokio::test]
async fn what_was_confirmed_survives_the_kill_of_the_server_and_what_was_acked_is_gone() {
    let mut server = Server::start().await;
    let rig = Rig::to(&server).await;
    let mut published = HashSet::new();
    for _ in 0..20 {
        published.insert(rig.confirmed().await);
    }
    let mut consumer = rig.consumer(DEADLINE).await;
    let [acked, held] = consumer
        .reserve(2, DEADLINE)
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(rig.settle(&acked.receipt).await.unwrap(), Settled::Done);
    server.restart().await;
    let rest = consumer.reserve(100, DEADLINE).await.unwrap();
    let rest: HashSet<JobId> = rest.iter().filter_map(|d| d.message.id).collect();
    for taken in [&acked, &held] {
        assert!(published.remove(&taken.message.id.unwrap()));
    }
    assert_eq!(rest, published, "the lease of the other one holds");
    assert_eq!(rig.settle(&held.receipt).await.unwrap(), Settled::Done);
}

#[tokio::test]
async fn a_consumer_that_waits_goes_on_when_the_server_is_back() {
    let mut server = Server::start().await;
    let rig = Rig::to(&server).await;
    let mut consumer = rig.consumer(DEADLINE).await;
    let other = async {
        rig.env.sleep(Duration::from_millis(200)).await;
        server.restart().await;
        let publish = async || rig.publish().await;
        loop {
            if let (id, Ok(_)) = publish().await {
                return id;
            }
        }
    };
    let (taken, id) = tokio::join!(consumer.reserve(1, DEADLINE), other);
    assert_eq!(taken.unwrap().remove(0).message.id, Some(id));
}

#[tokio::test]
async fn the_torn_end_of_a_log_is_cut_and_what_comes_before_stays() {
    let mut server = Server::start().await;
    let id = Rig::to(&server).await.confirmed().await;
    for tail in [&b"0123456789abcdef {\"torn"[..], b"\xff\0", b"\n"] {
        server.process.kill().await.unwrap();
        server.tear_log(tail);
        server.process.start_again().await.unwrap();
    }
    let rig = Rig::to(&server).await;
    let second = rig.confirmed().await;
    server.restart().await;
    let mut consumer = rig.consumer(DEADLINE).await;
    let taken = consumer.reserve(10, DEADLINE).await.unwrap();
    let ids: Vec<_> = taken.iter().filter_map(|d| d.message.id).collect();
    assert_eq!(ids, [id, second]);
}

#[tokio::test]
async fn without_a_server_an_operation_is_surely_not_applied() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = server.local_addr().unwrap();
    drop(server);
    let error = Rig::connect(address, Duration::from_millis(300))
        .await
        .err()
        .unwrap();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::Unreachable, Status::NotApplied)
    );
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_frozen_server_costs_no_more_than_the_patience_and_the_client_recovers() {
    let server = Server::start().await;
    let patience = Duration::from_millis(500);
    let rig = Rig::connect(server.process.address(), patience)
        .await
        .unwrap();
    let mut consumer = rig.consumer(DEADLINE).await;
    server.process.pause().unwrap();
    let (first, sent) = rig.publish().await;
    let sent = sent.unwrap_err();
    assert_eq!(
        (sent.kind(), sent.status()),
        (ErrorKind::Timeout, Status::MayBeApplied)
    );
    // The silent connection was given up, and no new one is answered.
    let unsent = rig.publish().await.1.unwrap_err();
    assert_eq!(
        (unsent.kind(), unsent.status()),
        (ErrorKind::Unreachable, Status::NotApplied)
    );
    let waited = rig
        .env
        .within(DEADLINE, consumer.reserve(1, Duration::ZERO))
        .await;
    assert!(waited.unwrap().is_err());
    server.process.resume().unwrap();
    let confirmed = loop {
        if let (id, Ok(_)) = rig.publish().await {
            break id;
        }
    };
    let mut came = Vec::new();
    while came.last() != Some(&confirmed) {
        let taken = consumer.reserve(1, DEADLINE).await.unwrap();
        came.extend(taken.iter().filter_map(|d| d.message.id));
    }
    came.retain(|id| *id != first);
    assert!(came.contains(&confirmed));
}

#[tokio::test]
async fn a_lost_answer_to_a_poll_comes_again_as_the_same_delivery() {
    let server = Server::start().await;
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let proxy = Proxy::start(&env, server.process.address()).unwrap();
    let rig = Rig::connect(proxy.address(), Duration::from_secs(5));
    let rig = rig.await.unwrap();
    let id = rig.confirmed().await;
    let mut consumer = rig.consumer(DEADLINE).await;
    proxy.drop_reply_after(b"Poll");
    let delivery = consumer.reserve(1, DEADLINE).await.unwrap().remove(0);
    assert_eq!(proxy.counts().faults, 1, "the answer was lost");
    assert_eq!(
        (delivery.message.id, delivery.count),
        (Some(id), DeliveryCount::Exact(1))
    );
    assert_eq!(rig.settle(&delivery.receipt).await.unwrap(), Settled::Done);
}

#[tokio::test]
async fn a_poll_that_is_given_up_while_the_server_dies_loses_no_delivery() {
    let mut server = Server::start().await;
    let rig = Rig::to(&server).await;
    let mut consumer = rig.consumer(DEADLINE).await;
    // The server takes the message for a poll, and mostly dies before the answer is read.
    let id = rig.confirmed().await;
    let mut taken = Vec::new();
    for _ in 0..20 {
        if taken.is_empty() {
            let reserve = consumer.reserve(1, DEADLINE);
            let reserved = rig.env.within(Duration::from_micros(300), reserve).await;
            taken = reserved.map_or(Vec::new(), Result::unwrap);
        }
        server.restart().await;
    }
    if taken.is_empty() {
        taken = consumer.reserve(1, DEADLINE).await.unwrap();
    }
    let delivery = taken.remove(0);
    assert_eq!(
        (delivery.message.id, delivery.count),
        (Some(id), DeliveryCount::Exact(1))
    );
    assert_eq!(rig.settle(&delivery.receipt).await.unwrap(), Settled::Done);
}
