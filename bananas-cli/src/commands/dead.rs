//! `bananas dead`: jobs that were set aside with their last error.

use std::process::ExitCode;

use bananas::{Alteration, JobState};
use clap::Subcommand;

use super::jobs::{self, PageArgs, ShowArgs};
use crate::cli::Globals;
use crate::output::Output;
use crate::selection::{Change, Selection};
use crate::settings;

/// What the help of `dead` shows.
pub(crate) const EXAMPLES: &str = "\
Examples:
  bananas dead list
  bananas dead retry --all --task email.welcome
  bananas dead drop 0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f";

/// The subcommands of `dead`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List dead jobs, the newest first.
    #[command(after_help = "Examples:
  bananas dead list
  bananas dead list --task email.welcome --limit 500 --json
  bananas dead list --finished-since 2h --text timeout")]
    List(PageArgs),
    /// Show everything about dead jobs, with the errors of all attempts.
    #[command(after_help = "Examples:
  bananas dead show 0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f")]
    Show(ShowArgs),
    /// Run dead jobs again, with all their attempts.
    #[command(after_help = "Examples:
  bananas dead retry 0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f
  bananas dead retry --all --queue mail --yes
  bananas dead retry --all --text 'connection refused'")]
    Retry(Selection),
    /// Forget dead jobs.
    #[command(after_help = "Examples:
  bananas dead drop 0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f
  bananas dead drop --all --task email.welcome")]
    Drop(Selection),
}

const DEAD: [JobState; 1] = [JobState::Dead];

/// Runs a subcommand.
pub(crate) async fn run(
    command: DeadCommand,
    globals: &Globals,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let app = settings::open_existing(globals).await?;
    let (selection, alteration, verb) = match command {
        DeadCommand::List(page) => return jobs::list(&app, &DEAD, &page, output).await,
        DeadCommand::Show(args) => return jobs::show(&app, &args, output).await,
        DeadCommand::Retry(selection) => (selection, Alteration::Retry, "retry"),
        DeadCommand::Drop(selection) => (selection, Alteration::Drop, "drop"),
    };
    let change = Change {
        alteration,
        verb,
        states: &DEAD,
        strict: true,
    };
    let code = selection.apply(&app, change, output).await?;
    Ok(ExitCode::from(code))
}
