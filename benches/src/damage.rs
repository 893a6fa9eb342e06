//! What damaged records cost those around them: the same number of records, all sound, and half of them damaged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bananas::{Check, JobState, State, TaskResult, Track};
use rusqlite::Connection;
use tokio::sync::Notify;

use crate::report::{Report, median};
use crate::target::Target;
use crate::throughput::Noop;

/// Ways in which records are damaged, by turns.
const DAMAGES: [&str; 4] = [
    "epoch = -1",
    "failed_attempts = 9999999999",
    "expires_at = NULL, reason = 'because'",
    "claimed_copy = -5",
];

#[derive(Clone)]
struct Left {
    jobs: Arc<AtomicU64>,
    done: Arc<Notify>,
}

async fn run(_job: Noop, State(left): State<Left>) -> TaskResult {
    if left.jobs.fetch_sub(1, Ordering::Relaxed) == 1 {
        left.done.notify_one();
    }
    Ok(())
}

/// Measures SQLite with its defaults; `jobs` records a round.
pub(crate) async fn measure(jobs: u64, rounds: usize, report: &mut Report) -> Result<()> {
    let (mut sound, mut half, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let all = drain(jobs, 0).await?;
        let some = drain(jobs, jobs / 2).await?;
        sound.push(all);
        half.push(some);
        ratio.push(some / all * 100.0);
    }
    let name = Target::SqliteFull.name();
    report.figure(name, "drain, all sound", median(&mut sound), "records/s");
    report.figure(name, "drain, half damaged", median(&mut half), "records/s");
    report.figure(name, "ratio", median(&mut ratio), "%");
    Ok(())
}

/// Records per second until all that are sound have run and all others are set aside.
async fn drain(jobs: u64, damaged: u64) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let app = Target::SqliteFull.open(folder.path(), Track::Full).await?;
    for first in (0..jobs).step_by(1_000) {
        let batch = (first..jobs.min(first + 1_000)).map(Noop::new);
        for accepted in app.client().enqueue_many(batch).await {
            accepted?;
        }
    }
    damage(&folder.path().join("bench.db"), damaged)?;
    let left = Left {
        jobs: Arc::new(AtomicU64::new(jobs - damaged)),
        done: Arc::new(Notify::new()),
    };
    let done = Arc::clone(&left.done);
    let start = Instant::now();
    app.worker()
        .state(left.clone())
        .handle(run)
        .run_until(async move { done.notified().await })
        .await?;
    let took = start.elapsed();
    ensure!(
        left.jobs.load(Ordering::Relaxed) == 0,
        "jobs ran twice or not at all"
    );
    set_aside(&app, damaged).await?;
    app.close(Duration::from_secs(30)).await?;
    #[expect(clippy::cast_precision_loss, reason = "job counts are far below 2^53")]
    let jobs = jobs as f64;
    Ok(jobs / took.as_secs_f64())
}

/// Damages every second record, as another program would.
fn damage(file: &std::path::Path, damaged: u64) -> Result<()> {
    let file = Connection::open(file)?;
    file.pragma_update(None, "ignore_check_constraints", true)?;
    let mut changed = 0;
    for (turn, how) in DAMAGES.iter().enumerate().filter(|_| damaged > 0) {
        let sql = format!("UPDATE jobs SET {how} WHERE seq % 2 = 0 AND seq / 2 % 4 = {turn}");
        changed += u64::try_from(file.execute(&sql, [])?)?;
    }
    ensure!(
        changed == damaged,
        "{changed} records were damaged instead of {damaged}"
    );
    Ok(())
}

/// Whether all that was damaged is dead, with a reason, and nothing else is wrong.
async fn set_aside(app: &bananas::App, damaged: u64) -> Result<()> {
    let index = app
        .ledger()
        .index()
        .ok_or_else(|| anyhow::anyhow!("no index"))?;
    let mut check = Check {
        repair: true,
        ..Check::default()
    };
    loop {
        let page = index.check(check.clone()).await?;
        check.after = page.next;
        if check.after.is_none() {
            break;
        }
    }
    let counts = index.counts().await?;
    let dead = counts.iter().filter(|count| count.state == JobState::Dead);
    let dead: u64 = dead.map(|count| count.jobs).sum();
    ensure!(dead == damaged, "{dead} of {damaged} were set aside");
    Ok(())
}
