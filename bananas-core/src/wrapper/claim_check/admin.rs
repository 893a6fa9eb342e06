//! Looking after queues whose messages have their bodies in the store.

use async_trait::async_trait;

use super::bodies::Found;
use super::{ClaimCheck, Shared};
use crate::{BrokerAdmin, Bucket, Depth, Error, ErrorKind, JobId, QueueName, RawMessage, Result};

/// How many messages are looked at for one request to the store.
const PAGE: usize = 16;

impl Shared {
    fn inner_admin(&self) -> Result<&dyn BrokerAdmin> {
        let none = || Error::new(ErrorKind::Unsupported, "the broker has no admin side");
        self.inner.admin().ok_or_else(none)
    }
}

/// The bodies of what is purged or deleted are swept later: a message that was seen in a bucket may be anywhere by
/// the time it is purged, and then its body is still needed.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BrokerAdmin for ClaimCheck {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        self.shared.inner_admin()?.depth(queues).await
    }

    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>> {
        let seen = self.shared.inner_admin()?.peek(queue, bucket, max).await?;
        let mut whole = Vec::with_capacity(seen.len());
        for page in seen.chunks(PAGE) {
            for found in self.shared.find(page.to_vec()).await {
                whole.push(match found.map_err(|e| e.during("peek").on(queue))? {
                    Found::Whole(message) | Found::Lost(message) => message,
                });
            }
        }
        Ok(whole)
    }

    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        self.shared.inner_admin()?.purge(queue, bucket).await
    }

    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        self.shared.inner_admin()?.redrive(queue, ids).await
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        self.shared.inner_admin()?.queues().await
    }

    async fn delete(&self, queue: &QueueName) -> Result<()> {
        self.shared.inner_admin()?.delete(queue).await
    }
}
