//! Large bodies, kept apart from jobs: for messages that are too large for a broker.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{BlobId, Result, Timestamp};

/// A body under its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its name, made for it alone.
    pub id: BlobId,
    /// The bytes.
    pub body: Bytes,
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob")
            .field("id", &self.id)
            .field("bytes", &self.body.len())
            .finish()
    }
}

/// Keeps large bodies. A name is given once, so a blob never changes; it is put, read and deleted.
///
/// All methods MAY be called concurrently, from any task and process.
#[async_trait]
pub trait BlobStore: Send + Sync + fmt::Debug {
    /// Keeps blobs; the answers are in the order of the batch.
    ///
    /// - **S90** After `Ok` the blob is durable, with the class of the store, and comes back byte for byte, to
    ///   every client, until it is deleted. Putting the same again is `Ok`.
    /// - **S91** A body above `max_value` is `TooLarge` with both numbers, for that item alone.
    /// - **S92** If the future is dropped, each blob was kept whole or not at all, and is [listed](Self::list) if
    ///   it was.
    async fn put(&self, blobs: Vec<Blob>) -> Vec<Result<()>>;

    /// The bodies of these blobs, in order. **S93** One that was deleted or never put is `None`, and no error.
    async fn get(&self, ids: &[BlobId]) -> Vec<Result<Option<Bytes>>>;

    /// Forgets blobs. **S94** One that is not there is no error; no other is touched.
    async fn delete(&self, ids: &[BlobId]) -> Result<()>;

    /// The names of blobs that were made before a time, the oldest first, at most `max` of them.
    ///
    /// - **S95** Following the last name of each page visits every such blob that was there from start to end
    ///   exactly once, and none that was made later.
    async fn list(
        &self,
        made_before: Timestamp,
        after: Option<BlobId>,
        max: usize,
    ) -> Result<Vec<BlobId>>;
}
