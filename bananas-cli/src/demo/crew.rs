//! [`Crew`]: the worker processes of the demo.
//!
//! They are children of this process and nothing else is ever signalled: a child keeps its pid until this file
//! has waited for it. Each is in a process group of its own, so that Ctrl-C reaches the demo alone, which then
//! ends them in order.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bananas::Env;
use serde::Serialize;
use tokio::process::{Child, Command};

use super::home::VARIABLE;
use super::plan::Plan;

/// The hidden command that a worker process of the demo is started with.
pub(crate) const WORKER_COMMAND: &str = "demo-worker";

/// One worker process.
#[derive(Debug)]
pub(super) struct Member {
    /// Its number in the order of their start, from 1.
    pub(super) number: usize,
    /// Its process.
    pub(super) pid: u32,
    child: Child,
}

/// A worker process that ended by itself.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Death {
    /// Its number.
    pub(super) worker: usize,
    /// Its process.
    pub(super) pid: u32,
    /// How it ended, and the last that it said.
    pub(super) how: String,
}

/// The worker processes.
#[derive(Debug)]
pub(super) struct Crew {
    env: Arc<dyn Env>,
    /// What workers are told of where the jobs are.
    home: String,
    logs: PathBuf,
    plan: Plan,
    members: Vec<Member>,
    hired: usize,
    deaths: Vec<Death>,
}

/// How long workers may take to end in order.
const DISMISSAL: Duration = Duration::from_secs(10);

/// How many deaths per worker are made good for.
const DEATHS_PER_WORKER: usize = 3;

impl Crew {
    /// A crew that has no member yet, that is told where the jobs are, with its logs in a folder.
    pub(super) fn new(env: Arc<dyn Env>, plan: Plan, home: String, logs: &Path) -> Self {
        Self {
            env,
            home,
            logs: logs.to_owned(),
            plan,
            members: Vec::new(),
            hired: 0,
            deaths: Vec::new(),
        }
    }

    /// Starts one more worker.
    pub(super) fn hire(&mut self) -> anyhow::Result<&Member> {
        let program = std::env::current_exe().context("this program cannot find its own file")?;
        let number = self.hired + 1;
        let log = log_of(&self.logs, number);
        let errors =
            File::create(&log).with_context(|| format!("{} cannot be made", log.display()))?;
        let pace = u64::try_from(self.plan.pace.as_micros()).unwrap_or(u64::MAX);
        let child = Command::new(&program)
            .arg(WORKER_COMMAND)
            .env(VARIABLE, &self.home)
            .arg(format!("--concurrency={}", self.plan.concurrency))
            .arg(format!("--pace-us={pace}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started as a worker", program.display()))?;
        // A child that was not waited for has a pid.
        let pid = child.id().context("a worker ended while it was started")?;
        self.hired = number;
        self.members.push(Member { number, pid, child });
        self.members.last().context("the crew is empty")
    }

    /// The workers that run.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Those that ended by themselves.
    pub(super) fn deaths(&self) -> &[Death] {
        &self.deaths
    }

    /// Looks who has ended without being told to, and starts others for them, up to a limit. Answers with the
    /// numbers of the new ones.
    pub(super) fn tend(&mut self) -> anyhow::Result<Vec<usize>> {
        let mut alive = Vec::with_capacity(self.members.len());
        let mut died = 0;
        for mut member in self.members.drain(..) {
            match member
                .child
                .try_wait()
                .context("a worker cannot be looked at")?
            {
                None => alive.push(member),
                Some(status) => {
                    let words = last_words(&log_of(&self.logs, member.number));
                    let how = format!("{status}{words}");
                    self.deaths.push(Death {
                        worker: member.number,
                        pid: member.pid,
                        how,
                    });
                    died += 1;
                }
            }
        }
        self.members = alive;
        let mut hired = Vec::new();
        for _ in 0..died {
            if self.deaths.len() <= DEATHS_PER_WORKER * self.plan.workers {
                hired.push(self.hire()?.number);
            }
        }
        Ok(hired)
    }

    /// Kills one worker with SIGKILL and waits until the system has buried it: as long as it is a zombie, its
    /// neighbours take it for alive.
    pub(super) async fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        let found = self
            .members
            .iter()
            .position(|member| member.number == number);
        if let Some(index) = found {
            let mut member = self.members.swap_remove(index);
            member
                .child
                .kill()
                .await
                .with_context(|| format!("worker {number} cannot be killed"))?;
        }
        Ok(())
    }

    /// Lets all workers end in order, and kills those that do not in time.
    pub(super) async fn dismiss(&mut self) {
        let until = self.env.monotonic() + DISMISSAL;
        for member in &mut self.members {
            drop(member.child.stdin.take());
        }
        for mut member in self.members.drain(..) {
            if self.env.until(until, member.child.wait()).await.is_err() {
                // Dropping it kills it too, should this fail.
                drop(member.child.kill().await);
            }
        }
    }

    /// Kills all workers.
    pub(super) async fn disband(&mut self) {
        for mut member in self.members.drain(..) {
            // Dropping it kills it too, should this fail.
            drop(member.child.kill().await);
        }
    }
}

fn log_of(logs: &Path, number: usize) -> PathBuf {
    logs.join(format!("worker-{number}.log"))
}

/// The last line of a log, as the end of a sentence.
fn last_words(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!(", saying: {}", line.trim()),
        None => String::new(),
    }
}
