//! Which jobs a command is about: by id, or by state, queue and task, page by page.

use bananas::{
    Alteration, Altered, Cursor, JobFilter, JobId, JobIndex, JobState, QueueName, TaskName,
};
use clap::Args;
use serde::Serialize;

use crate::exit::{FAILURE, usage};
use crate::output::Output;
use crate::prompt::confirm;
use crate::render::text::count;

/// How many jobs are read or changed at once.
pub(crate) const PAGE: usize = 500;

/// Jobs by where they are.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Place {
    /// Only jobs on this queue.
    #[arg(long, value_name = "QUEUE")]
    pub(crate) queue: Option<QueueName>,
    /// Only jobs of this task.
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<TaskName>,
}

impl Place {
    /// The filter for these states; none means every state.
    pub(crate) fn filter(&self, states: &[JobState]) -> JobFilter {
        let mut filter = JobFilter::default();
        filter.states = states.to_vec();
        filter.queue.clone_from(&self.queue);
        filter.task.clone_from(&self.task);
        filter
    }

    fn is_everywhere(&self) -> bool {
        self.queue.is_none() && self.task.is_none()
    }
}

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
    pub(crate) place: Place,
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
        index: &dyn JobIndex,
        change: Change<'_>,
        output: &Output,
    ) -> anyhow::Result<u8> {
        if !self.all {
            if !self.place.is_everywhere() {
                return Err(usage("--queue and --task go with --all, not with ids"));
            }
            return self.apply_to_ids(index, change, output).await;
        }
        if !self.yes && !confirm(&self.question(index, change).await?)? {
            output.note("nothing was changed");
            return Ok(FAILURE);
        }
        self.apply_to_all(index, change, output).await
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
        change: Change<'_>,
        output: &Output,
    ) -> anyhow::Result<u8> {
        let filter = self.place.filter(change.states);
        let mut after: Option<Cursor> = None;
        let mut changed = 0;
        loop {
            let page = index.query(&filter, after, PAGE).await?;
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

    /// "cancel the 12 ready or running jobs of queue mail"
    async fn question(&self, index: &dyn JobIndex, change: Change<'_>) -> anyhow::Result<String> {
        let states: Vec<&str> = change.states.iter().map(|state| state.as_str()).collect();
        let mut question = format!("{} all {} jobs", change.verb, states.join(", "));
        if self.place.task.is_none() {
            let counts = index.counts().await?;
            let jobs: u64 = counts
                .iter()
                .filter(|count| change.states.contains(&count.state))
                .filter(|count| {
                    self.place
                        .queue
                        .as_ref()
                        .is_none_or(|queue| *queue == count.queue)
                })
                .map(|count| count.jobs)
                .sum();
            question = format!("{} all {} ({jobs})", change.verb, states.join(", "));
        }
        if let Some(queue) = &self.place.queue {
            question = format!("{question} on queue {queue}");
        }
        if let Some(task) = &self.place.task {
            question = format!("{question} of task {task}");
        }
        Ok(question)
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
