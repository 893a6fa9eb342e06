//! `bananas jobs`: list, show, retry, cancel.

use std::process::ExitCode;
use std::time::Duration;

use bananas::{Alteration, App, Cursor, JobId, JobRecord, JobState};
use clap::{Args, Subcommand};

use crate::cli::Globals;
use crate::criteria::Criteria;
use crate::exit::FAILURE;
use crate::output::Output;
use crate::render::job::JobView;
use crate::render::sheet::{COLUMNS, row, sheet};
use crate::selection::{Change, PAGE, Selection};
use crate::settings;

/// What the help of `jobs` shows.
pub(crate) const EXAMPLES: &str = "\
Examples:
  bananas jobs list --state retrying
  bananas jobs show 0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f
  bananas jobs cancel --all --queue mail";

/// The subcommands of `jobs`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// List jobs, the newest first.
    #[command(after_help = "Examples:
  bananas jobs list
  bananas jobs list --state dead --state retrying --queue mail
  bananas jobs list --tag customer:42 --since 2h
  bananas jobs list --text 'connection refused' --state dead
  bananas jobs list --since 2031-05-04T09:30:00Z --until 2031-05-04T10:00:00Z
  bananas jobs list --limit 1000 --json | jq -r 'select(.crashes > 0) | .id'
  bananas jobs list --after 0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f    # the page after this job")]
    List(ListArgs),
    /// Show everything about jobs: state, times, attempts, errors, arguments, result.
    #[command(after_help = "Examples:
  bananas jobs show 0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f
  bananas jobs show --json 0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f | jq .result")]
    Show(ShowArgs),
    /// Run jobs again now: those that wait for a retry or their time, and those that ended otherwise than well.
    #[command(after_help = "Examples:
  bananas jobs retry 0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f
  bananas jobs retry --all --task email.welcome")]
    Retry(Selection),
    /// Cancel jobs: those that wait do not run, those that run are stopped.
    #[command(after_help = "Examples:
  bananas jobs cancel 0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f
  bananas jobs cancel --all --state scheduled --queue mail
  bananas jobs cancel --all --tag customer:42
  bananas jobs cancel --all --yes")]
    Cancel(CancelArgs),
}

/// Arguments of `jobs list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only jobs in this state; may be given several times.
    #[arg(long = "state", value_name = "STATE")]
    pub(crate) states: Vec<JobState>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    #[command(flatten)]
    pub(crate) criteria: Criteria,
    /// At most so many jobs.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
    /// Start after this job: the last one of the page before.
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<JobId>,
}

/// Arguments of `jobs show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Ids of jobs.
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<JobId>,
}

/// Arguments of `jobs cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// With `--all`: only jobs in this state; may be given several times. Default: all that have not ended.
    #[arg(long = "state", value_name = "STATE", requires = "all")]
    states: Vec<JobState>,
    #[command(flatten)]
    selection: Selection,
}

/// The states `retry --all` means: jobs that ended badly or wait to be tried again.
const RETRIABLE: [JobState; 2] = [JobState::Retrying, JobState::Dead];

/// The states of jobs that have not ended.
const OPEN: [JobState; 4] = [
    JobState::Scheduled,
    JobState::Ready,
    JobState::Running,
    JobState::Retrying,
];

/// Runs a subcommand.
pub(crate) async fn run(
    command: JobsCommand,
    globals: &Globals,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let app = settings::open_existing(globals).await?;
    match command {
        JobsCommand::List(args) => list(&app, &args.states, &args.page, output).await,
        JobsCommand::Show(args) => show(&app, &args, output).await,
        JobsCommand::Retry(selection) => {
            let change = Change {
                alteration: Alteration::Retry,
                verb: "retry",
                states: &RETRIABLE,
                strict: false,
            };
            let code = selection.apply(&app, change, output).await?;
            Ok(ExitCode::from(code))
        }
        JobsCommand::Cancel(args) => {
            let states = if args.states.is_empty() {
                OPEN.as_slice()
            } else {
                &args.states
            };
            let change = Change {
                alteration: Alteration::Cancel,
                verb: "cancel",
                states,
                strict: false,
            };
            let code = args.selection.apply(&app, change, output).await?;
            Ok(ExitCode::from(code))
        }
    }
}

/// How long `list` looks for jobs where few of many match.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lists jobs; `dead list` does it for one state.
pub(crate) async fn list(
    app: &App,
    states: &[JobState],
    page: &PageArgs,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let index = settings::index(app)?;
    let (now, start) = (app.env().now(), app.env().monotonic());
    let filter = page.criteria.filter(states, now)?;
    let mut left = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut after = page.after.map(Cursor);
    let mut rows = Vec::new();
    let mut is_patient = true;
    while left > 0 && is_patient {
        let found = index.query(&filter, after, left.min(PAGE)).await?;
        left = left.saturating_sub(found.jobs.len());
        for record in &found.jobs {
            if output.is_json() {
                output.json(&JobView::of(record))?;
            } else {
                rows.push(row(record, output.is_terminal(), now));
            }
        }
        after = found.next;
        if after.is_none() {
            break;
        }
        // Full pages are no search: who asks for a million jobs gets them.
        is_patient = !found.jobs.is_empty() || app.env().monotonic().since(start) < PATIENCE;
    }
    if !output.is_json() {
        if !rows.is_empty() {
            output.table(&COLUMNS, rows)?;
        } else if after.is_none() {
            output.note("no jobs match");
        }
    }
    match after {
        Some(Cursor(last)) if left > 0 => output.note(format_args!(
            "stopped after {PATIENCE:?} of looking for more; add --after {last} to go on, or restrict with --state, --tag or --since"
        )),
        Some(Cursor(last)) if !output.is_json() => output.note(format_args!(
            "there are more: add --after {last}, or a larger --limit"
        )),
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows jobs; `dead show` does it too.
pub(crate) async fn show(app: &App, args: &ShowArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let index = settings::index(app)?;
    let mut code = ExitCode::SUCCESS;
    let mut is_first = true;
    for ids in args.ids.chunks(PAGE) {
        let records = index.get(ids).await?;
        for (id, record) in ids.iter().zip(records) {
            match record {
                Some(record) => show_one(app, &record, is_first, output).await?,
                None => {
                    output.error(format_args!(
                        "there is no job {id} in {}; it is not tracked, was pruned, or is elsewhere",
                        app.ledger().info().url
                    ));
                    code = ExitCode::from(FAILURE);
                }
            }
            is_first = false;
        }
    }
    Ok(code)
}

async fn show_one(
    app: &App,
    record: &JobRecord,
    is_first: bool,
    output: &Output,
) -> anyhow::Result<()> {
    if output.is_json() {
        return output.json(&JobView::of(record));
    }
    let owners = match record.standing.owner {
        Some(_) => app.ledger().owners(None).await?.0,
        None => Vec::new(),
    };
    if !is_first {
        output.line("")?;
    }
    output.line(sheet(record, &owners, app.env().now()).trim_end())
}
