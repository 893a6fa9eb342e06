//! `bananas worker`: runs the `exec` tasks of the configuration.

use std::collections::BTreeSet;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use bananas::config::Config;
use bananas::{App, QueueName};

use crate::cli::Globals;
use crate::exit::usage;
use crate::settings::{self, Settings};

/// Arguments of `worker`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A task needs no line of Rust. In bananas.toml:

  [tasks.thumbnail.exec]
  argv = [\"convert\", \"{input}\", \"-resize\", \"{width}x{width}\", \"{output}\"]

  [tasks.report]
  timeout = \"10m\"
  [tasks.report.exec]
  shell = \"psql -f report.sql | gzip > report.gz\"

`{name}` stands for a field of the JSON arguments; all of them come on standard input too. What the command
prints is the job's result; a status other than 0 is a failure, tried again later.

Examples:
  bananas worker
  bananas worker --queues mail,default --concurrency 20
  bananas worker --log-format json --config /etc/bananas.toml

SIGTERM or SIGINT: takes no more jobs, lets those that run end within `shutdown_grace`, gives the others back.
A second one gives everything back and leaves at once; no attempt is used up by that.
Ends with 0 when every job was settled or given back.")]
pub(crate) struct WorkerArgs {
    /// Serve only these queues, separated by commas.
    #[arg(long, value_name = "QUEUES", value_delimiter = ',')]
    queues: Vec<QueueName>,
    /// How many jobs run at once. Default: `worker.concurrency` of the configuration, else 100.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: Option<u16>,
}

/// How long closing may take once the worker has ended.
const CLOSE: Duration = Duration::from_secs(10);

/// Runs until a signal.
pub(crate) async fn run(args: WorkerArgs, globals: &Globals) -> anyhow::Result<ExitCode> {
    let settings = Settings::read(globals)?;
    let mut config = settings.config;
    if let Some(concurrency) = args.concurrency {
        config.worker.concurrency = usize::from(concurrency);
    }
    if !config.tasks.values().any(|task| task.exec.is_some()) {
        let file = settings
            .file
            .map_or("bananas.toml".to_owned(), |file| file.display().to_string());
        return Err(usage(format!(
            "{file} has no task with a command to run; write for example\n\n\
             \x20 [tasks.hello.exec]\n\
             \x20 argv = [\"echo\", \"hello, {{name}}\"]\n\n\
             and enqueue with: bananas enqueue hello '{{\"name\": \"world\"}}'"
        )));
    }
    // From here on signals count. The first look at them must not come when the first jobs run already: a
    // signal before it would end the process in the middle of them.
    let mut signal = pin!(bananas::shutdown_signal());
    if futures::poll!(&mut signal).is_ready() {
        return Ok(ExitCode::SUCCESS);
    }
    let app = settings::open(config).await?;
    announce(&app, &args.queues);
    let mut worker = app.worker();
    if !args.queues.is_empty() {
        worker = worker.queues(args.queues);
    }
    let ended = worker.run_until(signal).await;
    count(&app);
    let closed = app.close(CLOSE).await;
    ended?;
    closed?;
    Ok(ExitCode::SUCCESS)
}

/// One line that says what this worker is.
fn announce(app: &App, queues: &[QueueName]) {
    let info = app.ledger().info();
    let config = app.config();
    let tasks: Vec<&str> = config
        .tasks
        .iter()
        .filter(|(_, task)| task.exec.is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    let queues = if queues.is_empty() {
        served(config)
    } else {
        queues.iter().cloned().collect()
    };
    let queues: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    tracing::info!(
        backend = %info.backend,
        url = %info.url,
        durability = %info.capabilities.durability,
        queues = %queues.join(","),
        tasks = %tasks.join(","),
        concurrency = config.worker.concurrency,
        "worker starts"
    );
}

/// One line for all that was counted of one name, as it ends.
fn count(app: &App) {
    let counters = app.ledger().counters();
    for of_one in counters.chunk_by(|one, next| one.name == next.name) {
        let values = of_one.iter().map(|it| format!("{} {}", it.value, it.kind));
        let values: Vec<String> = values.collect();
        if let Some(counter) = of_one.first() {
            tracing::info!("{}: {}", counter.name, values.join(", "));
        }
    }
}

/// The queues a worker serves when none are named: those of its tasks and of the configuration.
fn served(config: &Config) -> BTreeSet<QueueName> {
    let of_tasks = config
        .tasks
        .values()
        .map(|task| task.queue.clone().unwrap_or_default());
    config.queues.keys().cloned().chain(of_tasks).collect()
}
