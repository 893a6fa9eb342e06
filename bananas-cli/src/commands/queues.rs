//! `bananas queues`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use bananas::{JobState, OwnerRow, QueueName, StateCount};
use serde::Serialize;

use crate::cli::Globals;
use crate::output::Output;
use crate::render::time::humane;
use crate::settings;

/// Arguments of `queues`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bananas queues
  bananas queues --json | jq '.queues[] | select(.counts.dead > 0)'
  watch -n 2 bananas queues")]
pub(crate) struct QueuesArgs {}

#[derive(Debug, Serialize)]
struct QueuesView {
    queues: Vec<QueueView>,
    workers: Vec<WorkerView>,
}

#[derive(Debug, Serialize)]
struct QueueView {
    queue: QueueName,
    counts: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct WorkerView {
    owner: String,
    host: String,
    pid: u32,
    running: u64,
    lease_left_ms: u64,
    alive: bool,
}

/// Prints the counts of each queue, and the workers.
pub(crate) async fn run(globals: &Globals, output: &Output) -> anyhow::Result<ExitCode> {
    let app = settings::open_existing(globals).await?;
    let counts = settings::index(&app)?.counts().await?;
    let (owners, _) = app.ledger().owners(None).await?;
    let configured = app.config().queues.keys().cloned();
    let queues = by_queue(configured, &counts);
    if output.is_json() {
        let workers = owners.iter().map(WorkerView::of).collect();
        output.json(&QueuesView { queues, workers })?;
    } else {
        print(&queues, &owners, output)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl WorkerView {
    fn of(row: &OwnerRow) -> Self {
        Self {
            owner: row.owner.id.to_string(),
            host: row.owner.host.clone(),
            pid: row.owner.pid,
            running: row.running,
            lease_left_ms: u64::try_from(row.left.as_millis()).unwrap_or(u64::MAX),
            alive: !row.left.is_zero(),
        }
    }
}

fn by_queue(configured: impl Iterator<Item = QueueName>, counts: &[StateCount]) -> Vec<QueueView> {
    let names: BTreeSet<QueueName> = configured
        .chain(counts.iter().map(|count| count.queue.clone()))
        .collect();
    let view = |queue: QueueName| {
        let jobs = |state| {
            counts
                .iter()
                .filter(|c| c.queue == queue && c.state == state)
                .map(|c| c.jobs)
                .sum()
        };
        let counts = JobState::ALL
            .map(|state| (state.as_str(), jobs(state)))
            .into();
        QueueView { queue, counts }
    };
    names.into_iter().map(view).collect()
}

fn print(queues: &[QueueView], owners: &[OwnerRow], output: &Output) -> anyhow::Result<()> {
    if queues.is_empty() {
        output.line("no jobs yet")?;
    } else {
        let names: Vec<String> = JobState::ALL
            .iter()
            .map(|state| state.as_str().to_uppercase())
            .collect();
        let mut header = vec!["QUEUE"];
        header.extend(names.iter().map(String::as_str));
        let row = |view: &QueueView| {
            let jobs = |state: JobState| view.counts.get(state.as_str()).copied().unwrap_or(0);
            let mut row = vec![view.queue.to_string()];
            row.extend(JobState::ALL.map(|state| jobs(state).to_string()));
            row
        };
        output.table(&header, queues.iter().map(row).collect())?;
    }
    let alive: Vec<&OwnerRow> = owners.iter().filter(|row| !row.left.is_zero()).collect();
    if alive.is_empty() {
        return output.line("\nno worker is alive");
    }
    output.line("")?;
    let row = |row: &&OwnerRow| {
        vec![
            row.owner.id.to_string(),
            row.owner.host.clone(),
            row.owner.pid.to_string(),
            row.running.to_string(),
            humane(row.left),
        ]
    };
    let header = ["WORKER", "HOST", "PROCESS", "RUNNING", "LEASE LEFT"];
    output.table(&header, alive.iter().map(row).collect())
}
