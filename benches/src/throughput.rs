//! Jobs per second: enqueue one by one, in bulk, and the whole worker with a handler that does nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use bananas::{State, TaskResult, Track};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::report::{Report, median};
use crate::target::Target;

/// A job that does nothing, with a body of about 100 bytes.
#[derive(bananas::Task, Serialize, Deserialize)]
#[task(name = "noop")]
pub(crate) struct Noop {
    pub(crate) number: u64,
    pub(crate) padding: String,
}

impl Noop {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            padding: "x".repeat(72),
        }
    }
}

/// Counts what was run and rings when it is enough.
#[derive(Clone)]
pub(crate) struct Counter {
    left: Arc<AtomicU64>,
    done: Arc<Notify>,
}

async fn run(_job: Noop, State(counter): State<Counter>) -> TaskResult {
    if counter.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        counter.done.notify_one();
    }
    Ok(())
}

/// Measures one backend with one tracking.
pub(crate) async fn measure(
    target: Target,
    track: Track,
    jobs: u64,
    rounds: usize,
    report: &mut Report,
) -> Result<()> {
    let (mut single, mut bulk, mut drain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let folder = tempfile::tempdir()?;
        let app = target.open(folder.path(), track).await?;
        let few = (jobs / 100).clamp(1, if target.is_sqlite() { 500 } else { 20_000 });
        let start = Instant::now();
        for number in 0..few {
            app.client().enqueue(Noop::new(number)).await?;
        }
        single.push(rate(few, start));

        let start = Instant::now();
        let mut number = few;
        while number < jobs {
            let chunk = (jobs - number).min(1_000);
            let batch = (number..number + chunk).map(Noop::new);
            for accepted in app.client().enqueue_many(batch).await {
                accepted?;
            }
            number += chunk;
        }
        bulk.push(rate(jobs - few, start));

        let counter = Counter {
            left: Arc::new(AtomicU64::new(jobs)),
            done: Arc::new(Notify::new()),
        };
        let done = Arc::clone(&counter.done);
        let start = Instant::now();
        app.worker()
            .state(counter.clone())
            .handle(run)
            .run_until(async move { done.notified().await })
            .await?;
        drain.push(rate(jobs, start));
        ensure!(
            counter.left.load(Ordering::Relaxed) == 0,
            "jobs ran twice or not at all"
        );
        app.close(std::time::Duration::from_secs(30)).await?;
    }
    let name = target.name();
    report.figure(
        name,
        &format!("enqueue one by one, track {track}"),
        median(&mut single),
        "jobs/s",
    );
    report.figure(
        name,
        &format!("enqueue in bulk, track {track}"),
        median(&mut bulk),
        "jobs/s",
    );
    let what = format!("drain, track {track}");
    report.figure(name, &what, median(&mut drain), "jobs/s");
    Ok(())
}

fn rate(jobs: u64, start: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "job counts are far below 2^53")]
    let jobs = jobs as f64;
    jobs / start.elapsed().as_secs_f64()
}
