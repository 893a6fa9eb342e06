//! What publish, reserve, ack and depth cost a Redis server while very many jobs wait in the queue.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{
    Broker, Consumer, ConsumerSpec, Delivery, Env, Publish, QueueName, QueueSpec, RawMessage,
    Settle, Settled, Settlement, TokioEnv,
};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;

use super::server::{Server, used};
use super::{BODY, WAIT, per_job};
use crate::report::{Report, median};

/// How many jobs go into one call.
const BATCH: usize = 100;

/// How many batches one round of one figure has.
const BATCHES: usize = 300;

/// How many counts one round of that figure has.
const COUNTS: usize = 2_000;

/// Longer than filling and measuring take: no lease lapses in between.
const LEASE: Duration = Duration::from_secs(3_600);

/// The operations, in the order in which a round makes them.
const OPERATIONS: [&str; 4] = ["publish", "reserve", "ack", "depth"];

/// One queue with a backlog.
struct Queue {
    env: Arc<dyn Env>,
    broker: Arc<dyn Broker>,
    name: QueueName,
    body: Bytes,
}

/// Fills the queue to each of these backlogs, and measures at each.
pub(crate) async fn measure(backlogs: &[u64], rounds: usize, report: &mut Report) -> Result<()> {
    let server = Server::start().await?;
    let mut connection = server.connect().await?;
    let queue = Queue::open(&server).await?;
    let mut consumer = queue.consumer().await?;
    let mut waiting = 0;
    for backlog in backlogs {
        let backlog = usize::try_from(*backlog)?;
        ensure!(backlog >= waiting, "name the backlogs in rising order");
        queue.fill(backlog - waiting).await?;
        waiting = backlog;
        let memory = memory(&mut connection).await? / waiting.max(1);
        let mut costs = OPERATIONS.map(|_| Vec::new());
        // The first round meets tables that still grow from the filling.
        for round in 0..=rounds {
            for (costs, cost) in costs
                .iter_mut()
                .zip(queue.round(&mut *consumer, &mut connection).await?)
            {
                if round > 0 {
                    costs.push(cost);
                }
            }
        }
        for (operation, mut costs) in OPERATIONS.iter().zip(costs) {
            let unit = if *operation == "depth" {
                "us CPU/call"
            } else {
                "us CPU/job"
            };
            let what = format!("{operation}, {waiting} waiting");
            report.figure("redis", &what, median(&mut costs), unit);
        }
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        report.figure(
            "redis",
            &format!("memory, {waiting} waiting"),
            memory as f64,
            "bytes/job",
        );
    }
    queue.broker.close(WAIT).await?;
    Ok(())
}

/// The memory of the server, in bytes.
async fn memory(connection: &mut MultiplexedConnection) -> Result<usize> {
    let info: String = redis::cmd("INFO")
        .arg("memory")
        .query_async(connection)
        .await?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    Ok(line.context("no used_memory")?.trim().parse()?)
}

impl Queue {
    async fn open(server: &Server) -> Result<Self> {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let config = RedisConfig::from_url(&format!("redis://127.0.0.1:{}", server.port))?;
        let broker = RedisEngine::open(config, Arc::clone(&env)).await?.broker();
        let name = QueueName::new("backlog")?;
        broker.ensure(&[QueueSpec::new(name.clone())]).await?;
        let body = Bytes::from(vec![b'x'; BODY]);
        Ok(Self {
            env,
            broker,
            name,
            body,
        })
    }

    async fn consumer(&self) -> Result<Box<dyn Consumer>> {
        let mut spec = ConsumerSpec::new(self.name.clone());
        spec.credit = u32::try_from(2 * BATCH * BATCHES)?;
        spec.lease = LEASE;
        Ok(self.broker.consume(spec).await?)
    }

    async fn publish(&self, jobs: usize) -> Result<()> {
        let publishes = (0..jobs).map(|_| Publish {
            queue: self.name.clone(),
            message: RawMessage::new(self.env.job_id(), self.body.clone()),
        });
        for published in self.broker.publish(publishes.collect()).await {
            published?;
        }
        Ok(())
    }

    /// Adds jobs, in large batches, four at a time.
    async fn fill(&self, jobs: usize) -> Result<()> {
        let mut left = jobs;
        while left > 0 {
            let mut next = || {
                let size = left.min(5 * BATCH);
                left -= size;
                self.publish(size)
            };
            tokio::try_join!(next(), next(), next(), next())?;
        }
        Ok(())
    }

    /// What each operation cost, per job or call.
    async fn round(
        &self,
        consumer: &mut dyn Consumer,
        connection: &mut MultiplexedConnection,
    ) -> Result<[f64; 4]> {
        let jobs = BATCH * BATCHES;
        let start = used(connection).await?;
        for _ in 0..BATCHES {
            self.publish(BATCH).await?;
        }
        let published = used(connection).await?;
        let mut taken = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let deliveries = consumer.reserve(BATCH, WAIT).await?;
            ensure!(!deliveries.is_empty(), "nothing came");
            taken.push(deliveries);
        }
        let reserved = used(connection).await?;
        let taken_jobs = taken.iter().map(Vec::len).sum::<usize>();
        for deliveries in taken {
            self.acknowledge(deliveries).await?;
        }
        let acknowledged = used(connection).await?;
        let admin = self.broker.admin().context("no admin")?;
        for _ in 0..COUNTS {
            admin.depth(std::slice::from_ref(&self.name)).await?;
        }
        let counted = used(connection).await?;
        Ok([
            per_job(published - start, jobs),
            per_job(reserved - published, taken_jobs),
            per_job(acknowledged - reserved, taken_jobs),
            per_job(counted - acknowledged, COUNTS),
        ])
    }

    async fn acknowledge(&self, deliveries: Vec<Delivery>) -> Result<()> {
        let settles = deliveries.into_iter().map(|delivery| Settle {
            receipt: delivery.receipt,
            settlement: Settlement::Ack,
        });
        for settled in self.broker.settle(settles.collect()).await {
            ensure!(settled? == Settled::Done, "a lease was lost");
        }
        Ok(())
    }
}
