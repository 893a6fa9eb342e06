//! Stores that keep large bodies wrongly.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bananas_core::{Blob, BlobId, BlobStore, Error, ErrorKind, Result, Timestamp};
use bytes::Bytes;

use super::broken_store::StoreFault;
use super::fault::Fault;

/// The faults of this file.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_store::<ForgetsBlobs>(
        "forgets_a_blob_it_has_confirmed",
        "answers `Ok` to every third blob and forgets it",
        "store::a_blob_comes_back_byte_for_byte_to_every_client",
    ),
    Fault::of_store::<MissesBlobsLoudly>(
        "takes_a_missing_blob_for_an_error",
        "answers `NotFound` for a blob that is not there",
        "store::a_blob_that_was_deleted_or_never_put_is_none_and_no_error",
    ),
    Fault::of_store::<DeletesByJob>(
        "deletes_all_blobs_of_a_job",
        "deletes every blob of the job whose blob is to go",
        "store::deleting_a_blob_touches_no_other",
    ),
    Fault::of_store::<ListsYoungBlobs>(
        "lists_blobs_that_are_young",
        "lists all blobs, however young",
        "store::the_list_visits_older_blobs_once_and_no_younger_one",
    ),
];

#[derive(Debug, Default)]
struct ForgetsBlobs(AtomicU64);

#[async_trait]
impl StoreFault for ForgetsBlobs {
    async fn put_blobs(&self, good: &dyn BlobStore, blobs: Vec<Blob>) -> Vec<Result<()>> {
        let count = blobs.len();
        let is_kept = |_: &Blob| self.0.fetch_add(1, Ordering::Relaxed) % 3 != 2;
        let kept = blobs.into_iter().filter(is_kept).collect();
        good.put(kept).await;
        (0..count).map(|_| Ok(())).collect()
    }
}

#[derive(Debug, Default)]
struct MissesBlobsLoudly;

#[async_trait]
impl StoreFault for MissesBlobsLoudly {
    async fn get_blobs(&self, good: &dyn BlobStore, ids: &[BlobId]) -> Vec<Result<Option<Bytes>>> {
        let missing = || Error::new(ErrorKind::NotFound, "there is no such blob");
        let loud = |answer: Result<Option<Bytes>>| answer?.ok_or_else(missing).map(Some);
        good.get(ids).await.into_iter().map(loud).collect()
    }
}

#[derive(Debug, Default)]
struct DeletesByJob;

#[async_trait]
impl StoreFault for DeletesByJob {
    async fn delete_blobs(&self, good: &dyn BlobStore, ids: &[BlobId]) -> Result<()> {
        let all = Timestamp::from_micros(4_000_000_000_000_000);
        let mut gone = ids.to_vec();
        for other in good.list(all, None, 1_000).await? {
            let same = ids
                .iter()
                .any(|id| id.job().is_some() && id.job() == other.job());
            gone.extend(same.then_some(other));
        }
        good.delete(&gone).await
    }
}

#[derive(Debug, Default)]
struct ListsYoungBlobs;

#[async_trait]
impl StoreFault for ListsYoungBlobs {
    async fn list_blobs(
        &self,
        good: &dyn BlobStore,
        made_before: Timestamp,
        (after, max): (Option<BlobId>, usize),
    ) -> Result<Vec<BlobId>> {
        let later = made_before + std::time::Duration::from_secs(3_600);
        good.list(later, after, max).await
    }
}
