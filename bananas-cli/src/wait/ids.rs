//! Waiting for jobs known by their ids.

use std::time::Duration;

use bananas::{App, Error, ErrorKind, JobId, JobRecord};

use super::progress::Progress;
use super::{Summary, Watch};
use crate::output::Output;
use crate::render::text::one_line;
use crate::selection::PAGE;
use crate::settings;

/// How many jobs that have not ended are named.
const NAMED: usize = 5;

/// What a job without a record means at the first look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A mistake in the id.
    IsAnError,
    /// It was enqueued a moment ago, and has ended without a trace.
    HasEnded,
}

/// Waits until all these jobs have ended; `ended` sees each record that has.
pub(crate) async fn wait_for_ids(
    app: &App,
    ids: &[JobId],
    (timeout, missing): (Option<Duration>, Missing),
    output: &Output,
    mut ended: impl FnMut(&JobRecord) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let env = app.env();
    let watch = Watch::new(app, timeout);
    let mut progress = Progress::new(output, env.monotonic());
    let mut summary = Summary::default();
    let mut pending = ids.to_vec();
    pending.sort_unstable();
    pending.dedup();
    let total = pending.len() as u64;
    let mut missing = missing;
    loop {
        let looked = env.monotonic();
        pending = look(app, &pending, missing, &mut summary, &mut ended).await?;
        missing = Missing::HasEnded;
        let now = env.monotonic();
        progress.show(summary.ended(), total, now);
        if pending.is_empty() || !watch.changed(now.since(looked)).await? {
            break;
        }
    }
    progress.end();
    name_unended(app, &pending, output).await?;
    summary.left = pending.len() as u64;
    summary.elapsed_ms = watch.elapsed_ms();
    Ok(summary)
}

/// Says of the first jobs that have not ended where they are: a task that no worker knows would be waited for in
/// vain again.
async fn name_unended(app: &App, pending: &[JobId], output: &Output) -> anyhow::Result<()> {
    let first = pending.get(..NAMED).unwrap_or(pending);
    for record in settings::index(app)?.get(first).await?.iter().flatten() {
        let note = record.note.as_deref().unwrap_or_default();
        let why = if note.is_empty() {
            String::new()
        } else {
            format!(": {}", one_line(note, 200))
        };
        output.note(format_args!(
            "{} is {}{why}",
            record.id, record.standing.state
        ));
    }
    Ok(())
}

/// Looks at all pending jobs once, and answers with those that still are.
async fn look(
    app: &App,
    pending: &[JobId],
    missing: Missing,
    summary: &mut Summary,
    ended: &mut impl FnMut(&JobRecord) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<JobId>> {
    let index = settings::index(app)?;
    let mut still = Vec::with_capacity(pending.len());
    for ids in pending.chunks(PAGE) {
        for (id, record) in ids.iter().zip(index.get(ids).await?) {
            match record {
                Some(record) if record.standing.state.is_terminal() => {
                    summary.add(record.standing.state, 1);
                    ended(&record)?;
                }
                Some(_) => still.push(*id),
                None if missing == Missing::HasEnded => summary.forgotten += 1,
                None => return Err(no_such_job(app, *id).into()),
            }
        }
    }
    Ok(still)
}

fn no_such_job(app: &App, id: JobId) -> Error {
    let message = format!(
        "there is no job {id} in {}; it is not tracked, was pruned, or is elsewhere",
        app.ledger().info().url
    );
    Error::new(ErrorKind::NotFound, message)
}
