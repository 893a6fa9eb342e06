//! Which jobs a command changes: by id, or all that match, page by page.

use bananas::{Alteration, Altered, App, Cursor, JobFilter, JobId, JobIndex, JobState, Timestamp};
use clap::Args;
use serde::Serialize;

use crate::criteria::Criteria;
use crate::exit::{FAILURE, usage};
use crate::output::Output;
use crate::prompt::confirm;
use crate::render::text::count;
use crate::settings;

/// How many jobs are read or changed at once.
pub(crate) const PAGE: usize = 500;

/// Jobs by id, or all that match.
#[derive(Clone, Debug, Args)]
pub(crate) struct Selection {
    /// Ids of jobs.
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) ids: Vec<JobId>,
    /// All jobs that match, instead of ids.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) criteria: Criteria,
    /// Do not ask.
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// A change to selected jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) alteration: Alteration,
    /// The verb, for people.
    pub(crate) verb: &'a str,
    /// Which states `--all` means.
    pub(crate) states: &'a [JobState],
    /// Whether jobs named by id must be in one of these states too.
    pub(crate) strict: bool,
}

/// What became of one job.
#[derive(Debug, Serialize)]
struct ChangeView {
    id: JobId,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<JobState>,
}

impl Selection {
    /// Changes the jobs and says what became of each; the answer is the exit code.
    pub(crate) async fn apply(
        &self,
        app: &App,
        change: Change<'_>,
        output: &Output,
    ) -> anyhow::Result<u8> {
        let (index, now) = (settings::index(app)?, app.env().now());
        if !self.all {
            if !self.criteria.is_empty() {
                return Err(usage(
                    "--queue, --task, --tag and the like go with --all, not with ids",
                ));
            }
            return self.apply_to_ids(index, change, output).await;
        }
        // A mistake in what was asked for is told before the question.
        let filter = self.criteria.filter(change.states, now)?;
        if !self.yes && !confirm(&self.question(index, change, now).await?)? {
            output.note("nothing was changed");
            return Ok(FAILURE);
        }
        self.apply_to_all(index, (&filter, change), output).await
    }

    async fn apply_to_ids(
        &self,
        index: &dyn JobIndex,
        change: Change<'_>,
        output: &Output,
    ) -> anyhow::Result<u8> {
        let mut code = 0;
        for ids in self.ids.chunks(PAGE) {
            let mut allowed = ids.to_vec();
            if change.strict {
                let records = index.get(ids).await?;
                for (id, record) in ids.iter().zip(records) {
                    let state = record.map(|record| record.standing.state);
                    if state.is_none_or(|state| !change.states.contains(&state)) {
                        let refused = state.map_or(Altered::Missing, Altered::Refused);
                        report(*id, refused, change, output)?;
                        code = FAILURE;
                        allowed.retain(|kept| kept != id);
                    }
                }
            }
            let answers = index.alter(&allowed, change.alteration).await?;
            for (id, altered) in allowed.iter().zip(answers) {
                if !report(*id, altered, change, output)? {
                    code = FAILURE;
                }
            }
        }
        Ok(code)
    }

    async fn apply_to_all(
        &self,
        index: &dyn JobIndex,
        (filter, change): (&JobFilter, Change<'_>),
        output: &Output,
    ) -> anyhow::Result<u8> {
        let mut after: Option<Cursor> = None;
        let mut changed = 0;
        loop {
            let page = index.query(filter, after, PAGE).await?;
            let ids: Vec<JobId> = page.jobs.iter().map(|job| job.id).collect();
            let answers = index.alter(&ids, change.alteration).await?;
            for (id, altered) in ids.iter().zip(answers) {
                // Another process may have moved it meanwhile; then it is no longer what was asked for.
                let moved = matches!(altered, Altered::Refused(_) | Altered::Missing);
                if !moved && report(*id, altered, change, output)? {
                    changed += 1;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        output.note(format_args!("{}: {}", change.verb, count(changed, "job")));
        Ok(0)
    }

    /// "cancel all ready, running (12) on queue mail"
    async fn question(
        &self,
        index: &dyn JobIndex,
        change: Change<'_>,
        now: Timestamp,
    ) -> anyhow::Result<String> {
        let states: Vec<&str> = change.states.iter().map(|state| state.as_str()).collect();
        let mut jobs = "jobs".to_owned();
        if self.criteria.is_at_most_a_queue() {
            let queue = self.criteria.queue.as_ref();
            let counts = index.counts().await?;
            let number: u64 = counts
                .iter()
                .filter(|count| change.states.contains(&count.state))
                .filter(|count| queue.is_none_or(|queue| *queue == count.queue))
                .map(|count| count.jobs)
                .sum();
            jobs = format!("({number})");
        }
        let criteria = self.criteria.describe(now);
        Ok(format!(
            "{} all {} {jobs}{criteria}",
            change.verb,
            states.join(", ")
        ))
    }
}

/// Says what became of one job; the answer is whether the wish was granted.
fn report(
    id: JobId,
    altered: Altered,
    change: Change<'_>,
    output: &Output,
) -> anyhow::Result<bool> {
    let (outcome, state) = match altered {
        Altered::Done(state) => ("done", Some(state)),
        Altered::Requested => ("requested", Some(JobState::Running)),
        Altered::Dropped => ("dropped", None),
        Altered::Refused(state) => ("refused", Some(state)),
        Altered::Missing => ("missing", None),
    };
    let granted = !matches!(altered, Altered::Refused(_) | Altered::Missing);
    if output.is_json() {
        output.json(&ChangeView { id, outcome, state })?;
        return Ok(granted);
    }
    match altered {
        Altered::Done(state) => output.line(format_args!("{id} is {state}"))?,
        Altered::Requested => output.line(format_args!(
            "{id} is running; its worker was asked to stop it"
        ))?,
        Altered::Dropped => output.line(format_args!("{id} is dropped"))?,
        Altered::Refused(state) => {
            output.error(format_args!("{} {id}: it is {state}", change.verb));
        }
        Altered::Missing => output.error(format_args!(
            "{} {id}: there is no such job here; it is not tracked, was pruned, or is elsewhere",
            change.verb
        )),
    }
    Ok(granted)
}
