//! The database of the demo, as its processes open it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bananas::config::{Config, TaskConfig};
use bananas::{App, Backoff, QueueName, Task, TaskName};

use super::digest::{self, Digest};
use super::waiting::Waiting;

/// How long closing may take.
pub(super) const CLOSE: Duration = Duration::from_secs(5);

/// The URL of a database file.
pub(super) fn url(path: &Path) -> anyhow::Result<String> {
    match path.to_str() {
        Some(text) if !text.contains('?') => Ok(format!("sqlite://{text}")),
        _ => bail!(
            "the database path {path:?} cannot be written in a URL; use a path of UTF-8 without \"?\""
        ),
    }
}

/// The queue of the demo's jobs.
pub(super) fn queue(app: &App) -> anyhow::Result<QueueName> {
    let mut tasks = app.config().tasks.values();
    let configured = tasks.find_map(|task| task.queue.clone());
    Ok(configured.map_or_else(digest::queue, Ok)?)
}

/// Opens the database, for a worker that runs so many jobs at once; the jobs wait there, too, unless it is said
/// where. No configuration file and no variable has a say: the demo is the same everywhere.
pub(super) async fn open(
    path: &Path,
    waiting: Option<&Waiting>,
    concurrency: usize,
) -> anyhow::Result<App> {
    let mut config = Config::default();
    config.broker.url = url(path)?;
    config.worker.concurrency = concurrency;
    config.worker.shutdown_grace = Duration::from_secs(5);
    // A file that cannot be read is soon known as such; nobody wants to wait minutes for that in a demo.
    let mut backoff = Backoff::default();
    backoff.base = Duration::from_millis(100);
    let mut task = TaskConfig::default();
    task.backoff = Some(backoff);
    if let Some(waiting) = waiting {
        config.store.url = Some(std::mem::take(&mut config.broker.url));
        config.broker.url.clone_from(&waiting.url);
        task.queue = Some(waiting.queue.clone());
    }
    config.tasks.insert(TaskName::new(Digest::NAME)?, task);
    App::open(config).await.with_context(|| match waiting {
        Some(waiting) => format!(
            "{} with the database {} cannot be used",
            waiting.shown(),
            path.display()
        ),
        None => format!("the database {} cannot be used", path.display()),
    })
}
