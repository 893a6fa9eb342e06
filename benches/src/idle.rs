//! What a worker costs that has nothing to do.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use bananas::{TaskResult, Track};

use crate::cpu;
use crate::latency::spawn;
use crate::report::Report;
use crate::target::{Target, open};
use crate::throughput::Noop;

async fn run(_job: Noop) -> TaskResult {
    Ok(())
}

/// The idle worker's process; it is killed by whoever started it.
pub(crate) async fn worker(url: &str) -> Result<()> {
    let app = open(url, Track::Full).await?;
    Ok(app
        .worker()
        .handle(run)
        .run_until(bananas::shutdown_signal())
        .await?)
}

/// CPU and memory of an idle worker.
pub(crate) fn measure(target: Target, seconds: u64, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut child = spawn(&["idle-worker", &target.url(folder.path())])?;
    // It starts, and settles down.
    std::thread::sleep(Duration::from_secs(3));
    let before = cpu::of_process(child.id())?;
    std::thread::sleep(Duration::from_secs(seconds));
    let used = cpu::of_process(child.id())? - before;
    let resident = resident_mib(child.id())?;
    child.kill()?;
    child.wait()?;
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    let percent = used / seconds as f64 * 100.0;
    report.figure(target.name(), "idle worker, CPU", percent, "% of a core");
    report.figure(
        target.name(),
        "idle worker, resident memory",
        resident,
        "MiB",
    );
    Ok(())
}

fn resident_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .context("no number in VmRSS")?
        .parse()?;
    Ok(kib / 1024.0)
}
