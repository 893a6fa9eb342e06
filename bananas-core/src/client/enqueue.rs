//! One job on its way in, with its options.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::time::Duration;

use crate::{
    Accepted, Args, BoxFuture, Client, Error, ErrorKind, Job, JobHandle, JobId, Priority,
    QueueName, Result, Tag, Task, Timestamp, Unique,
};

/// A job that is enqueued when this is awaited.
///
/// A mistake in an option (a priority of 101) is the answer of the await.
#[must_use = "nothing is enqueued until this is awaited"]
#[derive(Debug)]
pub struct Enqueue<T> {
    client: Client,
    job: Result<Job>,
    task: PhantomData<fn() -> T>,
}

impl<T: Task> Enqueue<T> {
    pub(super) fn new(client: Client, job: Result<Job>) -> Self {
        Self {
            client,
            job,
            task: PhantomData,
        }
    }

    fn change(mut self, change: impl FnOnce(&mut Job, Timestamp) -> Result<()>) -> Self {
        let now = self.client.env().now();
        if let Ok(job) = &mut self.job
            && let Err(e) = change(job, now)
        {
            self.job = Err(e);
        }
        self
    }

    /// Not to start before so much time has passed.
    pub fn delay(self, delay: Duration) -> Self {
        self.change(|job, now| {
            job.run_at = Some(now + delay);
            Ok(())
        })
    }

    /// Not to start before this time.
    pub fn at(self, time: Timestamp) -> Self {
        self.change(|job, _| {
            job.run_at = Some(time);
            Ok(())
        })
    }

    /// Not to start later than so much time from now; then it is `Expired`.
    pub fn expires_in(self, lasts: Duration) -> Self {
        self.change(|job, now| {
            job.expires_at = Some(now + lasts);
            Ok(())
        })
    }

    /// Goes to another queue than its task says.
    pub fn queue(self, queue: impl AsRef<str>) -> Self {
        self.change(|job, _| {
            job.queue = QueueName::new(queue)?;
            Ok(())
        })
    }

    /// 0 to 100; higher runs earlier.
    pub fn priority(self, priority: u8) -> Self {
        self.change(|job, _| {
            job.priority = Priority::new(priority)?;
            Ok(())
        })
    }

    /// How many runs may fail before it is dead.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.change(|job, _| {
            if attempts == 0 {
                let message = "max_attempts is 0; the first run is attempt 1";
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            job.max_attempts = Some(attempts);
            Ok(())
        })
    }

    /// How long one run may take.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.change(|job, _| {
            job.timeout = Some(timeout);
            Ok(())
        })
    }

    /// For so long from now, another job of this task with the same arguments on the same queue is a duplicate:
    /// its enqueue answers with this one.
    pub fn unique_for(self, lasts: Duration) -> Self {
        self.change(|job, _| {
            let key = match &job.unique {
                Some(unique) => unique.key.clone(),
                None => key_of(job),
            };
            job.unique = Some(Unique { key, lasts });
            Ok(())
        })
    }

    /// Uses this id, so that enqueueing again after an unclear answer is the same job.
    pub fn id(self, id: JobId) -> Self {
        self.change(|job, _| {
            job.id = id;
            Ok(())
        })
    }

    /// Adds a label by which people find the job, such as `customer:42`: 1 to 64 bytes without control
    /// characters, at most 16 of them.
    pub fn tag(self, tag: impl AsRef<str>) -> Self {
        self.change(|job, _| job.tags.insert(Tag::new(tag)?))
    }

    /// Attaches a text of yours to the job.
    pub fn meta(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.change(|job, _| {
            job.meta.insert(name.into(), value.into());
            Ok(())
        })
    }
}

/// The task and a digest of the arguments.
fn key_of(job: &Job) -> String {
    let (Args::Json(bytes) | Args::Data { bytes, .. }) = &job.args;
    format!("{}/{}", job.task, blake3::hash(bytes).to_hex())
}

impl<T: Task> IntoFuture for Enqueue<T> {
    type Output = Result<JobHandle<T>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let job = self.job?;
            let mut answers = self.client.enqueue_jobs(vec![job]).await;
            let accepted: Accepted = answers.pop().unwrap_or_else(|| {
                Err(
                    Error::new(ErrorKind::Internal, "the backend answered nothing")
                        .during("enqueue"),
                )
            })?;
            Ok(JobHandle::new(self.client, accepted))
        })
    }
}
