//! Forgetting bodies that nobody will ask for.
//!
//! A body is deleted with its message. What is left is that of a client that died between the two, of a message that
//! was purged or lost with the broker's data, or of one whose fate was never told.

use std::time::Duration;

use crate::{BlobId, BlobStore, JobId, Result, StateStore, Timestamp};

/// A younger blob may be of a message that is just being sent.
const YOUNG: Duration = Duration::from_secs(3_600);

/// How long the body of a message without a record is kept: it may wait in a queue, or in the dead queue.
const WITHOUT_RECORD: Duration = Duration::from_secs(30 * 24 * 3_600);

/// How many blobs are looked at for one request. Their records come with all that is in them.
const PAGE: usize = 8;

/// How many pages one sweep looks at; the next goes on behind them.
const PAGES: usize = 8;

/// Looks at the next of the blobs in a store, and forgets those whose job has ended and those that are old and have
/// no job there. Answers behind which to go on, if there are more. `dead` is how long dead jobs are kept.
pub(crate) async fn sweep(
    store: &dyn StateStore,
    now: Timestamp,
    dead: Duration,
    mut after: Option<BlobId>,
) -> Result<Option<BlobId>> {
    let Some(blobs) = store.blobs() else {
        return Ok(None);
    };
    let old = BlobId::first_made_at(now - dead.max(WITHOUT_RECORD));
    for _ in 0..PAGES {
        let page = blobs.list(now - YOUNG, after, PAGE).await?;
        forget(store, blobs, &page, &old).await?;
        after = page.last().copied();
        if page.len() < PAGE {
            return Ok(None);
        }
    }
    Ok(after)
}

async fn forget(
    store: &dyn StateStore,
    blobs: &dyn BlobStore,
    page: &[BlobId],
    old: &str,
) -> Result<()> {
    let jobs: Vec<JobId> = page.iter().filter_map(BlobId::job).collect();
    let mut records = match jobs.is_empty() {
        true => Vec::new().into_iter(),
        false => store.index().get(&jobs).await?.into_iter(),
    };
    let mut needless = Vec::new();
    for blob in page {
        let record = blob.job().and_then(|_| records.next()).flatten();
        let is_needless = match record {
            Some(record) => record.standing.state.is_terminal(),
            None => blob.to_string().as_str() < old,
        };
        needless.extend(is_needless.then_some(*blob));
    }
    if needless.is_empty() {
        return Ok(());
    }
    tracing::info!(
        bodies = needless.len(),
        "forgetting bodies whose messages are gone"
    );
    blobs.delete(&needless).await
}
