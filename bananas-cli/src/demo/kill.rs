//! The kill: a worker process is killed with SIGKILL while it is in the middle of jobs.
//!
//! Between a look at the store and a signal a worker can finish what it was seen at. So it is first stopped
//! with SIGSTOP; what the store says of it then stays true. Only if that is at least one running job it is
//! killed, otherwise it goes on as if nothing had happened.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bananas::{App, Env, Timestamp};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde::Serialize;

use super::crew::{Crew, Member};

/// A kill that happened.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Kill {
    /// The worker's number.
    pub(super) worker: usize,
    /// Its process.
    pub(super) pid: u32,
    /// How many jobs it was running.
    pub(super) running: u64,
    /// How many jobs had ended at the last look before.
    pub(super) after_jobs: u64,
    /// When.
    #[serde(rename = "at_us")]
    pub(super) at: Timestamp,
    /// The number of the worker that took its place.
    pub(super) replaced_by: usize,
}

/// How long a stopped worker is looked at. It may have been stopped while it held a lock.
const LOOK: Duration = Duration::from_millis(500);

/// How often to ask whether a worker has stopped, a millisecond apart.
const STOP_LOOKS: u32 = 100;

/// How many jobs each process is running, by its pid.
pub(super) async fn running(app: &App) -> anyhow::Result<Vec<(u32, u64)>> {
    let (owners, _) = app
        .ledger()
        .owners(None)
        .await
        .context("the workers cannot be looked up")?;
    let alive = owners.into_iter().filter(|row| !row.left.is_zero());
    Ok(alive.map(|row| (row.owner.pid, row.running)).collect())
}

/// Kills the busiest worker if it really is in the middle of jobs, and starts another one.
pub(super) async fn attempt(
    crew: &mut Crew,
    app: &App,
    after_jobs: u64,
) -> anyhow::Result<Option<Kill>> {
    let running_now = running(app).await?;
    let jobs_of = |pid: u32| {
        running_now
            .iter()
            .find(|(p, _)| *p == pid)
            .map_or(0, |(_, n)| *n)
    };
    let busiest = crew
        .members()
        .iter()
        .max_by_key(|member| jobs_of(member.pid));
    let Some(&Member { number, pid, .. }) = busiest.filter(|member| jobs_of(member.pid) > 0) else {
        return Ok(None);
    };
    let stopped = stop(pid, app.env()).await?;
    let looked = app.env().within(LOOK, running(app)).await;
    let jobs = match looked {
        Ok(Ok(running)) => running
            .into_iter()
            .find(|(p, _)| *p == pid)
            .map_or(0, |(_, n)| n),
        Ok(Err(_)) | Err(_) => 0,
    };
    if !stopped || jobs == 0 {
        signal(pid, Signal::CONT)?;
        return Ok(None);
    }
    crew.kill(number).await?;
    let at = app.env().now();
    let replaced_by = crew.hire()?.number;
    Ok(Some(Kill {
        worker: number,
        pid,
        running: jobs,
        after_jobs,
        at,
        replaced_by,
    }))
}

/// Stops a child and waits until it stands still; `false` if it does not, or has ended.
async fn stop(pid: u32, env: &Arc<dyn Env>) -> anyhow::Result<bool> {
    signal(pid, Signal::STOP)?;
    for _ in 0..STOP_LOOKS {
        // Without `EXITED` this leaves the end of the process to the one who waits for it.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::Pid(process(pid)?), options);
        if matches!(status, Ok(Some(status)) if status.stopped()) {
            return Ok(true);
        }
        env.sleep(Duration::from_millis(1)).await;
    }
    Ok(false)
}

fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    kill_process(process(pid)?, signal).with_context(|| format!("process {pid} takes no signal"))
}

fn process(pid: u32) -> anyhow::Result<Pid> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    raw.with_context(|| format!("{pid} is no process id"))
}
