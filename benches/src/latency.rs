//! From the enqueue to the start of the handler, at 50 jobs/s: in one process, and across two.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use bananas::{App, State, TaskResult, Track};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::target::{Target, open};

const PER_SECOND: u64 = 50;

/// Carries the time it was enqueued, in microseconds since the epoch: both processes share the clock.
#[derive(bananas::Task, Serialize, Deserialize)]
#[task(name = "stamped")]
struct Stamped {
    enqueued_us: u64,
}

type Latencies = Arc<Mutex<Histogram<u64>>>;

fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

async fn run(job: Stamped, State(latencies): State<Latencies>) -> TaskResult {
    let latency = now_us().saturating_sub(job.enqueued_us);
    latencies
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .record(latency)?;
    Ok(())
}

/// Enqueues at a steady pace.
async fn pace(app: &App, seconds: u64) -> Result<()> {
    let start = Instant::now();
    for number in 0..seconds * PER_SECOND {
        let due = start + Duration::from_millis(number * 1_000 / PER_SECOND);
        tokio::time::sleep_until(due.into()).await;
        app.client()
            .enqueue(Stamped {
                enqueued_us: now_us(),
            })
            .await?;
    }
    Ok(())
}

/// The producer's process.
pub(crate) async fn produce(url: &str, seconds: u64) -> Result<()> {
    pace(&open(url, Track::Full).await?, seconds).await
}

/// Producer and worker in one process.
pub(crate) async fn measure(target: Target, seconds: u64, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let app = target.open(folder.path(), Track::Full).await?;
    let producer = app.clone();
    let produced = async move { pace(&producer, seconds).await };
    let latencies = collect(&app, seconds, produced).await?;
    print(target, "enqueue to start", &latencies, report);
    Ok(())
}

/// Producer and worker in two processes.
pub(crate) async fn measure_across_processes(
    target: Target,
    seconds: u64,
    report: &mut Report,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = target.url(folder.path());
    let app = open(&url, Track::Full).await?;
    let mut child = spawn(&["producer", &url, &seconds.to_string()])?;
    let produced = async move {
        let ended = tokio::task::spawn_blocking(move || child.wait()).await??;
        ensure!(ended.success(), "the producer failed: {ended}");
        Ok(())
    };
    let latencies = collect(&app, seconds, produced).await?;
    print(target, "across processes", &latencies, report);
    Ok(())
}

/// Starts this program once more.
pub(crate) fn spawn(arguments: &[&str]) -> Result<std::process::Child> {
    let program = std::env::current_exe()?;
    Ok(Command::new(Path::new(&program))
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()?)
}

async fn collect(
    app: &App,
    seconds: u64,
    produced: impl Future<Output = Result<()>>,
) -> Result<Histogram<u64>> {
    let latencies: Latencies = Arc::new(Mutex::new(Histogram::new(3)?));
    let all = seconds * PER_SECOND;
    let seen = Arc::clone(&latencies);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let until = async move {
        let outcome = produced.await;
        let deadline = Instant::now() + Duration::from_secs(30);
        let count = || seen.lock().unwrap_or_else(PoisonError::into_inner).len();
        while count() < all && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The receiver lives until the worker has ended.
        drop(sender.send(outcome));
    };
    app.worker()
        .state(Arc::clone(&latencies))
        .handle(run)
        .run_until(until)
        .await?;
    receiver.await??;
    let latencies = latencies
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    ensure!(
        latencies.len() == all,
        "{} of {all} jobs ran",
        latencies.len()
    );
    Ok(latencies)
}

fn print(target: Target, what: &str, latencies: &Histogram<u64>, report: &mut Report) {
    for (quantile, word) in [(0.5, "p50"), (0.99, "p99")] {
        #[expect(
            clippy::cast_precision_loss,
            reason = "latencies are far below 2^53 us"
        )]
        let millis = latencies.value_at_quantile(quantile) as f64 / 1_000.0;
        report.figure(
            target.name(),
            &format!("{what}, 50 jobs/s, {word}"),
            millis,
            "ms",
        );
    }
}
