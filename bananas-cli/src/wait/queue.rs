//! Waiting until a queue, or everything, has no job that has not ended.

use std::time::Duration;

use bananas::{App, JobState, QueueName};

use super::progress::Progress;
use super::{Summary, Watch};
use crate::output::Output;
use crate::settings;

/// Waits until every job of the queue, or of all queues, has ended. The summary counts those that ended meanwhile.
pub(crate) async fn wait_for_queue(
    app: &App,
    queue: Option<&QueueName>,
    timeout: Option<Duration>,
    output: &Output,
) -> anyhow::Result<Summary> {
    let env = app.env();
    let watch = Watch::new(app, timeout);
    let mut progress = Progress::new(output, env.monotonic());
    let (before, _) = look(app, queue).await?;
    loop {
        let looked = env.monotonic();
        let (ended, open) = look(app, queue).await?;
        let mut summary = since(&ended, &before);
        let now = env.monotonic();
        progress.show(summary.ended(), summary.ended() + open, now);
        if open == 0 || !watch.changed(now.since(looked)).await? {
            progress.end();
            summary.left = open;
            summary.elapsed_ms = watch.elapsed_ms();
            return Ok(summary);
        }
    }
}

/// The jobs that have ended, and how many have not.
async fn look(app: &App, queue: Option<&QueueName>) -> anyhow::Result<(Summary, u64)> {
    let mut ended = Summary::default();
    let mut open = 0;
    for count in settings::index(app)?.counts().await? {
        if queue.is_some_and(|queue| *queue != count.queue) {
            continue;
        }
        ended.add(count.state, count.jobs);
        open += if count.state.is_terminal() {
            0
        } else {
            count.jobs
        };
    }
    Ok((ended, open))
}

/// What has ended since; a worker that forgets old records meanwhile does not make it negative.
fn since(now: &Summary, before: &Summary) -> Summary {
    let mut since = Summary::default();
    since.add(
        JobState::Succeeded,
        now.succeeded.saturating_sub(before.succeeded),
    );
    since.add(JobState::Dead, now.dead.saturating_sub(before.dead));
    since.add(
        JobState::Cancelled,
        now.cancelled.saturating_sub(before.cancelled),
    );
    since.add(
        JobState::Expired,
        now.expired.saturating_sub(before.expired),
    );
    since
}
