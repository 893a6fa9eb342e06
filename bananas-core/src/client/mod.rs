//! Enqueueing jobs and following them.

mod batcher;
mod enqueue;
mod handle;

use std::sync::Arc;
use std::time::Duration;

pub use self::enqueue::Enqueue;
pub use self::handle::JobHandle;

use self::batcher::Batcher;
use crate::config::Config;
use crate::{
    Accepted, Args, Env, Job, JobIndex, Ledger, Priority, QueueName, Result, Tags, Task, TaskName,
    TaskOptions,
};

/// Enqueues jobs. Cheap to clone; all clones share one batch.
///
/// Concurrent calls travel together: while one batch is on its way the next one gathers.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ledger: Arc<dyn Ledger>,
    env: Arc<dyn Env>,
    config: Arc<Config>,
    batcher: Arc<Batcher>,
}

/// How long an enqueue may take before it is given up with [`ErrorKind::Timeout`](crate::ErrorKind::Timeout).
const DEADLINE: Duration = Duration::from_secs(30);

impl Client {
    /// A client of a ledger, with the defaults for tasks and queues from the configuration.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, env: Arc<dyn Env>, config: Arc<Config>) -> Self {
        let batcher = Arc::new(Batcher::new(
            Arc::clone(&ledger),
            Arc::clone(&env),
            DEADLINE,
        ));
        Self {
            shared: Arc::new(Shared {
                ledger,
                env,
                config,
                batcher,
            }),
        }
    }

    /// A job to enqueue: does nothing until awaited, and options can be chained on it.
    #[expect(clippy::needless_pass_by_value, reason = "a job is given away")]
    pub fn enqueue<T: Task>(&self, task: T) -> Enqueue<T> {
        let job = TaskName::new(T::NAME)
            .and_then(|name| self.job(name, Args::encode(&task)?, &T::options()));
        Enqueue::new(self.clone(), job)
    }

    /// Enqueues many jobs of one task; the answers are in order, each with its own error.
    pub async fn enqueue_many<T: Task>(
        &self,
        tasks: impl IntoIterator<Item = T>,
    ) -> Vec<Result<JobHandle<T>>> {
        let name = TaskName::new(T::NAME);
        let options = T::options();
        let mut answers: Vec<Option<crate::Error>> = Vec::new();
        let mut jobs = Vec::new();
        for task in tasks {
            let name = name
                .as_ref()
                .map(TaskName::clone)
                .map_err(crate::Error::repeat);
            let job = name.and_then(|name| self.job(name, Args::encode(&task)?, &options));
            match job {
                Ok(job) => {
                    jobs.push(job);
                    answers.push(None);
                }
                Err(e) => answers.push(Some(e)),
            }
        }
        let mut accepted = self.enqueue_jobs(jobs).await.into_iter();
        answers
            .into_iter()
            .filter_map(|refused| match refused {
                Some(e) => Some(Err(e)),
                None => accepted
                    .next()
                    .map(|one| Ok(JobHandle::new(self.clone(), one?))),
            })
            .collect()
    }

    /// Enqueues jobs as they are, for tasks known only by name; the answers are in order.
    pub async fn enqueue_jobs(&self, jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        self.shared.batcher.enqueue(jobs).await
    }

    /// Builds a job the way [`enqueue`](Self::enqueue) does: the task's own options, under those of the
    /// configuration.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when an option of the task is out of range.
    pub fn job(&self, task: TaskName, args: Args, options: &TaskOptions) -> Result<Job> {
        let env = &self.shared.env;
        let mut job = Job::new(env.job_id(), task, args, env.now());
        let config = self.shared.config.tasks.get(&job.task);
        job.queue = match (config.and_then(|c| c.queue.clone()), options.queue) {
            (Some(queue), _) => queue,
            (None, Some(queue)) => QueueName::new(queue)?,
            (None, None) => QueueName::default_queue(),
        };
        job.priority = match (config.and_then(|c| c.priority), options.priority) {
            (Some(priority), _) => priority,
            (None, Some(priority)) => Priority::new(priority)?,
            (None, None) => Priority::DEFAULT,
        };
        job.tags = Tags::of(options.tags)?;
        let queue = self.shared.config.queues.get(&job.queue);
        job.track = config
            .and_then(|c| c.track)
            .or(options.track)
            .or(queue.and_then(|q| q.track))
            .unwrap_or_default();
        Ok(job)
    }

    /// Looking at jobs: their states, results and errors. `None` where nothing is stored.
    #[must_use]
    pub fn jobs(&self) -> Option<&dyn JobIndex> {
        self.shared.ledger.index()
    }

    /// A handle to a job known by its id.
    #[must_use]
    pub fn handle<T: Task>(&self, id: crate::JobId) -> JobHandle<T> {
        JobHandle::new(
            self.clone(),
            Accepted {
                id,
                duplicate: false,
                published: true,
            },
        )
    }

    pub(crate) fn env(&self) -> &Arc<dyn Env> {
        &self.shared.env
    }
}
