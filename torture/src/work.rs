//! [`Work`]: the job of a run, and what its handler tells the witness.

use std::sync::Arc;
use std::time::Duration;

use bananas::Env;
use bananas::prelude::*;
use conformance_tests::judge::{Finish, Job, Name, Start, What};

use crate::witness::Voice;

/// The queue of all jobs.
pub(crate) const QUEUE: &str = "work";

/// A job that does nothing for a while.
#[derive(Debug, Task, Serialize, Deserialize)]
#[task(name = "torture.work", queue = "work")]
pub(crate) struct Work {
    pub(crate) number: u64,
}

/// Who runs jobs here, and whom he tells.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) name: Name,
    pub(crate) voice: Arc<Voice>,
    pub(crate) env: Arc<dyn Env>,
    /// How long each job takes.
    pub(crate) lasts: Duration,
    /// Whether later runs of a job have higher fencing numbers.
    pub(crate) is_fenced: bool,
}

/// Runs a job.
pub(crate) async fn work(work: Work, State(post): State<Post>, context: JobContext) -> TaskResult {
    let (job, run) = (Job::from(context.id()), post.env.random());
    post.voice.say(What::Start(Start {
        job,
        run,
        owner: Name::clone(&post.name),
        attempt: Some(context.attempt()),
        epoch: post.is_fenced.then(|| context.fencing_token()),
        lease_until: None,
        body: Some(work.number),
    }))?;
    post.env.sleep(post.lasts).await;
    let finish = Finish::Succeeded;
    post.voice.say(What::End { job, run, finish })?;
    Ok(())
}
