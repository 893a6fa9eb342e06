//! Large bodies, in a map of their own.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bananas_core::{Blob, BlobId, BlobStore, Result, Timestamp};
use bytes::Bytes;

use super::MemoryStore;
use crate::error::Error;

/// All blobs, behind a lock of their own.
#[derive(Debug, Default)]
pub(crate) struct Blobs(Mutex<BTreeMap<BlobId, Bytes>>);

impl Blobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<BlobId, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryStore {
    fn open_blobs(&self) -> Result<MutexGuard<'_, BTreeMap<BlobId, Bytes>>, Error> {
        self.check_open()?;
        Ok(self.memory().blobs.lock())
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn put(&self, blobs: Vec<Blob>) -> Vec<Result<()>> {
        let limit = self.memory().store.max_value;
        let put = |Blob { id, body }: Blob| {
            if body.len() > limit {
                return Err(Error::TooLarge {
                    bytes: body.len(),
                    limit,
                }
                .into());
            }
            self.open_blobs()?.insert(id, body);
            Ok(())
        };
        blobs.into_iter().map(put).collect()
    }

    async fn get(&self, ids: &[BlobId]) -> Vec<Result<Option<Bytes>>> {
        let get = |id| Ok(self.open_blobs()?.get(id).cloned());
        ids.iter().map(get).collect()
    }

    async fn delete(&self, ids: &[BlobId]) -> Result<()> {
        let mut blobs = self.open_blobs()?;
        for id in ids {
            blobs.remove(id);
        }
        Ok(())
    }

    async fn list(
        &self,
        made_before: Timestamp,
        after: Option<BlobId>,
        max: usize,
    ) -> Result<Vec<BlobId>> {
        let bound = BlobId::first_made_at(made_before);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = self.open_blobs()?;
        let later = blobs.range((from, Bound::Unbounded)).map(|(id, _)| *id);
        let older = later.take_while(|id| id.to_string() < bound);
        Ok(older.take(max).collect())
    }
}
