//! A master that sentinels watch: it is found by them, and so is the one that takes its place.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may"
)]

use std::collections::BTreeSet;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{
    Broker, Consumer, ConsumerSpec, Env, ErrorKind, FactLevel, JobId, Publish, QueueName,
    QueueSpec, RawMessage, Result, Settle, Settlement, TokioEnv,
};
use redis_group::{DEADLINE, Group};

mod redis_group;
mod redis_server;

const NAME: &str = "main";

struct Rig {
    group: Group,
    queue: QueueName,
    broker: Arc<dyn Broker>,
}

impl Rig {
    async fn start(replicas: usize, more: &str) -> Option<Self> {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let mut group = Group::start(&env, replicas, "").await?;
        group.watch(NAME, "").await;
        let broker = open(&group, NAME, more).await.unwrap();
        let queue = QueueName::new("mail").unwrap();
        broker
            .ensure(&[QueueSpec::new(queue.clone())])
            .await
            .unwrap();
        Some(Self {
            group,
            queue,
            broker,
        })
    }

    async fn publish(&self) -> Result<JobId> {
        let id = self.group.env.job_id();
        let publish = Publish {
            queue: self.queue.clone(),
            message: RawMessage::new(id, "body".into()),
        };
        self.broker.publish(vec![publish]).await.remove(0)?;
        Ok(id)
    }

    /// Publishes one after the other until so many were accepted; those that were.
    async fn publish_many(&self, count: usize) -> BTreeSet<JobId> {
        let mut accepted = BTreeSet::new();
        let until = self.group.env.monotonic() + DEADLINE;
        while accepted.len() < count {
            match self.publish().await {
                Ok(id) => {
                    accepted.insert(id);
                }
                Err(error) => assert!(self.group.env.monotonic() < until, "{error}"),
            }
        }
        accepted
    }

    async fn consumer(&self) -> Box<dyn Consumer> {
        let mut spec = ConsumerSpec::new(self.queue.clone());
        spec.lease = Duration::from_secs(2);
        self.broker.consume(spec).await.unwrap()
    }

    /// Takes and acknowledges until all of these have come.
    async fn take_all(&self, consumer: &mut Box<dyn Consumer>, mut missing: BTreeSet<JobId>) {
        let until = self.group.env.monotonic() + DEADLINE;
        while !missing.is_empty() {
            let now = self.group.env.monotonic();
            assert!(now < until, "{} were lost", missing.len());
            for delivery in consumer
                .reserve(10, Duration::from_secs(1))
                .await
                .unwrap_or_default()
            {
                missing.remove(&delivery.message.id.unwrap());
                let settle = Settle {
                    receipt: delivery.receipt,
                    settlement: Settlement::Ack,
                };
                // What could not be acknowledged comes again.
                drop(self.broker.settle(vec![settle]).await);
            }
        }
    }

    /// The port of the master, as a sentinel says.
    fn master(&self) -> String {
        let ask = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}");
        let answer = self.group.cli(&self.group.sentinels[0], &ask);
        answer.lines().nth(1).unwrap().to_owned()
    }
}

async fn open(group: &Group, name: &str, more: &str) -> Result<Arc<dyn Broker>> {
    let config = RedisConfig::from_url(&group.url(name, more))?;
    let engine = RedisEngine::open(config, Arc::clone(&group.env)).await?;
    Ok(engine.broker())
}

#[tokio::test]
async fn a_failover_that_is_ordered_under_load_loses_nothing_that_a_replica_had_confirmed() {
    let Some(rig) = Rig::start(1, "&confirm=replicas:1").await else {
        return;
    };
    let mut consumer = rig.consumer().await;
    let before = rig.master();
    let load = async {
        let mut accepted = rig.publish_many(50).await;
        let order = format!("SENTINEL FAILOVER {NAME}");
        let answer = rig.group.cli(&rig.group.sentinels[0], &order);
        assert_eq!(answer.trim(), "OK");
        let until = rig.group.env.monotonic() + DEADLINE;
        while rig.master() == before {
            assert!(rig.group.env.monotonic() < until, "no failover");
            if let Ok(id) = rig.publish().await {
                accepted.insert(id);
            }
        }
        // The old master is a replica of the new one now, and confirms.
        accepted.extend(rig.publish_many(50).await);
        accepted
    };
    let taking = async {
        let mut taken = BTreeSet::new();
        for _ in 0..20 {
            for delivery in consumer
                .reserve(10, Duration::from_millis(200))
                .await
                .unwrap_or_default()
            {
                taken.insert(delivery.message.id.unwrap());
                let settle = Settle {
                    receipt: delivery.receipt,
                    settlement: Settlement::Ack,
                };
                drop(rig.broker.settle(vec![settle]).await);
            }
        }
        taken
    };
    let (accepted, taken) = tokio::join!(load, taking);
    let missing = accepted.difference(&taken).copied().collect();
    rig.take_all(&mut consumer, missing).await;
}

#[tokio::test]
async fn a_replica_that_takes_the_place_of_a_dead_master_is_found_and_those_who_wait_are_woken() {
    let Some(mut rig) = Rig::start(2, "").await else {
        return;
    };
    let mut consumer = rig.consumer().await;
    let published = rig.publish_many(5).await;
    rig.take_all(&mut consumer, published).await;
    rig.group.servers[0].kill().await.unwrap();
    let published = async {
        let published = rig.publish_many(5).await;
        // The sentinel that is asked here may hear of it later than we do.
        let dead = rig.group.servers[0].address().port().to_string();
        rig.group.until(|_| rig.master() != dead).await;
        published
    };
    let waiting = consumer.reserve(1, DEADLINE);
    let (published, taken) = tokio::join!(published, waiting);
    let mut missing = published;
    for delivery in taken.unwrap_or_default() {
        missing.remove(&delivery.message.id.unwrap());
    }
    rig.take_all(&mut consumer, missing).await;
}

#[tokio::test]
async fn a_master_that_another_replaced_is_left_although_it_still_serves() {
    let Some(rig) = Rig::start(1, "").await else {
        return;
    };
    rig.publish().await.unwrap();
    let before = rig.master();
    let order = format!("SENTINEL FAILOVER {NAME}");
    rig.group.cli(&rig.group.sentinels[0], &order);
    rig.group.until(|_| rig.master() != before).await;
    let (old, new) = (&rig.group.servers[0], &rig.group.servers[1]);
    let config = RedisConfig::from_url(&format!("redis://{}", new.address())).unwrap();
    let at_new = RedisEngine::open(config, Arc::clone(&rig.group.env)).await;
    let at_new = at_new.unwrap().broker();
    let count = async || {
        let admin = at_new.admin().unwrap();
        let depths = admin.depth(slice::from_ref(&rig.queue)).await.unwrap();
        depths[0].ready.value()
    };
    let first = count().await;
    loop {
        // It does for ten seconds and more, and forgets whatever it accepts meanwhile.
        let serves = rig.group.cli(old, "ROLE").starts_with("master");
        assert!(
            serves,
            "the old master is a replica, and was not left before"
        );
        drop(rig.publish().await);
        if count().await > first {
            return;
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_sentinels_is_said_with_what_to_do() {
    let Some(mut rig) = Rig::start(1, "").await else {
        return;
    };
    let error = open(&rig.group, "other", "").await.unwrap_err();
    assert!(
        error.to_string().contains("\"other\"") && error.to_string().contains("sentinel monitor"),
        "{error}"
    );
    // A server that is none.
    let url = format!("redis://{}?sentinel={NAME}", rig.group.servers[0].address());
    let config = RedisConfig::from_url(&url).unwrap();
    let error = RedisEngine::open(config, Arc::clone(&rig.group.env))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no sentinel"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    // Sentinels that take a replica for the master.
    let replica = rig.group.servers[1].address();
    let order = format!(
        "SENTINEL MONITOR stale {} {} 3",
        replica.ip(),
        replica.port()
    );
    rig.group.cli(&rig.group.sentinels[0], &order);
    let error = open(&rig.group, "stale", "&timeout_ms=2000")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("it is a \"slave\""), "{error}");
    let error = open(&rig.group, NAME, "&sentinel_password=wrong").await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Auth);
    let sentinels = async || {
        let facts = rig.broker.facts().await.unwrap();
        let fact = facts.into_iter().find(|fact| fact.name == "sentinels");
        fact.unwrap()
    };
    let fact = sentinels().await;
    assert_eq!(fact.level, FactLevel::Info, "{}", fact.value);
    assert!(fact.value.starts_with("3 of 3"), "{}", fact.value);
    rig.group.sentinels[2].kill().await.unwrap();
    let fact = sentinels().await;
    assert_eq!(fact.level, FactLevel::Warning, "{}", fact.value);
    assert!(
        open(&rig.group, NAME, "").await.is_ok(),
        "two of three are enough"
    );
}
