//! `bananas wait`.

use std::process::ExitCode;
use std::time::Duration;

use bananas::{JobId, JobRecord, JobState, QueueName};

use crate::cli::Globals;
use crate::output::Output;
use crate::render::text::one_line;
use crate::wait::{Missing, print, wait_for_ids, wait_for_queue};
use crate::{settings, value};

/// Arguments of `wait`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bananas wait                                  # until nothing is left to do
  bananas wait --queue mail --timeout 5m
  bananas wait $(bananas enqueue resize @photo.json) && echo done

Ends with 3 when a job ended otherwise than well, with 4 when the time ran out first.")]
pub(crate) struct WaitArgs {
    /// Ids of jobs. Without them: all jobs of the queue, or of all queues.
    #[arg(value_name = "ID", conflicts_with = "queue")]
    ids: Vec<JobId>,
    /// All jobs of this queue.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    /// Wait no longer than this.
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    timeout: Option<Duration>,
}

/// Waits.
pub(crate) async fn run(
    args: WaitArgs,
    globals: &Globals,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let app = settings::open_existing(globals).await?;
    let summary = if args.ids.is_empty() {
        wait_for_queue(&app, args.queue.as_ref(), args.timeout, output).await?
    } else {
        let how = (args.timeout, Missing::IsAnError);
        wait_for_ids(&app, &args.ids, how, output, |record| {
            name_bad_end(record, output)
        })
        .await?
    };
    print(&summary, output)?;
    Ok(summary.exit_code())
}

fn name_bad_end(record: &JobRecord, output: &Output) -> anyhow::Result<()> {
    if record.standing.state != JobState::Succeeded {
        let error = record.errors.last().map_or(String::new(), |e| {
            format!(": {}", one_line(&e.message, 200))
        });
        output.note(format_args!(
            "{} is {}{error}",
            record.id, record.standing.state
        ));
    }
    Ok(())
}
