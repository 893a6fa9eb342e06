//! What becomes of deliveries before they run: decode, claim, and settle those that must not run.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::settle::{crashes_of, give_back};
use crate::ledger::limits::short_answer;
use crate::{
    AttemptError, CRASH_LIMIT, Claim, ClaimAnswer, ClaimRequest, Claimed, DeadReason, Delivery,
    ErrorCause, Job, NewRecord, Outcome, Result, Settle, Settlement, SourceSpec, Timestamp, Track,
};

/// How long an untracked suspect waits for its turn.
const SUSPECT_RETRY: Duration = Duration::from_millis(500);

/// A delivery with its job.
type Decoded = (Delivery, Arc<Job>);

/// What becomes of a batch of deliveries.
struct Intake<'a> {
    spec: &'a SourceSpec,
    /// How many more suspects may run.
    suspects: usize,
    /// To be asked about.
    tracked: Vec<Decoded>,
    /// To run.
    claimed: Vec<Claimed>,
    /// To be settled without a run.
    settle: Vec<Settle>,
    /// Untracked suspects that have to wait for their turn.
    waiting: Vec<Delivery>,
    /// Untracked, and dead.
    poison: Vec<(Claimed, Outcome)>,
}

impl Shared {
    /// Turns deliveries into claimed jobs.
    pub(super) async fn take_in(
        self: &Arc<Self>,
        deliveries: Vec<Delivery>,
        spec: &SourceSpec,
        suspects: usize,
    ) -> Result<Vec<Claimed>> {
        let mut intake = Intake::new(spec, suspects);
        self.sort(deliveries, &mut intake);
        let tracked = std::mem::take(&mut intake.tracked);
        let answers = self.claim(&tracked, spec, intake.suspects).await;
        let mut missing = Vec::new();
        let mut failed = None;
        for (decoded, answer) in tracked.into_iter().zip(answers) {
            match answer {
                Ok(ClaimAnswer::Missing) => missing.push(decoded),
                Ok(answer) => intake.act(&answer, decoded),
                Err(e) => {
                    intake
                        .settle
                        .push(release(&decoded.0, Duration::from_secs(1)));
                    failed = Some(e);
                }
            }
        }
        if !missing.is_empty() {
            self.adopt(missing, &mut intake).await;
        }
        let Intake {
            claimed,
            settle,
            waiting,
            poison,
            ..
        } = intake;
        self.settle_deliveries(settle).await;
        self.give_back_suspects(&waiting).await;
        for settled in self.settle(poison).await {
            // It comes again when its lease ends. What was claimed beside it must run now.
            if let Err(e) = settled {
                tracing::warn!(error = %e, "poisoned job not set aside yet");
            }
        }
        for run in &claimed {
            if let Some(delivery) = &run.delivery {
                self.in_flight.insert(run, delivery, spec.lease);
            }
        }
        match failed {
            Some(e) if claimed.is_empty() => Err(e.on(&spec.queue)),
            _ => Ok(claimed),
        }
    }

    /// Decodes, and sorts out what need not be asked about.
    fn sort(&self, deliveries: Vec<Delivery>, intake: &mut Intake<'_>) {
        let SourceSpec { queue, owner, .. } = intake.spec;
        let owner = owner.id;
        let codec = self.options.codecs.of(queue);
        for delivery in deliveries {
            match codec.decode(queue, &delivery.message) {
                Err(e) => {
                    tracing::warn!(%queue, reason = %e.reason, "message cannot be decoded");
                    intake.settle.push(dead_letter(&delivery, e.reason));
                }
                // It runs here, and goes on running.
                Ok(job) if self.in_flight.replace(job.id, owner, &delivery) => {}
                Ok(job) if is_recorded(&job, &delivery) => {
                    intake.tracked.push((delivery, Arc::new(job)));
                }
                Ok(job) => intake.untracked(delivery, Arc::new(job), self.env.now()),
            }
        }
    }

    async fn claim(
        &self,
        decoded: &[Decoded],
        spec: &SourceSpec,
        suspects: usize,
    ) -> Vec<Result<ClaimAnswer>> {
        if decoded.is_empty() {
            return Vec::new();
        }
        let claims = decoded
            .iter()
            .map(|(delivery, job)| Claim {
                job: job.reference(),
                copy: delivery.message.copy(),
                delivery: delivery.count.known(),
                redelivery_proves_lease_lost: self.info.capabilities.redelivery_proves_lease_lost,
            })
            .collect();
        let request = ClaimRequest {
            owner: spec.owner.id,
            suspects,
            claims,
        };
        let mut answers = self.store.jobs().claim(request).await;
        answers.resize_with(decoded.len(), || Err(short_answer("claim")));
        answers
    }

    /// Gives suspects back, to come again when one of them may run.
    ///
    /// Where the broker has no delays they wait here. If they were left to their leases, each of those would count
    /// as one more crash, and if they were given back at once, they would come at once. Only a process that ends
    /// meanwhile leaves them to their leases.
    async fn give_back_suspects(self: &Arc<Self>, suspects: &[Delivery]) {
        if suspects.is_empty() {
            return;
        }
        let now = self.env.now();
        let waits_here = self.is_beyond_broker(Some(now + SUSPECT_RETRY), now);
        let delay = if waits_here {
            Duration::ZERO
        } else {
            SUSPECT_RETRY
        };
        let batch = suspects.iter().map(|suspect| give_back(suspect, delay));
        let batch = batch.collect();
        if !waits_here {
            return self.settle_deliveries(batch).await;
        }
        let shared = Arc::clone(self);
        let later = async move {
            shared.env.sleep(SUSPECT_RETRY).await;
            shared.settle_deliveries(batch).await;
        };
        self.env.spawn_isolated("give back", Box::pin(later));
    }

    /// Messages without a record: young ones get one and run, old ones are set aside.
    async fn adopt(&self, missing: Vec<Decoded>, intake: &mut Intake<'_>) {
        let now = self.env.now();
        let (young, old): (Vec<Decoded>, Vec<Decoded>) = missing
            .into_iter()
            .partition(|(_, job)| now.since(job.created_at) < self.options.adopt_younger_than);
        for decoded in old {
            intake.act(&ClaimAnswer::Missing, decoded);
        }
        let records = young
            .iter()
            .map(|(delivery, job)| {
                let mut record = NewRecord::of(job, delivery.message.body.clone(), now);
                record.standing.copy = delivery.message.copy();
                record
            })
            .collect();
        // A failure shows in the claim that follows.
        for recorded in self.store.jobs().record(records, None).await {
            if let Err(e) = recorded {
                tracing::warn!(error = %e, "message without a record could not be adopted");
            }
        }
        let answers = self.claim(&young, intake.spec, 0).await;
        for (decoded, answer) in young.into_iter().zip(answers) {
            match answer {
                Ok(ClaimAnswer::Missing) | Err(_) => {
                    intake
                        .settle
                        .push(release(&decoded.0, Duration::from_secs(1)));
                }
                Ok(answer) => intake.act(&answer, decoded),
            }
        }
    }
}

impl<'a> Intake<'a> {
    fn new(spec: &'a SourceSpec, suspects: usize) -> Self {
        Self {
            spec,
            suspects,
            tracked: Vec::new(),
            claimed: Vec::new(),
            settle: Vec::new(),
            waiting: Vec::new(),
            poison: Vec::new(),
        }
    }

    /// A job that the store knows nothing of: the message alone tells whether it may run.
    fn untracked(&mut self, delivery: Delivery, job: Arc<Job>, now: Timestamp) {
        let crashes = crashes_of(&delivery);
        let mut claimed = Claimed::new(job, self.spec.owner.id, 0);
        claimed.attempt = claimed.job.failed_attempts + 1;
        claimed.crashes = crashes;
        if crashes > 0 && crashes < CRASH_LIMIT && self.suspects == 0 {
            self.waiting.push(delivery);
            return;
        }
        claimed.delivery = Some(Box::new(delivery));
        if crashes >= CRASH_LIMIT {
            let message = format!("{crashes} workers died while running it");
            let error = AttemptError::new(claimed.attempt, now, ErrorCause::Crashed, message);
            self.poison.push((
                claimed,
                Outcome::Dead {
                    reason: DeadReason::Poison,
                    error,
                },
            ));
            return;
        }
        self.suspects -= usize::from(crashes > 0);
        self.claimed.push(claimed);
    }

    /// Does what the store's answer says.
    fn act(&mut self, answer: &ClaimAnswer, (delivery, job): Decoded) {
        match answer {
            ClaimAnswer::Run {
                epoch,
                attempt,
                crashes,
            } => {
                let mut run = Claimed::new(job, self.spec.owner.id, *epoch);
                run.attempt = *attempt;
                run.crashes = *crashes;
                run.delivery = Some(Box::new(delivery));
                self.claimed.push(run);
            }
            ClaimAnswer::Finished | ClaimAnswer::Cancelled | ClaimAnswer::NotYet { .. } => {
                let settlement = Settlement::Ack;
                self.settle.push(Settle {
                    receipt: delivery.receipt,
                    settlement,
                });
            }
            ClaimAnswer::Busy { retry_in } => self.settle.push(release(&delivery, *retry_in)),
            ClaimAnswer::Missing => {
                let reason =
                    "its record is gone from the store: it is older than finished records are kept";
                self.settle.push(dead_letter(&delivery, reason.to_owned()));
            }
        }
    }
}

/// Whether the store has a record of a job before it ends. It has one of each job that it published itself.
fn is_recorded(job: &Job, delivery: &Delivery) -> bool {
    job.track == Track::Full || delivery.message.copy() > 0
}

fn release(delivery: &Delivery, delay: Duration) -> Settle {
    Settle {
        receipt: delivery.receipt.clone(),
        settlement: Settlement::Release { delay },
    }
}

fn dead_letter(delivery: &Delivery, reason: String) -> Settle {
    let settlement = Settlement::DeadLetter {
        reason,
        message: None,
    };
    Settle {
        receipt: delivery.receipt.clone(),
        settlement,
    }
}
