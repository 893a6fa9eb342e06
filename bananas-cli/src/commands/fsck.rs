//! `bananas fsck`: what is wrong in the store, and mending it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use bananas::{App, Check, CheckScope, Chore, Finding, FindingKind};
use serde::Serialize;

use crate::cli::Globals;
use crate::exit;
use crate::output::Output;
use crate::render::text::visible;
use crate::settings;

/// Arguments of `fsck`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bananas fsck
  bananas fsck --repair
  bananas fsck --json | jq '.findings[] | select(.kind == \"unreadable\") | .job'

It reads every record of the store, asks whether something will ever move each job, and compares counts and indexes
with what they stand for. Workers may go on meanwhile.

With --repair a record that cannot be read becomes a dead job (`bananas dead list`) that keeps its body and says
what was found; jobs that nothing would ever move go on; counts and indexes are made anew; jobs of workers that are
gone and jobs whose time has come are made ready; and what was recorded and never reached the broker is published.

Ends with 0 when nothing is wrong or everything was repaired, and with 1 when something is left.")]
pub(crate) struct FsckArgs {
    /// Mend what is found.
    #[arg(long)]
    repair: bool,
    /// Leave out counts and whole indexes, which take long on a large store.
    #[arg(long)]
    quick: bool,
}

/// How many findings are told one by one.
const TOLD: usize = 1_000;

/// How long one page may take.
const DEADLINE: Duration = Duration::from_mins(10);

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// How many records were read.
    records: u64,
    /// How many findings of each kind there are, and how many of them were repaired.
    kinds: BTreeMap<FindingKind, Tally>,
    /// The first of them.
    findings: Vec<Finding>,
    /// How many more there are.
    more_findings: u64,
    /// How many jobs were due, or belonged to workers that are gone, and were made ready.
    made_ready: u64,
    /// How many jobs were published that the broker did not have.
    republished: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Tally {
    found: u64,
    repaired: u64,
}

/// Looks at everything, mends it if that is wanted, and says what it found.
pub(crate) async fn run(
    args: FsckArgs,
    globals: &Globals,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let app = settings::open_existing(globals).await?;
    let mut report = Report::default();
    check(&app, &args, &mut report, output).await?;
    if args.repair {
        report.made_ready = tend(&app, Chore::Promote).await?;
        report.republished = tend(&app, Chore::Republish).await?;
    }
    if output.is_json() {
        output.json(&report)?;
    } else {
        report.print(args.repair, output)?;
    }
    Ok(match report.left() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(exit::FAILURE),
    })
}

async fn check(
    app: &App,
    args: &FsckArgs,
    report: &mut Report,
    output: &Output,
) -> anyhow::Result<()> {
    let index = settings::index(app)?;
    let mut check = Check {
        repair: args.repair,
        scope: if args.quick {
            CheckScope::Records
        } else {
            CheckScope::Everything
        },
        ..Check::default()
    };
    let mut told = 0;
    loop {
        let page = app.env().within(DEADLINE, index.check(check.clone()));
        let page = page
            .await
            .map_err(|_| anyhow::anyhow!("the store did not answer within {DEADLINE:?}"))??;
        report.add(page.records, page.findings);
        if report.records / 100_000 > told {
            told = report.records / 100_000;
            output.note(format_args!("{} records read", report.records));
        }
        check.after = page.next;
        if check.after.is_none() {
            return Ok(());
        }
    }
}

/// Does a chore until there is no more of it; how many jobs it moved.
async fn tend(app: &App, chore: Chore) -> anyhow::Result<u64> {
    let mut jobs = 0;
    loop {
        let tended = app.env().within(DEADLINE, app.ledger().tend(chore.clone()));
        let tended = tended
            .await
            .map_err(|_| anyhow::anyhow!("the ledger did not answer within {DEADLINE:?}"))??;
        jobs += tended.jobs;
        if !tended.more {
            return Ok(jobs);
        }
    }
}

impl Report {
    fn add(&mut self, records: u64, findings: Vec<Finding>) {
        self.records += records;
        for finding in findings {
            let tally = self.kinds.entry(finding.kind).or_default();
            tally.found += 1;
            tally.repaired += u64::from(finding.repaired);
            if self.findings.len() < TOLD {
                self.findings.push(finding);
            } else {
                self.more_findings += 1;
            }
        }
    }

    /// How many findings were not repaired.
    fn left(&self) -> u64 {
        let left = self
            .kinds
            .values()
            .map(|tally| tally.found - tally.repaired);
        left.sum()
    }

    fn print(&self, repair: bool, output: &Output) -> anyhow::Result<()> {
        let rows: Vec<Vec<String>> = self.findings.iter().map(row).collect();
        if !rows.is_empty() {
            output.table(&["FOUND", "JOB", "QUEUE", "REPAIRED", "WHAT"], rows)?;
        }
        if self.more_findings > 0 {
            output.line(format!("and {} more", self.more_findings))?;
        }
        let found: u64 = self.kinds.values().map(|tally| tally.found).sum();
        let (records, left) = (self.records, self.left());
        let verdict = match (found, left) {
            (0, _) => "nothing is wrong".to_owned(),
            (found, 0) => format!("{found} found, all repaired"),
            (found, left) if repair => format!("{found} found, {left} could not be repaired"),
            (found, _) => format!("{found} found; repair with `bananas fsck --repair`"),
        };
        output.line(format!("{records} records read: {verdict}"))?;
        for (jobs, what) in [
            (
                self.made_ready,
                "were due or belonged to workers that are gone, and are ready now",
            ),
            (
                self.republished,
                "had not reached the broker, and were published",
            ),
        ] {
            if jobs > 0 {
                output.line(format!("{jobs} jobs {what}"))?;
            }
        }
        Ok(())
    }
}

fn row(finding: &Finding) -> Vec<String> {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    vec![
        finding.kind.to_string(),
        text(finding.job.map(|job| job.to_string())),
        text(finding.queue.as_ref().map(ToString::to_string)),
        if finding.repaired { "yes" } else { "no" }.to_owned(),
        visible(&finding.detail),
    ]
}
