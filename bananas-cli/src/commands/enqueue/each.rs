//! `enqueue --each`: one job per line of standard input.
//!
//! A line that is wrong in itself is reported and the others go on. Trouble of the backend ends it, with the
//! line from which on to try again.

use std::io;

use anyhow::Context;
use bananas::{App, Args, ErrorKind, Job, JobId};

use super::lines::{Line, read_ahead};
use super::{Done, EnqueueArgs, argument, report};
use crate::exit::{FAILURE, ReaderGone};
use crate::output::Output;
use crate::render::text::count;

/// Counts as it goes.
#[derive(Debug, Default)]
struct Tally {
    enqueued: u64,
    bad: u64,
    ids: Vec<JobId>,
    /// The ids cannot be printed any more. The jobs are what matters, so they go on.
    unread: bool,
    /// Why not, unless it is only that nobody reads them.
    unwritten: Option<anyhow::Error>,
}

/// Enqueues all lines.
pub(super) async fn run(app: &App, args: &EnqueueArgs, output: &Output) -> anyhow::Result<Done> {
    let mut chunks = read_ahead(io::stdin()).context("standard input cannot be read")?;
    let mut tally = Tally::default();
    while let Some(chunk) = chunks.recv().await {
        let chunk = chunk.context("standard input cannot be read")?;
        let mut numbers = Vec::with_capacity(chunk.len());
        let mut jobs = Vec::with_capacity(chunk.len());
        for line in chunk {
            let number = line.number;
            match job(app, args, line) {
                Ok(None) => {}
                Ok(Some(job)) => {
                    numbers.push(number);
                    jobs.push(job);
                }
                Err(why) => tally.reject(number, why, output),
            }
        }
        tally.send(app, args, (numbers, jobs), output).await?;
    }
    if let Some(why) = tally.unwritten {
        let enqueued = count(tally.enqueued, "job");
        return Err(why.context(format!("{enqueued} enqueued, but not all ids printed")));
    }
    if tally.bad > 0 {
        let bad = count(tally.bad, "line");
        output.error(format_args!(
            "{} enqueued, {bad} not",
            count(tally.enqueued, "job")
        ));
        return Ok(Done {
            ids: tally.ids,
            code: FAILURE,
        });
    }
    output.note(format_args!("{} enqueued", count(tally.enqueued, "job")));
    Ok(Done {
        ids: tally.ids,
        code: 0,
    })
}

/// The job of a line; none for an empty one.
fn job(app: &App, args: &EnqueueArgs, line: Line) -> Result<Option<Job>, String> {
    let bytes = line.content.map_err(argument::too_large)?;
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|e| format!("not UTF-8, from byte {} on", e.valid_up_to() + 1))?;
    let argument = Args::from_json(text).map_err(|e| e.to_string())?;
    args.options
        .job(app, &args.task, argument)
        .map(Some)
        .map_err(|e| e.to_string())
}

impl Tally {
    fn reject(&mut self, number: u64, why: impl std::fmt::Display, output: &Output) {
        self.bad += 1;
        output.error(format_args!("line {number}: {why}"));
    }

    async fn send(
        &mut self,
        app: &App,
        args: &EnqueueArgs,
        (numbers, jobs): (Vec<u64>, Vec<Job>),
        output: &Output,
    ) -> anyhow::Result<()> {
        let answers = app.client().enqueue_jobs(jobs).await;
        for (number, answer) in numbers.into_iter().zip(answers) {
            match answer {
                Ok(accepted) => {
                    self.enqueued += 1;
                    if args.wait.is_some() {
                        self.ids.push(accepted.id);
                    }
                    let is_silent = args.wait.is_some() || self.unread;
                    if let Err(e) = report(&accepted, is_silent, output) {
                        self.stop_telling(e);
                    }
                }
                Err(e) if matches!(e.kind(), ErrorKind::InvalidArgument | ErrorKind::TooLarge) => {
                    self.reject(number, e, output);
                }
                Err(e) => {
                    let enqueued = count(self.enqueued, "job");
                    let so_far = format!("{enqueued} enqueued; not enqueued from line {number} on");
                    return Err(anyhow::Error::new(e).context(so_far));
                }
            }
        }
        Ok(())
    }

    fn stop_telling(&mut self, why: anyhow::Error) {
        self.unread = true;
        if why.downcast_ref::<ReaderGone>().is_none() {
            self.unwritten = Some(why);
        }
    }
}
