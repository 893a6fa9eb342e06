//! [`Work`]: the job of a run, and what its handler tells the witness.

use std::sync::Arc;
use std::time::Duration;

use bananas::prelude::*;
use bananas::{Env, Track};
use conformance_tests::judge::{Finish, Job, Name, Start, What};

use crate::witness::Voice;

/// The queue of all jobs.
pub(crate) const QUEUE: &str = "work";

/// How long each job takes: so long that a handful of them keeps a worker process busy, and little beside the
/// time in which it has to come back.
pub(crate) const LASTS: Duration = Duration::from_millis(50);

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
}

/// Runs a job.
pub(crate) async fn work(work: Work, State(post): State<Post>, context: JobContext) -> TaskResult {
    let (job, run) = (Job::from(context.id()), post.env.random());
    // Without a record there is no fencing: every run has the same number.
    let is_tracked = context.meta().get(TRACK) == Some(&Track::Full.to_string());
    post.voice.say(What::Start(Start {
        job,
        run,
        owner: Name::clone(&post.name),
        attempt: Some(context.attempt()),
        epoch: is_tracked.then(|| context.fencing_token()),
        lease_until: None,
        body: Some(work.number),
    }))?;
    post.env.sleep(LASTS).await;
    let finish = Finish::Succeeded;
    post.voice.say(What::End { job, run, finish })?;
    Ok(())
}

/// Where a job says how it is tracked.
pub(crate) const TRACK: &str = "track";
