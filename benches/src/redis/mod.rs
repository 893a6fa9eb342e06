//! What a job costs a Redis server: its CPU time for publish, reserve and ack, beside that of a bare list; and for the
//! whole life of a job that is recorded there, too.

mod backlog;
mod ledger;
mod server;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{
    Broker, ConsumerSpec, Env, Priority, Publish, QueueName, QueueSpec, RawMessage, Settle,
    Settled, Settlement, TokioEnv,
};
use bytes::Bytes;

use self::server::{Server, used};
use crate::report::{Report, median};

pub(crate) use self::backlog::measure as measure_backlog;

/// The size of a body.
const BODY: usize = 300;

/// How many jobs go into one call.
const BATCHES: [usize; 3] = [1, 16, 100];

/// How long a reserve may take.
const WAIT: Duration = Duration::from_secs(10);

/// Which priorities the jobs have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Priorities {
    Default,
    Random,
}

/// Measures the broker and a bare list on one server.
pub(crate) async fn measure(jobs: usize, rounds: usize, report: &mut Report) -> Result<()> {
    let server = Server::start().await?;
    let mut connection = server.connect().await?;
    for batch in BATCHES {
        let batches = (jobs / batch).max(1);
        for (name, priorities) in [
            ("default priority", Priorities::Default),
            ("random priorities", Priorities::Random),
        ] {
            let mut costs = Vec::new();
            for _ in 0..rounds {
                let before = used(&mut connection).await?;
                drive(&server, batch, batches, priorities).await?;
                costs.push(per_job(
                    used(&mut connection).await? - before,
                    batch * batches,
                ));
            }
            let what = format!("broker, {name}, batch {batch}");
            report.figure("redis", &what, median(&mut costs), "us CPU/job");
        }
        let mut costs = Vec::new();
        for _ in 0..rounds {
            let before = used(&mut connection).await?;
            drive_list(&server, batch, batches).await?;
            costs.push(per_job(
                used(&mut connection).await? - before,
                batch * batches,
            ));
        }
        let what = format!("raw LPUSH LMOVE LREM, batch {batch}");
        report.figure("redis", &what, median(&mut costs), "us CPU/job");
    }
    ledger::measure(&server, &mut connection, (jobs, rounds), report).await
}

fn per_job(micros: f64, jobs: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "job counts are far below 2^53")]
    let jobs = jobs as f64;
    micros / jobs
}

/// Publishes, reserves and acknowledges batch by batch.
async fn drive(
    server: &Server,
    batch: usize,
    batches: usize,
    priorities: Priorities,
) -> Result<()> {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let mut config = RedisConfig::from_url(&format!("redis://127.0.0.1:{}", server.port))?;
    config.namespace = format!("bench-{}", env.random());
    let broker: Arc<dyn Broker> = RedisEngine::open(config, Arc::clone(&env)).await?.broker();
    let queue = QueueName::new("bench")?;
    broker.ensure(&[QueueSpec::new(queue.clone())]).await?;
    let mut spec = ConsumerSpec::new(queue.clone());
    spec.credit = 1_000;
    let mut consumer = broker.consume(spec).await?;
    let body = Bytes::from(vec![b'x'; BODY]);
    for _ in 0..batches {
        let publishes = (0..batch).map(|_| {
            let mut message = RawMessage::new(env.job_id(), body.clone());
            if priorities == Priorities::Random {
                let level = u8::try_from(env.random() % 101).unwrap_or_default();
                message.priority = Priority::new(level)?;
            }
            let queue = queue.clone();
            Ok(Publish { queue, message })
        });
        let publishes = publishes.collect::<Result<Vec<_>>>()?;
        for published in broker.publish(publishes).await {
            published?;
        }
        let deliveries = consumer.reserve(batch, WAIT).await?;
        ensure!(deliveries.len() == batch, "{} came", deliveries.len());
        let settles = deliveries.into_iter().map(|delivery| Settle {
            receipt: delivery.receipt,
            settlement: Settlement::Ack,
        });
        for settled in broker.settle(settles.collect()).await {
            ensure!(settled? == Settled::Done, "a lease was lost");
        }
    }
    broker.close(WAIT).await?;
    Ok(())
}

/// The same with a list and another for what is in flight: no lease, no priority, no delay, no fencing.
async fn drive_list(server: &Server, batch: usize, batches: usize) -> Result<()> {
    let mut connection = server.connect().await?;
    let body = "x".repeat(BODY);
    for _ in 0..batches {
        let mut push = redis::cmd("LPUSH");
        push.arg("ready");
        for n in 0..batch {
            push.arg(format!("{n}{body}"));
        }
        let _: usize = push.query_async(&mut connection).await?;
        let mut moves = redis::pipe();
        for _ in 0..batch {
            moves.cmd("LMOVE").arg(&["ready", "taken", "RIGHT", "LEFT"]);
        }
        let taken: Vec<String> = moves.query_async(&mut connection).await?;
        let mut acks = redis::pipe();
        for item in &taken {
            acks.cmd("LREM").arg("taken").arg(-1).arg(item);
        }
        let removed: Vec<usize> = acks.query_async(&mut connection).await?;
        ensure!(removed.iter().sum::<usize>() == batch, "an item was lost");
    }
    Ok(())
}
