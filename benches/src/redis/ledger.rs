//! What a fully tracked job costs a Redis server: recorded, taken and settled, where the record is the message. And
//! how much memory it takes.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{
    Args, Env, Job, JobSettled, JobState, Ledger, Outcome, Owner, QueueName, Source, SourceSpec,
    TokioEnv,
};
use redis::aio::MultiplexedConnection;

use super::server::{Server, used};
use super::{BATCHES, BODY, WAIT, per_job};
use crate::report::{Report, median};

/// How many jobs the memory of one is averaged over.
const KEPT: usize = 20_000;

/// Measures the ledger of Redis alone.
pub(super) async fn measure(
    server: &Server,
    connection: &mut MultiplexedConnection,
    (jobs, rounds): (usize, usize),
    report: &mut Report,
) -> Result<()> {
    for batch in BATCHES {
        let batches = (jobs / batch).max(1);
        let mut costs = Vec::new();
        for _ in 0..rounds {
            let mut rig = Rig::open(server).await?;
            let before = used(connection).await?;
            for _ in 0..batches {
                rig.enqueue(batch).await?;
                rig.run(batch).await?;
            }
            let cost = used(connection).await? - before;
            costs.push(per_job(cost, batch * batches));
            rig.ledger.close(WAIT).await?;
        }
        let what = format!("ledger, track full, batch {batch}");
        report.figure("redis", &what, median(&mut costs), "us CPU/job");
    }
    let mut rig = Rig::open(server).await?;
    let empty = memory(connection).await?;
    rig.enqueue(KEPT).await?;
    let waiting = memory(connection).await?;
    rig.run(KEPT).await?;
    let ended = memory(connection).await?;
    let what = format!("memory of a waiting job with {BODY} bytes of arguments");
    report.figure("redis", &what, per_job(waiting - empty, KEPT), "bytes");
    let what = format!("memory of an ended job with {BODY} bytes of arguments");
    report.figure("redis", &what, per_job(ended - empty, KEPT), "bytes");
    Ok(())
}

/// A ledger on an empty namespace.
struct Rig {
    env: Arc<dyn Env>,
    ledger: Arc<dyn Ledger>,
    source: Box<dyn Source>,
    queue: QueueName,
}

impl Rig {
    async fn open(server: &Server) -> Result<Self> {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let mut config = RedisConfig::from_url(&format!("redis://127.0.0.1:{}", server.port))?;
        config.namespace = format!("bench-{}", env.random());
        let ledger = RedisEngine::open(config, Arc::clone(&env)).await?.ledger();
        let owner = Owner {
            id: env.owner_id(),
            host: "bench".to_owned(),
            boot_id: String::new(),
            pid: std::process::id(),
            pid_started: 0,
        };
        ledger.renew(&owner, WAIT * 100).await?;
        let queue = QueueName::new("bench")?;
        let source = ledger.open(SourceSpec::new(queue.clone(), owner)).await?;
        Ok(Self {
            env,
            ledger,
            source,
            queue,
        })
    }

    async fn enqueue(&mut self, jobs: usize) -> Result<()> {
        let args = Args::from_json(&format!("\"{}\"", "x".repeat(BODY)))?;
        let job = |_| {
            let id = self.env.job_id();
            let mut job = Job::new(id, "bench.task".parse()?, args.clone(), self.env.now());
            job.queue = self.queue.clone();
            Ok(job)
        };
        let jobs = (0..jobs).map(job).collect::<Result<Vec<_>>>()?;
        for accepted in self.ledger.enqueue(jobs).await {
            accepted?;
        }
        Ok(())
    }

    async fn run(&mut self, jobs: usize) -> Result<()> {
        let mut left = jobs;
        while left > 0 {
            let claimed = self.source.next(left.min(100), 0, WAIT).await?;
            ensure!(!claimed.is_empty(), "{left} jobs do not come");
            left -= claimed.len();
            let ends = claimed.into_iter().map(|claimed| {
                let result = b"null".as_slice().into();
                (claimed, Outcome::Succeeded { result })
            });
            for settled in self.ledger.settle(ends.collect()).await {
                let done = JobSettled::Settled(JobState::Succeeded);
                ensure!(settled? == done, "a run was lost");
            }
        }
        Ok(())
    }
}

/// The memory that the server uses for data.
async fn memory(connection: &mut MultiplexedConnection) -> Result<f64> {
    let mut ask = redis::cmd("INFO");
    let info: String = ask.arg("memory").query_async(connection).await?;
    let mut lines = info.lines();
    let line = lines.find_map(|line| line.strip_prefix("used_memory_dataset:"));
    let bytes = line.context("no used_memory_dataset")?;
    Ok(bytes.trim().parse()?)
}
