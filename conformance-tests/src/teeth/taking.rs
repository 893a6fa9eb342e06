//! What a broken consumer has in its hands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Broker, Consumer, ConsumerSpec, Delivery, Env, Receipt, Result, Settle, Settlement,
};

/// A good consumer, with what a fault may need besides.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) env: Arc<dyn Env>,
    /// The good broker, to settle behind the caller's back.
    pub(super) broker: Arc<dyn Broker>,
    /// What the caller asked for.
    pub(super) spec: ConsumerSpec,
    pub(super) good: Box<dyn Consumer>,
    /// Taken and not handed out.
    pub(super) held: VecDeque<Delivery>,
}

impl Taking {
    /// Reserves as a good consumer does, but for what is not kept.
    pub(super) async fn reserve_where(
        &mut self,
        max: usize,
        wait: Duration,
        mut keep: impl FnMut(&Delivery) -> bool + Send,
    ) -> Result<Vec<Delivery>> {
        let until = self.env.monotonic() + wait;
        loop {
            let left = until.since(self.env.monotonic());
            let mut taken = self.good.reserve(max, left).await?;
            if taken.is_empty() {
                return Ok(taken);
            }
            taken.retain(&mut keep);
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    /// Settles a delivery behind the caller's back.
    pub(super) async fn settle(&mut self, receipt: &Receipt, settlement: Settlement) {
        let receipt = receipt.clone();
        let batch = vec![Settle {
            receipt,
            settlement,
        }];
        drop(self.broker.settle(batch).await);
    }
}
