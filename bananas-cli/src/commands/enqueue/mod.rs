//! `bananas enqueue`: one job from the command line, or one per line of standard input.

mod argument;
mod each;
mod lines;
mod options;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bananas::{Accepted, App, Error, ErrorKind, JobId, JobRecord, JobState, TaskName, Track};
use serde::Serialize;

use self::options::JobOptions;
use crate::cli::Globals;
use crate::exit::{FAILURE, usage};
use crate::output::Output;
use crate::render::job::{JobView, raw};
use crate::render::text::one_line;
use crate::settings::{self, Settings};
use crate::value;
use crate::wait::{Missing, wait_for_ids};

/// Arguments of `enqueue`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bananas enqueue hello '{\"name\": \"world\"}'
  bananas enqueue resize @photo.json --queue images --priority 80
  pg_dump --schema-only | jq -Rs . | bananas enqueue archive -
  bananas enqueue report --tag customer:42 --tag billing
  bananas enqueue report --at 2031-05-04T09:30:00Z --max-attempts 3
  bananas enqueue hello '{\"name\": \"world\"}' --wait 30s
  find . -name '*.png' | jq -R '{input: .}' -c | bananas enqueue thumbnail --each

Prints the id of each job. With --wait: its id, state and result; ends with 3 when a job ended otherwise than
well, with 4 when the time ran out first. With --each a line that is no JSON is reported with its number, the
others go on, and the exit code is 1.")]
pub(crate) struct EnqueueArgs {
    /// The task.
    task: TaskName,
    /// The argument, one JSON value; `@FILE` reads a file, `-` standard input.
    #[arg(
        value_name = "JSON",
        default_value = "null",
        allow_negative_numbers = true
    )]
    argument: String,
    /// One job per line of standard input, each line one JSON value.
    #[arg(long)]
    each: bool,
    #[command(flatten)]
    options: JobOptions,
    /// Wait until the jobs have ended, at most so long.
    #[arg(long, value_name = "TIMEOUT", num_args = 0..=1, value_parser = value::duration)]
    wait: Option<Option<Duration>>,
}

#[derive(Debug, Serialize)]
struct AcceptedView {
    id: JobId,
    duplicate: bool,
    published: bool,
}

/// Enqueues.
pub(crate) async fn run(
    args: EnqueueArgs,
    globals: &Globals,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    if args.each && args.argument != "null" {
        return Err(usage(
            "with --each the arguments come from standard input; leave JSON out",
        ));
    }
    if args.each && args.options.id.is_some() {
        return Err(usage("--id names one job; with --each there are many"));
    }
    // Everything that can be refused without a connection is refused first.
    let argument = if args.each {
        None
    } else {
        Some(argument::read(&args.argument)?)
    };
    let app = settings::open(Settings::read(globals)?.config).await?;
    if args.wait.is_some() {
        refuse_untracked(&app, &args)?;
    }
    let done = match argument {
        None => each::run(&app, &args, output).await?,
        Some(argument) => {
            let job = args.options.job(&app, &args.task, argument)?;
            let answer = app.client().enqueue_jobs(vec![job]).await.pop();
            let accepted = answer.unwrap_or_else(|| {
                Err(Error::new(
                    ErrorKind::Internal,
                    "the backend answered nothing",
                ))
            })?;
            let ids = vec![accepted.id];
            let told = report(&accepted, args.wait.is_some(), output);
            told.with_context(|| format!("job {} is enqueued", accepted.id))?;
            Done { ids, code: 0 }
        }
    };
    let code = match args.wait {
        Some(timeout) => wait(&app, &done, timeout, output).await?,
        None => ExitCode::from(done.code),
    };
    app.close(Duration::from_secs(10)).await?;
    Ok(code)
}

/// What was enqueued.
#[derive(Debug)]
struct Done {
    /// Kept only if they are to be waited for.
    ids: Vec<JobId>,
    code: u8,
}

/// Of a job that is not tracked nobody can say how it ended.
fn refuse_untracked(app: &App, args: &EnqueueArgs) -> anyhow::Result<()> {
    let argument = bananas::Args::from_json("null")?;
    let job = args.options.job(app, &args.task, argument)?;
    if job.track == Track::None {
        return Err(usage(format!(
            "--wait cannot see how jobs of {} end, because their track is none; add --track outcome",
            args.task
        )));
    }
    Ok(())
}

/// Says what became of one job on its way in.
fn report(accepted: &Accepted, waits: bool, output: &Output) -> anyhow::Result<()> {
    let Accepted {
        id,
        duplicate,
        published,
    } = *accepted;
    if duplicate {
        output.note(format_args!(
            "job {id} was there already; nothing was added"
        ));
    }
    if waits {
        return Ok(());
    }
    if output.is_json() {
        output.json(&AcceptedView {
            id,
            duplicate,
            published,
        })
    } else {
        output.line(id)
    }
}

async fn wait(
    app: &App,
    done: &Done,
    timeout: Option<Duration>,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let how = (timeout, Missing::HasEnded);
    let summary = wait_for_ids(app, &done.ids, how, output, |record| ended(record, output)).await?;
    output.note(summary.text());
    if done.code == FAILURE {
        Ok(ExitCode::from(FAILURE))
    } else {
        Ok(summary.exit_code())
    }
}

/// One line for a job that has ended: id, state, and result or error.
fn ended(record: &JobRecord, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.json(&JobView::of(record));
    }
    let state = record.standing.state;
    let end = match (state, &record.result, record.errors.last()) {
        (JobState::Succeeded, Some(result), _) => raw(result).get().to_owned(),
        (JobState::Succeeded, None, _) => "null".to_owned(),
        (_, _, Some(error)) => one_line(&error.message, 500),
        _ => String::new(),
    };
    output.line(format!("{} {state} {end}", record.id).trim_end())
}
