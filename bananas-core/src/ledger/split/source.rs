//! Claimed jobs of one queue, from the broker's deliveries.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;

use super::Shared;
use crate::{BoxFuture, Claimed, Consumer, Outcome, Result, Source, SourceSpec};

/// Claimed jobs of one queue.
pub(super) struct SplitSource {
    shared: Arc<Shared>,
    consumer: Box<dyn Consumer>,
    spec: SourceSpec,
    /// Deliveries being claimed. Kept here so that a dropped `next` loses none of them.
    claiming: Option<BoxFuture<'static, Result<Vec<Claimed>>>>,
}

impl SplitSource {
    pub(super) fn new(shared: Arc<Shared>, consumer: Box<dyn Consumer>, spec: SourceSpec) -> Self {
        Self {
            shared,
            consumer,
            spec,
            claiming: None,
        }
    }

    async fn finish_claiming(&mut self) -> Result<Vec<Claimed>> {
        let Some(claiming) = &mut self.claiming else {
            return Ok(Vec::new());
        };
        // By reference: when this future is dropped, the claim goes on with the next call.
        let claimed = poll_fn(|cx| claiming.poll_unpin(cx)).await;
        self.claiming = None;
        claimed
    }
}

impl fmt::Debug for SplitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SplitSource")
            .field(&self.spec.queue)
            .finish()
    }
}

#[async_trait]
impl Source for SplitSource {
    async fn next(&mut self, max: usize, suspects: usize, wait: Duration) -> Result<Vec<Claimed>> {
        let deadline = self.shared.env.monotonic() + wait;
        loop {
            let claimed = self.finish_claiming().await?;
            if !claimed.is_empty() {
                return Ok(claimed);
            }
            let left = deadline.since(self.shared.env.monotonic());
            let deliveries = self.consumer.reserve(max, left).await?;
            if deliveries.is_empty() {
                return Ok(Vec::new());
            }
            let shared = Arc::clone(&self.shared);
            let spec = self.spec.clone();
            self.claiming = Some(Box::pin(async move {
                shared.take_in(deliveries, &spec, suspects).await
            }));
        }
    }

    async fn stop(&mut self) -> Result<()> {
        let stopped = self.consumer.stop().await;
        let unused = self.finish_claiming().await?;
        let release = Outcome::Release {
            run_at: None,
            note: None,
        };
        let batch = unused
            .into_iter()
            .map(|claimed| (claimed, release.clone()))
            .collect();
        for settled in self.shared.settle(batch).await {
            settled?;
        }
        stopped
    }
}
