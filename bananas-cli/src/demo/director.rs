//! [`Director`]: lets the demo happen: workers, producer, kill, end.

use std::time::Duration;

use anyhow::{Context, bail};
use bananas::{App, JobFilter, Timestamp};
use tokio::sync::{oneshot, watch};

use super::audit::Audit;
use super::crew::Crew;
use super::kill::{self, Kill};
use super::plan::Plan;
use super::producer::{Producer, Stand};
use super::progress::Progress;
use super::report::count;
use super::scope::Scope;

/// Lets the demo happen.
#[derive(Debug)]
pub(super) struct Director<'a> {
    /// The application on the demo's database.
    pub(super) app: &'a App,
    /// Which files.
    pub(super) scope: &'a Scope,
    /// How.
    pub(super) plan: Plan,
    /// The workers.
    pub(super) crew: &'a mut Crew,
    /// What people see meanwhile.
    pub(super) progress: Progress,
}

/// What happened.
#[derive(Debug)]
pub(super) struct Course {
    /// When the first job was about to be enqueued.
    pub(super) started: Timestamp,
    /// The kill, if there was one.
    pub(super) kill: Option<Kill>,
}

/// How often the store is asked how things stand.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often, while a worker is to be killed.
const AIM_EVERY: Duration = Duration::from_millis(2);

/// How many records are read at a time.
const PAGE: usize = 1_000;

impl Director<'_> {
    /// Runs all jobs to their end and kills a worker on the way.
    pub(super) async fn run(mut self) -> anyhow::Result<Course> {
        self.app.ledger().ensure(&[super::digest::queue()?]).await?;
        for _ in 0..self.plan.workers {
            self.crew.hire()?;
        }
        self.progress.say(&self.opening());
        let started = self.app.env().now();
        let (stand, stands) = watch::channel(Stand::default());
        let mut produced = self.produce(stands);
        let mut enqueued = None;
        let mut kill = None;
        loop {
            let (waiting, ended) = self.look().await?;
            stand.send_replace(Stand {
                ended,
                rest: kill.is_some(),
            });
            if enqueued.is_none() {
                enqueued = answer_of(&mut produced)?;
            }
            if enqueued.is_some_and(|enqueued| ended >= enqueued) {
                break;
            }
            let aims = kill.is_none()
                && (ended >= self.plan.kill_at || (enqueued.is_some() && waiting == 0));
            if aims && let Some(done) = kill::attempt(self.crew, self.app, ended).await? {
                self.progress.killed(&done);
                kill = Some(done);
            }
            if !self.tend()? {
                break;
            }
            let wait = if aims && kill.is_none() {
                AIM_EVERY
            } else {
                LOOK_EVERY
            };
            self.app.env().sleep(wait).await;
        }
        self.progress
            .clear("all jobs have ended; comparing them with a second walk");
        Ok(Course { started, kill })
    }

    fn opening(&self) -> String {
        let Plan {
            files, concurrency, ..
        } = self.plan;
        let pids: Vec<String> = self
            .crew
            .members()
            .iter()
            .map(|m| m.pid.to_string())
            .collect();
        let (folder, pids) = (self.scope.root.display(), pids.join(", "));
        format!(
            "{} below {folder}; worker processes {pids} run {} each at a time",
            count(files, "file"),
            count(u64::try_from(concurrency).unwrap_or(u64::MAX), "job"),
        )
    }

    /// Starts the producer and says where its answer will be.
    fn produce(&self, stand: watch::Receiver<Stand>) -> oneshot::Receiver<anyhow::Result<u64>> {
        let (answer, answered) = oneshot::channel();
        let producer = Producer {
            client: self.app.client().clone(),
            scope: self.scope.clone(),
            plan: self.plan,
            stand,
        };
        let run = async move {
            // An error says that the demo was interrupted and nobody listens.
            drop(answer.send(producer.run().await));
        };
        self.app.env().spawn("demo-producer", Box::pin(run));
        answered
    }

    /// How many jobs wait for a worker and how many have ended; shows it on the way.
    async fn look(&mut self) -> anyhow::Result<(u64, u64)> {
        let index = self.app.client().jobs().context("the demo needs a store")?;
        let (mut waiting, mut ended) = (0, 0);
        for count in index.counts().await? {
            if count.state.is_terminal() {
                ended += count.jobs;
            } else if count.state != bananas::JobState::Running {
                waiting += count.jobs;
            }
        }
        let running = kill::running(self.app).await?;
        self.progress.show(ended, self.crew, &running);
        Ok((waiting, ended))
    }

    /// Replaces workers that died by themselves; `false` when none is left.
    fn tend(&mut self) -> anyhow::Result<bool> {
        let known = self.crew.deaths().len();
        let hired = self.crew.tend()?;
        for (index, death) in self.crew.deaths().iter().skip(known).enumerate() {
            let replaced = hired.get(index).map_or_else(
                || "too many died, it is not replaced".to_owned(),
                |number| format!("worker {number} takes its place"),
            );
            let text = format!(
                "worker {} died by itself: {}; {replaced}",
                death.worker, death.how
            );
            self.progress.say(&text);
        }
        Ok(!self.crew.members().is_empty())
    }
}

fn answer_of(produced: &mut oneshot::Receiver<anyhow::Result<u64>>) -> anyhow::Result<Option<u64>> {
    match produced.try_recv() {
        Ok(answer) => answer.map(Some),
        Err(oneshot::error::TryRecvError::Empty) => Ok(None),
        Err(oneshot::error::TryRecvError::Closed) => bail!("the producer broke off"),
    }
}

/// Reads all jobs, page by page, into the audit.
pub(super) async fn read_jobs(app: &App, audit: &mut Audit) -> anyhow::Result<()> {
    let index = app.client().jobs().context("the demo needs a store")?;
    let mut after = None;
    loop {
        let page = index.query(&JobFilter::default(), after, PAGE).await?;
        for record in &page.jobs {
            audit.job(record)?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
