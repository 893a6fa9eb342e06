//! [`Load`]: enqueues jobs without a pause, so many that every worker process has something to do, and no more,
//! so that a new job is soon somebody's turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bananas::{App, Args, Job, Spawned, Status, Task, TaskName};
use conformance_tests::judge::{self, Enqueue, What};

use crate::host_clock;
use crate::witness::Witness;
use crate::work::{QUEUE, Work};

/// How often the backlog is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A job that has been open for longer waits for something else than its turn, say for the lease of a delivery
/// whose reply was lost, and keeps nobody busy.
const YOUNG: Duration = Duration::from_secs(3);

/// The most jobs in one batch.
const BATCH: usize = 100;

/// Jobs that are enqueued all the time.
#[derive(Debug)]
pub(crate) struct Load {
    enqueued: Arc<AtomicU64>,
    ending: Arc<AtomicBool>,
    producing: Spawned,
}

struct Producer {
    app: App,
    witness: Arc<Witness>,
    backlog: usize,
    enqueued: Arc<AtomicU64>,
    ending: Arc<AtomicBool>,
}

impl Load {
    /// Begins; from now on about so many young jobs are open at any time.
    pub(crate) fn begin(app: &App, witness: &Arc<Witness>, backlog: usize) -> Self {
        let (enqueued, ending) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let producer = Producer {
            app: app.clone(),
            witness: Arc::clone(witness),
            backlog,
            enqueued: Arc::clone(&enqueued),
            ending: Arc::clone(&ending),
        };
        let run = Box::pin(async move { producer.run().await });
        Self {
            enqueued,
            ending,
            producing: app.env().spawn_isolated("load", run),
        }
    }

    /// How many jobs were asked for.
    pub(crate) fn enqueued(&self) -> u64 {
        self.enqueued.load(Ordering::Relaxed)
    }

    /// Enqueues no more, and waits for the answers that are under way. Says how many jobs were asked for.
    pub(crate) async fn end(&mut self) -> u64 {
        self.ending.store(true, Ordering::Relaxed);
        self.producing.ended().await;
        self.enqueued()
    }
}

impl Producer {
    async fn run(&self) {
        let env = self.app.env();
        let young = u64::try_from(YOUNG.as_micros()).unwrap_or(u64::MAX);
        while !self.ending.load(Ordering::Relaxed) {
            let since = host_clock::now().saturating_sub(young);
            let open = self.witness.open_since(since);
            // One at least, so that the load goes on whatever happens to the jobs.
            let wanted = self.backlog.saturating_sub(open).clamp(1, BATCH);
            self.enqueue(wanted).await;
            env.sleep(LOOK_EVERY).await;
        }
    }

    async fn enqueue(&self, count: usize) {
        let mut jobs = Vec::new();
        let mut names = Vec::new();
        for _ in 0..count {
            let number = self.enqueued.fetch_add(1, Ordering::Relaxed);
            // Neither can fail for this task.
            let Some(job) = self.job(number) else {
                continue;
            };
            let name = judge::Job::from(job.id);
            self.witness.record(What::Enqueue(Enqueue {
                job: name,
                queue: QUEUE.into(),
                key: None,
                priority: 50,
                delayed: false,
                body: number,
            }));
            jobs.push(job);
            names.push(name);
        }
        let answers = self.app.client().enqueue_jobs(jobs).await;
        for (job, answer) in names.into_iter().zip(answers) {
            self.witness.record(match answer {
                Ok(accepted) if accepted.duplicate => What::Duplicate { job },
                Ok(_) => What::Accepted { job },
                Err(e) if e.status() == Status::MayBeApplied => What::Unknown { job },
                Err(_) => What::Refused { job },
            });
        }
    }

    fn job(&self, number: u64) -> Option<Job> {
        let name = TaskName::new(Work::NAME).ok()?;
        let args = Args::encode(&Work { number }).ok()?;
        self.app.client().job(name, args, &Work::options()).ok()
    }
}
