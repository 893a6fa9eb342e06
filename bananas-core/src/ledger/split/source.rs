//! Claimed jobs of one queue, from the broker's deliveries.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;

use super::Shared;
use crate::ledger::held::Held;
use crate::{BoxFuture, Claimed, Consumer, Result, Source, SourceSpec};

/// Claimed jobs of one queue.
pub(super) struct SplitSource {
    shared: Arc<Shared>,
    consumer: Box<dyn Consumer>,
    spec: SourceSpec,
    /// Deliveries being claimed. Kept here so that a dropped `next` loses none of them.
    claiming: Option<Claiming>,
    /// What such a claim brought, and no call has returned yet.
    held: Held,
}

type Claiming = BoxFuture<'static, Result<Vec<Claimed>>>;

impl SplitSource {
    pub(super) fn new(shared: Arc<Shared>, consumer: Box<dyn Consumer>, spec: SourceSpec) -> Self {
        Self {
            shared,
            consumer,
            spec,
            claiming: None,
            held: Held::default(),
        }
    }

    async fn finish_claiming(&mut self) -> Result<()> {
        let Some(claiming) = &mut self.claiming else {
            return Ok(());
        };
        // By reference: when this future is dropped, the claim goes on with the next call.
        let claimed = poll_fn(|cx| claiming.poll_unpin(cx)).await;
        self.claiming = None;
        self.held.add(claimed?);
        Ok(())
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
            self.finish_claiming().await?;
            // A dropped call may have asked for more than this one.
            let claimed = self.held.hand_out(max, suspects);
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
        self.finish_claiming().await?;
        give_back(&self.shared, &mut self.held).await?;
        stopped
    }
}

impl Drop for SplitSource {
    /// What was claimed and never returned would run nowhere for as long as its owner lives.
    fn drop(&mut self) {
        let claiming = self.claiming.take();
        if claiming.is_none() && self.held.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let mut held = std::mem::take(&mut self.held);
        let give_back = async move {
            if let Some(claiming) = claiming {
                held.add(claiming.await.unwrap_or_default());
            }
            if let Err(e) = give_back(&shared, &mut held).await {
                tracing::warn!(error = %e, "claimed jobs could not be given back; they run again when their owner's lease ends");
            }
        };
        self.shared
            .env
            .spawn_isolated("give back", Box::pin(give_back));
    }
}

async fn give_back(shared: &Arc<Shared>, held: &mut Held) -> Result<()> {
    for settled in shared.settle(held.give_back()).await {
        settled?;
    }
    Ok(())
}
