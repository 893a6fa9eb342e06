//! Delays that the broker cannot keep: the job is recorded until its time, whatever its tracking, and for the
//! rest of its life.
//!
//! So such a job goes the way of every scheduled one: recorded before it is given up anywhere else, moved by
//! [`due`](crate::JobStore::due) into an open batch, published, and published again when that failed. A job of
//! which nothing is kept is forgotten with its end.

use std::time::Duration;

use super::Shared;
use super::settle::record_of;
use crate::{
    Capabilities, Claimed, Delay, NewRecord, Outcome, Receipt, Result, Settle, Settlement,
    Timestamp,
};

/// What a ledger can do over a broker: a store keeps every delay.
pub(super) fn effective(mut broker: Capabilities) -> Capabilities {
    let granularity = match broker.delay {
        Delay::Native { granularity, .. } => granularity,
        Delay::Unsupported => Duration::from_millis(1),
    };
    broker.delay = Delay::Native {
        max: None,
        granularity,
    };
    broker
}

impl Shared {
    /// Whether the broker cannot keep a message until then.
    pub(super) fn is_beyond_broker(&self, until: Option<Timestamp>, now: Timestamp) -> bool {
        let wait = until.map_or(Duration::ZERO, |at| at.since(now));
        match self.broker.info().capabilities.delay {
            Delay::Unsupported => !wait.is_zero(),
            Delay::Native { max, .. } => max.is_some_and(|max| wait > max),
        }
    }

    /// Whether an untracked job is now to wait longer than the broker can.
    pub(super) fn waits_in_store(&self, outcome: &Outcome, now: Timestamp) -> bool {
        match outcome {
            Outcome::Retry { run_at, .. } => self.is_beyond_broker(Some(*run_at), now),
            Outcome::Release { run_at, .. } => self.is_beyond_broker(*run_at, now),
            Outcome::Succeeded { .. }
            | Outcome::Dead { .. }
            | Outcome::Cancelled
            | Outcome::Expired => false,
        }
    }

    /// Keeps the deliveries that are to be released after a delay that the broker cannot keep, by leases that end
    /// with it. Answers those that are settled as they say.
    pub(super) async fn keep_until_later(&self, batch: Vec<Settle>) -> Vec<Settle> {
        let now = self.env.now();
        let limits = self.broker.info().capabilities.lease;
        let (mut settled, mut kept) = (Vec::with_capacity(batch.len()), Vec::new());
        for settle in batch {
            match settle.settlement {
                Settlement::Release { delay } if self.is_beyond_broker(Some(now + delay), now) => {
                    kept.push((delay.clamp(limits.min, limits.max), settle.receipt));
                }
                _ => settled.push(settle),
            }
        }
        kept.sort_by_key(|(lease, _)| *lease);
        for same in kept.chunk_by(|(one, _), (other, _)| one == other) {
            let receipts: Vec<Receipt> = same.iter().map(|(_, receipt)| receipt.clone()).collect();
            let lease = same.first().map_or(limits.min, |(lease, _)| *lease);
            let answers = self.broker.extend(&receipts, lease).await;
            if let Some(first) = answers.into_iter().find_map(Result::err) {
                tracing::warn!(error = %first, "deliveries not kept; they come again when their leases end");
            }
        }
        settled
    }

    /// The record of an untracked job that waits in the store.
    pub(super) fn waiting(
        &self,
        claimed: &Claimed,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<NewRecord> {
        let body = match outcome {
            Outcome::Retry { error, .. } => self.failed_message(&claimed.job, &error.message)?.body,
            _ => self
                .options
                .codecs
                .of(&claimed.job.queue)
                .encode(&claimed.job)?,
        };
        let mut record = record_of(claimed, outcome, body, now);
        record.standing.expires_at = claimed.job.expires_at;
        Ok(record)
    }
}
