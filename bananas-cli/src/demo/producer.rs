//! The producer: walks the folder and enqueues one job for each file, in batches, while the workers run.
//!
//! It holds only the batch at hand. Until the kill has happened it feeds the last part in small portions, so
//! that there is always a worker to be found at work.

use std::path::PathBuf;

use anyhow::Context;
use bananas::Client;
use tokio::sync::{mpsc, watch};
use walkdir::WalkDir;

use super::digest::Digest;
use super::plan::Plan;
use super::scope::Scope;

/// What the producer has to know of the run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stand {
    /// How many jobs have ended.
    pub(super) ended: u64,
    /// Whether the kill is over, so that the rest can come.
    pub(super) rest: bool,
}

/// Enqueues jobs for the files of a scope.
#[derive(Debug)]
pub(super) struct Producer {
    /// Where to.
    pub(super) client: Client,
    /// Which files.
    pub(super) scope: Scope,
    /// When to hold back.
    pub(super) plan: Plan,
    /// How the run stands.
    pub(super) stand: watch::Receiver<Stand>,
}

/// The most jobs in one batch.
const BATCH: usize = 500;

impl Producer {
    /// Enqueues a job for each file and says how many there were.
    pub(super) async fn run(mut self) -> anyhow::Result<u64> {
        let (sender, batches) = mpsc::channel(2);
        let scope = self.scope.clone();
        // Walking blocks, so it is done on a thread that may block.
        let walking = tokio::task::spawn_blocking(move || send_files(&scope, &sender));
        let enqueuing = async {
            // Owned here, so that an error closes the channel and with it ends the walk.
            let mut batches = batches;
            let mut enqueued = 0;
            while let Some(batch) = batches.recv().await {
                enqueued = self.enqueue(batch, enqueued).await?;
            }
            anyhow::Ok(enqueued)
        };
        let (walked, enqueued) = tokio::join!(walking, enqueuing);
        walked.context("the walk of the folder broke off")?;
        enqueued
    }

    async fn enqueue(&mut self, batch: Vec<PathBuf>, mut enqueued: u64) -> anyhow::Result<u64> {
        let mut files = batch.into_iter();
        while files.len() > 0 {
            let portion = self.portion(enqueued).await;
            let tasks: Vec<Digest> = files
                .by_ref()
                .take(portion)
                .map(|path| Digest { path: path.into() })
                .collect();
            for answer in self.client.enqueue_many(tasks).await {
                answer.context("a job cannot be enqueued")?;
                enqueued += 1;
            }
        }
        Ok(enqueued)
    }

    /// Waits until there is room, and says for how many jobs.
    async fn portion(&mut self, enqueued: u64) -> usize {
        let (slots, hold_from) = (self.plan.slots(), self.plan.hold_from());
        if enqueued < hold_from && !self.stand.borrow().rest {
            return usize::try_from(hold_from - enqueued).map_or(BATCH, |left| left.min(BATCH));
        }
        let backlog = u64::try_from(slots).unwrap_or(u64::MAX);
        let room = |stand: &Stand| stand.rest || stand.ended.saturating_add(backlog) > enqueued;
        match self.stand.wait_for(room).await {
            Ok(stand) if !stand.rest => slots.min(BATCH),
            // The other end is gone only when the demo ends; what is enqueued then does not matter.
            Ok(_) | Err(_) => BATCH,
        }
    }
}

/// Sends the files in batches until all are sent or nobody listens. What cannot be read on the way is left
/// out here; the census names it.
fn send_files(scope: &Scope, sender: &mpsc::Sender<Vec<PathBuf>>) {
    let walk = WalkDir::new(&scope.root)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter();
    let files = walk
        .filter_entry(|entry| !entry.file_type().is_dir() || scope.enters(entry.file_name()))
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && scope.counts(entry.path()));
    let mut batch = Vec::with_capacity(BATCH);
    for entry in files {
        batch.push(entry.into_path());
        if batch.len() == BATCH && sender.blocking_send(std::mem::take(&mut batch)).is_err() {
            return;
        }
    }
    if !batch.is_empty() {
        // An error says that nobody listens any more.
        drop(sender.blocking_send(batch));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bananas::App;

    use super::*;

    #[tokio::test]
    async fn a_producer_that_cannot_enqueue_ends_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        // More than the channel to the walk holds.
        for number in 0..4 * BATCH {
            std::fs::write(folder.path().join(number.to_string()), "").unwrap();
        }
        let app = App::connect("memory:").await.unwrap();
        app.close(Duration::ZERO).await.unwrap();
        let (_stand, stand) = watch::channel(Stand::default());
        let producer = Producer {
            client: app.client().clone(),
            scope: Scope {
                root: folder.path().to_owned(),
                all: true,
                database: "/elsewhere/x.db".into(),
            },
            plan: Plan::new(4 * BATCH as u64, 3, None),
            stand,
        };
        let ended = app.env().within(Duration::from_secs(30), producer.run());
        let error = ended.await.unwrap().unwrap_err();
        assert!(
            format!("{error:#}").contains("cannot be enqueued"),
            "{error:#}"
        );
    }
}
