//! What is true of a cluster alone: slots that move, masters that die, and waits in several slots at once.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{
    Broker, Consumer, ConsumerSpec, Env, ErrorKind, JobId, Publish, QueueName, QueueSpec,
    RawMessage, Result, Settle, Settled, Settlement, Status, TokioEnv,
};
use redis_cluster::{DEADLINE, ServerCluster};

#[allow(dead_code, reason = "the suite asks whether there is a server")]
mod redis_cluster;
mod redis_server;

struct Rig {
    env: Arc<dyn Env>,
    cluster: ServerCluster,
    broker: Arc<dyn Broker>,
}

impl Rig {
    /// `None` where there is no redis-server, unless one must be.
    async fn start(replicas: usize) -> Option<Self> {
        if redis_server::is_missing() {
            return None;
        }
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let cluster = ServerCluster::start(&env, replicas).await.unwrap();
        // One node is enough to find all others.
        let url = format!("redis://{}", cluster.nodes[1].address());
        let config = RedisConfig::from_url(&url).unwrap();
        let engine = RedisEngine::open(config, Arc::clone(&env)).await.unwrap();
        Some(Self {
            broker: engine.broker(),
            env,
            cluster,
        })
    }

    /// A queue in the slots of this node.
    async fn queue_on(&self, node: usize) -> QueueName {
        let slots = 5_461 * node..5_461 * (node + 1);
        for number in 0.. {
            let name = format!("q{number}");
            let slot = self.slot(&name);
            if slots.contains(&slot) {
                let queue = QueueName::new(&name).unwrap();
                let spec = QueueSpec::new(queue.clone());
                self.broker.ensure(&[spec]).await.unwrap();
                return queue;
            }
        }
        unreachable!()
    }

    fn slot(&self, queue: &str) -> usize {
        let ask = format!("CLUSTER KEYSLOT {{bananas:{queue}}}:wake");
        self.cluster.cli(0, &ask).parse().unwrap()
    }

    async fn publish(&self, queue: &QueueName) -> Result<JobId> {
        let id = self.env.job_id();
        let publish = Publish {
            queue: queue.clone(),
            message: RawMessage::new(id, "body".into()),
        };
        self.broker.publish(vec![publish]).await.remove(0)?;
        Ok(id)
    }

    async fn consumer(&self, queue: &QueueName) -> Box<dyn Consumer> {
        let mut spec = ConsumerSpec::new(queue.clone());
        spec.lease = DEADLINE * 10;
        self.broker.consume(spec).await.unwrap()
    }

    /// Takes and acknowledges so many messages; how often each came.
    async fn take(&self, consumer: &mut Box<dyn Consumer>, count: usize) -> BTreeMap<JobId, u32> {
        let mut seen = BTreeMap::new();
        let until = self.env.monotonic() + DEADLINE;
        while seen.len() < count {
            assert!(
                self.env.monotonic() < until,
                "{} of {count} came",
                seen.len()
            );
            let taken = match consumer.reserve(10, DEADLINE).await {
                Ok(taken) => taken,
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    continue;
                }
            };
            for delivery in taken {
                *seen.entry(delivery.message.id.unwrap()).or_default() += 1;
                self.ack(&delivery.receipt).await;
            }
        }
        seen
    }

    async fn ack(&self, receipt: &bananas_core::Receipt) {
        let until = self.env.monotonic() + DEADLINE;
        loop {
            let settle = Settle {
                receipt: receipt.clone(),
                settlement: Settlement::Ack,
            };
            match self.broker.settle(vec![settle]).await.remove(0) {
                Ok(settled) => {
                    assert!(matches!(settled, Settled::Done | Settled::Already));
                    return;
                }
                Err(error) => assert!(
                    error.is_retryable() && self.env.monotonic() < until,
                    "{error}"
                ),
            }
        }
    }

    /// Moves the slot of a queue from one node to another, as a tool for clusters does.
    async fn reshard(&self, queue: &QueueName, from: usize, to: usize) {
        let cluster = &self.cluster;
        let slot = self.slot(queue.as_str());
        let (source, target) = (cluster.id(from), cluster.id(to));
        cluster.cli(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {source}"));
        cluster.cli(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {target}"));
        let port = cluster.nodes[to].address().port();
        loop {
            let keys = cluster.cli(from, &format!("CLUSTER GETKEYSINSLOT {slot} 1"));
            if keys.is_empty() {
                break;
            }
            cluster.cli(from, &format!("MIGRATE 127.0.0.1 {port} {keys} 0 5000"));
            self.env.sleep(Duration::from_millis(20)).await;
        }
        for node in [to, from] {
            cluster.cli(node, &format!("CLUSTER SETSLOT {slot} NODE {target}"));
        }
    }
}

#[tokio::test]
async fn a_slot_that_moves_under_load_loses_nothing_and_repeats_nothing() {
    let Some(rig) = Rig::start(0).await else {
        return;
    };
    let queue = rig.queue_on(0).await;
    let mut consumer = rig.consumer(&queue).await;
    let publish = async {
        let mut published = Vec::new();
        for _ in 0..300 {
            published.push(rig.publish(&queue).await.unwrap());
            rig.env.sleep(Duration::from_millis(3)).await;
        }
        published
    };
    let reshard = async {
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            rig.env.sleep(Duration::from_millis(100)).await;
            rig.reshard(&queue, from, to).await;
        }
    };
    let (mut published, (), seen) = tokio::join!(publish, reshard, rig.take(&mut consumer, 300));
    published.sort();
    assert!(seen.keys().eq(&published));
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
}

#[tokio::test]
async fn a_slot_that_moved_while_nobody_asked_is_found() {
    let Some(rig) = Rig::start(0).await else {
        return;
    };
    let queue = rig.queue_on(0).await;
    rig.publish(&queue).await.unwrap();
    rig.reshard(&queue, 0, 1).await;
    rig.publish(&queue).await.unwrap();
    let mut consumer = rig.consumer(&queue).await;
    assert_eq!(rig.take(&mut consumer, 2).await.len(), 2);
}

#[tokio::test]
async fn who_waits_for_a_slot_that_moves_is_woken_where_it_went() {
    let Some(rig) = Rig::start(0).await else {
        return;
    };
    let queue = rig.queue_on(1).await;
    let mut consumer = rig.consumer(&queue).await;
    let publish = async {
        rig.cluster.until(|| rig.cluster.waiting(1) == 1).await;
        rig.reshard(&queue, 1, 2).await;
        rig.cluster.until(|| rig.cluster.waiting(2) == 1).await;
        rig.publish(&queue).await.unwrap();
        rig.env.monotonic()
    };
    let (taken, published) = tokio::join!(consumer.reserve(1, DEADLINE), publish);
    assert_eq!(taken.unwrap().len(), 1);
    let late = rig.env.monotonic().since(published);
    assert!(late < Duration::from_secs(3), "it woke {late:?} late");
}

#[tokio::test]
async fn queues_of_all_nodes_are_waited_for_at_once() {
    let Some(rig) = Rig::start(0).await else {
        return;
    };
    let mut queues = Vec::new();
    let mut consumers = Vec::new();
    for node in 0..3 {
        let queue = rig.queue_on(node).await;
        consumers.push(rig.consumer(&queue).await);
        queues.push(queue);
    }
    let waits = consumers.iter_mut().map(|it| it.reserve(1, DEADLINE));
    let publish = async {
        rig.env.sleep(Duration::from_millis(500)).await;
        let began = rig.env.monotonic();
        for queue in &queues {
            rig.publish(queue).await.unwrap();
        }
        began
    };
    let (taken, began) = tokio::join!(futures::future::join_all(waits), publish);
    assert!(taken.into_iter().all(|taken| taken.unwrap().len() == 1));
    let took = rig.env.monotonic().since(began);
    assert!(took < Duration::from_secs(3), "they woke {took:?} late");
    let mut all = rig.broker.admin().unwrap().queues().await.unwrap();
    all.sort();
    queues.sort();
    assert_eq!(all, queues);
}

#[tokio::test]
async fn a_replica_that_takes_the_place_of_a_dead_master_is_followed() {
    let Some(mut rig) = Rig::start(1).await else {
        return;
    };
    let queue = rig.queue_on(0).await;
    let mut consumer = rig.consumer(&queue).await;
    let mut published = Vec::new();
    for _ in 0..20 {
        published.push(rig.publish(&queue).await.unwrap());
    }
    assert_eq!(rig.cluster.cli(0, "WAIT 1 10000"), "1");
    let key = format!("{{bananas:{queue}}}:normal");
    let arrived = || rig.cluster.cli(3, &format!("-c LLEN {key}")) == "20";
    rig.cluster.until(arrived).await;
    let offset = |node| {
        let info = rig.cluster.cli(node, "INFO replication");
        let line = |name: &str| {
            info.lines()
                .find_map(|it| it.strip_prefix(name))
                .map(str::to_owned)
        };
        line("slave_repl_offset:").or_else(|| line("master_repl_offset:"))
    };
    rig.cluster.until(|| offset(0) == offset(3)).await;
    rig.cluster.nodes[0].kill().await.unwrap();
    let until = rig.env.monotonic() + DEADLINE;
    loop {
        match rig.publish(&queue).await {
            Ok(id) => {
                published.push(id);
                break;
            }
            Err(error) => assert!(
                error.status() != Status::Permanent && rig.env.monotonic() < until,
                "{error}"
            ),
        }
    }
    let seen = rig.take(&mut consumer, published.len()).await;
    assert!(published.iter().all(|id| seen.contains_key(id)));
}

#[tokio::test]
async fn another_database_than_the_only_one_is_refused() {
    let Some(rig) = Rig::start(0).await else {
        return;
    };
    let url = format!("{}/1?timeout_ms=1000", rig.cluster.url());
    let config = RedisConfig::from_url(&url).unwrap();
    let error = RedisEngine::open(config, Arc::clone(&rig.env))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("leave out the number"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn each_master_of_a_cluster_confirms_by_its_own_replicas() {
    let Some(mut rig) = Rig::start(1).await else {
        return;
    };
    let url = format!(
        "{}/0?confirm=replicas:1&timeout_ms=10000",
        rig.cluster.url()
    );
    let config = RedisConfig::from_url(&url).unwrap();
    let engine = RedisEngine::open(config, Arc::clone(&rig.env)).await;
    rig.broker = engine.unwrap().broker();
    let (with, without) = (rig.queue_on(0).await, rig.queue_on(1).await);
    rig.publish(&with).await.unwrap();
    let error = rig.publish(&without).await.unwrap_err();
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
    // A slot that moved is followed, as without a confirmation.
    rig.reshard(&with, 0, 1).await;
    let error = rig.publish(&with).await.unwrap_err();
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
}
