//! The options of a job, laid over the defaults of its task.

use std::time::Duration;

use bananas::{
    App, Args, Job, JobId, Priority, QueueName, Tag, TaskName, TaskOptions, Timestamp, Track,
    Unique,
};

use crate::value;

/// Options of a job. What is left out comes from `[tasks]` of the configuration.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct JobOptions {
    /// The queue.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    /// 0 to 100; higher runs earlier. Default 50.
    #[arg(long, value_name = "N", value_parser = value::priority)]
    priority: Option<Priority>,
    /// Not to start before so much time has passed: 10s, 5m, "1h 30m".
    #[arg(long, value_name = "DURATION", value_parser = value::duration, conflicts_with = "at")]
    delay: Option<Duration>,
    /// Not to start before this time, in RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = value::time)]
    at: Option<Timestamp>,
    /// Not to start later than so much time from now.
    #[arg(long, value_name = "DURATION", value_parser = value::some_duration)]
    expires_in: Option<Duration>,
    /// How many runs may fail before the job is dead.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,
    /// How long one run may take.
    #[arg(long, value_name = "DURATION", value_parser = value::some_duration)]
    timeout: Option<Duration>,
    /// For so long, enqueueing the same task with the same argument on the same queue adds nothing.
    #[arg(long, value_name = "DURATION", value_parser = value::some_duration)]
    unique_for: Option<Duration>,
    /// A label to find the job by, such as customer:42; may be given up to 16 times.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
    /// The job's id, a UUID: enqueueing it again adds nothing.
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<JobId>,
    /// What is kept of the job: none, outcome or full. Default full.
    #[arg(long, value_name = "TRACK")]
    track: Option<Track>,
}

impl JobOptions {
    /// A job with these options.
    pub(super) fn job(&self, app: &App, task: &TaskName, args: Args) -> bananas::Result<Job> {
        let mut job = app
            .client()
            .job(task.clone(), args, &TaskOptions::default())?;
        let now = job.created_at;
        if let Some(queue) = &self.queue {
            job.queue.clone_from(queue);
        }
        job.priority = self.priority.unwrap_or(job.priority);
        job.track = self.track.unwrap_or(job.track);
        job.id = self.id.unwrap_or(job.id);
        job.run_at = self.at.or(self.delay.map(|delay| now + delay));
        job.expires_at = self.expires_in.map(|lasts| now + lasts);
        job.max_attempts = self.max_attempts;
        job.timeout = self.timeout;
        for tag in &self.tags {
            job.tags.insert(tag.clone())?;
        }
        job.unique = self.unique_for.map(|lasts| Unique {
            key: key_of(&job),
            lasts,
        });
        Ok(job)
    }
}

/// The task and a digest of the arguments: the key that `Enqueue::unique_for` uses, so that jobs of programs and
/// of this command are duplicates of each other.
fn key_of(job: &Job) -> String {
    let (Args::Json(bytes) | Args::Data { bytes, .. }) = &job.args;
    format!("{}/{}", job.task, blake3::hash(bytes).to_hex())
}
