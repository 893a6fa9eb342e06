//! What a handler can know about the job it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bananas_core::{Job, JobId, QueueName, Tags, TaskName};

use super::FromJob;
use crate::runs::{Run, Stop};

/// The job that a handler runs, as far as it is no argument.
#[derive(Clone, Debug)]
pub struct JobContext(pub(crate) Arc<Run>);

/// Which attempt this is, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u32);

/// Tells a handler to stop: somebody cancelled the job, its time is up, the worker shuts down, or it lost its
/// lease. Whoever does not look is taken off a moment later, at its next await point.
#[derive(Clone, Debug)]
pub struct CancelToken(Arc<Run>);

impl JobContext {
    pub(crate) fn job(&self) -> &Job {
        &self.0.claimed.job
    }

    /// The job's id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.job().id
    }

    /// The task's name.
    #[must_use]
    pub fn task(&self) -> &TaskName {
        &self.job().task
    }

    /// The queue it came from.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.job().queue
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.claimed.attempt
    }

    /// The same text for all attempts of this job, and for no other job: for services that take such a key.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        self.id().to_string()
    }

    /// A number that grows with every run of this job. A system that refuses numbers smaller than the last it
    /// saw is safe from a run that was believed dead and was not.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.0.claimed.epoch
    }

    /// Waits until the handler should stop: somebody cancelled the job, its time is up, the worker shuts down
    /// or has lost its lease.
    pub async fn cancelled(&self) {
        self.0.stopped().await;
    }

    /// Whether the handler should stop now. Cheap enough for an inner loop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.why() != Stop::No
    }

    /// The same as a value of its own, to hand on to code that knows no jobs.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        CancelToken(Arc::clone(&self.0))
    }

    /// Labels of the job, sorted, as its task and the program that enqueued it gave them.
    #[must_use]
    pub fn tags(&self) -> &Tags {
        &self.job().tags
    }

    /// Free text by name, as the program that enqueued the job gave it.
    #[must_use]
    pub fn meta(&self) -> &BTreeMap<String, String> {
        &self.job().meta
    }
}

impl CancelToken {
    /// Whether the handler should stop now. Cheap enough for an inner loop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.why() != Stop::No
    }

    /// Waits until the handler should stop.
    pub async fn cancelled(&self) {
        self.0.stopped().await;
    }
}

impl<S> FromJob<S> for JobContext {
    fn from_job(context: &JobContext, _state: &S) -> Self {
        context.clone()
    }
}

impl<S> FromJob<S> for Attempt {
    fn from_job(context: &JobContext, _state: &S) -> Self {
        Self(context.attempt())
    }
}

impl<S> FromJob<S> for CancelToken {
    fn from_job(context: &JobContext, _state: &S) -> Self {
        context.cancel_token()
    }
}
