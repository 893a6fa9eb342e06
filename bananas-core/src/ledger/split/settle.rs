//! Recording how runs ended: the store first, then the broker.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Shared;
use crate::ledger::limits::short_answer;
use crate::{
    Claimed, Delivery, Job, JobSettle, JobSettled, JobState, NewRecord, Outcome, RawMessage,
    Receipt, Result, Settle, Settled, Settlement, Standing, Timestamp, Track,
};

/// Carries how often a process died while running an untracked job.
const CRASHES_PROPERTY: &str = "bananas-crashes";

/// How often a process died while running an untracked job: each redelivery of the same message is one, since
/// whoever gives such a message back on purpose publishes it anew.
pub(super) fn crashes_of(delivery: &Delivery) -> u32 {
    let before = delivery
        .message
        .property(CRASHES_PROPERTY)
        .and_then(|value| std::str::from_utf8(value).ok()?.parse::<u32>().ok())
        .unwrap_or(0);
    before.saturating_add(delivery.count.known().saturating_sub(1))
}

/// Gives an untracked message back, with its crashes written on it.
pub(super) fn give_back(delivery: &Delivery, delay: Duration) -> Settle {
    let mut message = delivery.message.clone();
    let crashes = crashes_of(delivery);
    message.not_before = None;
    message
        .properties
        .retain(|(name, _)| name != CRASHES_PROPERTY);
    if crashes > 0 {
        message
            .properties
            .push((CRASHES_PROPERTY.to_owned(), crashes.to_string().into()));
    }
    let settlement = Settlement::Retry {
        delay,
        message: Box::new(message),
    };
    Settle {
        receipt: delivery.receipt.clone(),
        settlement,
    }
}

impl Shared {
    pub(super) async fn settle(
        self: &Arc<Self>,
        batch: Vec<(Claimed, Outcome)>,
    ) -> Vec<Result<JobSettled>> {
        let mut answers: Vec<Option<Result<JobSettled>>> = Vec::with_capacity(batch.len());
        answers.resize_with(batch.len(), || None);
        let mut tracked = Vec::new();
        let mut untracked = Vec::new();
        for (place, (claimed, outcome)) in batch.into_iter().enumerate() {
            // Whoever runs without a record has no epoch.
            if claimed.job.track == Track::Full || claimed.epoch > 0 {
                tracked.push((place, claimed, outcome));
            } else {
                untracked.push((place, claimed, outcome));
            }
        }
        for (place, answer) in self.settle_tracked(tracked).await {
            if let Some(slot) = answers.get_mut(place) {
                *slot = Some(answer);
            }
        }
        for (place, answer) in self.settle_untracked(untracked).await {
            if let Some(slot) = answers.get_mut(place) {
                *slot = Some(answer);
            }
        }
        answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(|| Err(short_answer("settle"))))
            .collect()
    }

    async fn settle_tracked(
        self: &Arc<Self>,
        batch: Vec<(usize, Claimed, Outcome)>,
    ) -> Vec<(usize, Result<JobSettled>)> {
        if batch.is_empty() {
            return Vec::new();
        }
        let mut runs = Vec::with_capacity(batch.len());
        let mut settles = Vec::with_capacity(batch.len());
        for (place, claimed, outcome) in batch {
            let job = claimed.job.reference();
            settles.push(JobSettle {
                job,
                epoch: claimed.epoch,
                outcome,
            });
            runs.push((place, claimed));
        }
        let mut recorded = self.store.jobs().settle(settles).await.into_iter();
        let mut deliveries = Vec::new();
        let mut answers = Vec::with_capacity(runs.len());
        for (place, claimed) in runs {
            let answer = recorded
                .next()
                .unwrap_or_else(|| Err(short_answer("settle")));
            if let Ok(settled) = &answer {
                let receipt = self.in_flight.receipt(&claimed);
                self.in_flight.remove(&claimed);
                deliveries.extend(receipt.and_then(|receipt| after_record(*settled, receipt)));
            }
            answers.push((place, answer));
        }
        self.settle_deliveries(deliveries).await;
        answers
    }

    async fn settle_untracked(
        &self,
        batch: Vec<(usize, Claimed, Outcome)>,
    ) -> Vec<(usize, Result<JobSettled>)> {
        if batch.is_empty() {
            return Vec::new();
        }
        let mut answers = Vec::with_capacity(batch.len());
        // One moment for the whole batch: what is recorded because of its delay must not be published, too.
        let now = self.env.now();
        let kept = self.record_untracked(&batch, now).await;
        let mut sent = Vec::new();
        let mut settles = Vec::new();
        for ((place, claimed, outcome), kept) in batch.into_iter().zip(kept) {
            let built = kept.and_then(|()| self.settlement_of(&claimed, &outcome, now));
            match (built, self.receipt_of(&claimed)) {
                (Ok((state, settlement)), Some(receipt)) => {
                    sent.push((place, claimed, state));
                    settles.push(Settle {
                        receipt,
                        settlement,
                    });
                }
                (Ok((state, _)), None) => answers.push((place, Ok(JobSettled::Settled(state)))),
                (Err(e), _) => answers.push((place, Err(e))),
            }
        }
        for ((place, claimed, state), settled) in
            sent.into_iter().zip(self.broker.settle(settles).await)
        {
            let answer = settled.map(|settled| match settled {
                Settled::Done => JobSettled::Settled(state),
                Settled::Already => JobSettled::AlreadySettled(state),
                Settled::LeaseLost => JobSettled::Stale { epoch: 0 },
            });
            if answer.is_ok() {
                self.in_flight.remove(&claimed);
            }
            answers.push((place, answer));
        }
        answers
    }

    fn receipt_of(&self, claimed: &Claimed) -> Option<Receipt> {
        let at_claim = || {
            claimed
                .delivery
                .as_ref()
                .map(|delivery| delivery.receipt.clone())
        };
        self.in_flight.receipt(claimed).or_else(at_claim)
    }

    /// With `track = outcome`, the ends are recorded, and with any the waits that are too long for the broker,
    /// in one write; the others need nothing.
    async fn record_untracked(
        &self,
        batch: &[(usize, Claimed, Outcome)],
        now: Timestamp,
    ) -> Vec<Result<()>> {
        let mut kept: Vec<Result<()>> = Vec::with_capacity(batch.len());
        let mut records = Vec::new();
        let mut places = Vec::new();
        for (place, (_, claimed, outcome)) in batch.iter().enumerate() {
            let record = if self.waits_in_store(outcome, now) {
                self.waiting(claimed, outcome, now).map(Some)
            } else {
                Ok(end_of(claimed, outcome, now))
            };
            if let Ok(Some(record)) = &record {
                records.push(record.clone());
                places.push(place);
            }
            kept.push(record.map(drop));
        }
        if records.is_empty() {
            return kept;
        }
        // A duplicate is the same end or wait, recorded before its delivery was acknowledged.
        for (place, recorded) in places
            .into_iter()
            .zip(self.store.jobs().record(records, None).await)
        {
            if let (Some(slot), Err(e)) = (kept.get_mut(place), recorded) {
                *slot = Err(e.during("settle"));
            }
        }
        kept
    }

    /// What an outcome means for the delivery of an untracked job.
    fn settlement_of(
        &self,
        claimed: &Claimed,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<(JobState, Settlement)> {
        let job = &claimed.job;
        let waits = self.waits_in_store(outcome, now);
        Ok(match outcome {
            Outcome::Retry { .. } if waits => (JobState::Retrying, Settlement::Ack),
            Outcome::Release { .. } if waits => (JobState::Scheduled, Settlement::Ack),
            Outcome::Succeeded { .. } => (JobState::Succeeded, Settlement::Ack),
            Outcome::Cancelled => (JobState::Cancelled, Settlement::Ack),
            Outcome::Expired => (JobState::Expired, Settlement::Ack),
            Outcome::Dead { .. } if job.track == Track::Outcome => {
                (JobState::Dead, Settlement::Ack)
            }
            Outcome::Dead { reason, error } => {
                let message = self.failed_message(job, &error.message)?;
                let reason = format!("{reason}: {}", error.message);
                let message = Some(Box::new(message));
                (JobState::Dead, Settlement::DeadLetter { reason, message })
            }
            Outcome::Retry { run_at, error } => {
                let message = self.failed_message(job, &error.message)?;
                let delay = run_at.since(now);
                (
                    JobState::Retrying,
                    Settlement::Retry {
                        delay,
                        message: Box::new(message),
                    },
                )
            }
            Outcome::Release { run_at, .. } => {
                let delay = run_at.map_or(Duration::ZERO, |at| at.since(now));
                let settlement = match &claimed.delivery {
                    Some(delivery) => give_back(delivery, delay).settlement,
                    None => Settlement::Release { delay },
                };
                (
                    if delay.is_zero() {
                        JobState::Ready
                    } else {
                        JobState::Scheduled
                    },
                    settlement,
                )
            }
        })
    }

    pub(super) fn failed_message(&self, job: &Job, error: &str) -> Result<RawMessage> {
        let mut job = job.clone();
        job.failed_attempts += 1;
        job.last_error = Some(error.to_owned());
        let body = self.options.codecs.of(&job.queue).encode(&job)?;
        let mut message = RawMessage::new(job.id, body);
        message.priority = job.priority;
        Ok(message)
    }
}

/// What the record's new state means for the delivery. Somebody else's run is none of our business.
fn after_record(settled: JobSettled, receipt: Receipt) -> Option<Settle> {
    let settlement = match settled {
        JobSettled::Settled(JobState::Ready) | JobSettled::AlreadySettled(JobState::Ready) => {
            Settlement::Release {
                delay: Duration::ZERO,
            }
        }
        JobSettled::Settled(_) | JobSettled::AlreadySettled(_) | JobSettled::Missing => {
            Settlement::Ack
        }
        JobSettled::Stale { .. } => return None,
    };
    Some(Settle {
        receipt,
        settlement,
    })
}

/// The record of a job that is recorded only at its end, if this is its end.
fn end_of(claimed: &Claimed, outcome: &Outcome, now: Timestamp) -> Option<NewRecord> {
    let is_end = !matches!(outcome, Outcome::Retry { .. } | Outcome::Release { .. });
    if claimed.job.track != Track::Outcome || !is_end {
        return None;
    }
    let body = claimed.delivery.as_ref()?.message.body.clone();
    Some(record_of(claimed, outcome, body, now))
}

/// The record of a job that had none, after a run that ended like this.
pub(super) fn record_of(
    claimed: &Claimed,
    outcome: &Outcome,
    body: Bytes,
    now: Timestamp,
) -> NewRecord {
    let mut record = NewRecord::of(&claimed.job, body, now);
    record.standing = Standing::new(now, None, None);
    record.standing.failed_attempts = claimed.job.failed_attempts;
    record.standing.crashes = claimed.crashes;
    record.standing.start(claimed.owner, (0, 0), now);
    let mut whole = record.clone().into_record();
    whole.settle(whole.standing.epoch, outcome.clone(), now);
    record.standing = whole.standing;
    record.errors = whole.errors;
    record.result = whole.result;
    record
}
