//! The ledger of an engine that is broker and store at once: the record of a job is its message.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::store::{StateStore, TakeStore, Taken, Taker};
use crate::{
    Accepted, AttemptError, Chore, Claimed, Codecs, DeadReason, Due, Env, ErrorCause, Job, JobId,
    JobIndex, JobRef, JobSettle, JobSettled, Ledger, LedgerInfo, NewRecord, Outcome, Owner,
    OwnerId, OwnerRow, Prune, QueueName, RawMessage, Recorded, Renewed, Result, Source, SourceSpec,
    Tended,
};

use super::held::Held;
use super::limits::check_size;

/// A ledger over one engine, with half the writes of a [`SplitLedger`](crate::SplitLedger).
pub struct FusedLedger {
    shared: Arc<Shared>,
}

struct Shared {
    info: LedgerInfo,
    store: Arc<dyn StateStore>,
    taking: Arc<dyn TakeStore>,
    codecs: Codecs,
    env: Arc<dyn Env>,
}

/// How many jobs one page of upkeep moves.
const PAGE: usize = 1_000;

impl FusedLedger {
    /// Makes a ledger of an engine's two sides.
    #[must_use]
    pub fn new(
        info: LedgerInfo,
        store: Arc<dyn StateStore>,
        taking: Arc<dyn TakeStore>,
        env: Arc<dyn Env>,
    ) -> Self {
        let codecs = Codecs::default();
        Self {
            shared: Arc::new(Shared {
                info,
                store,
                taking,
                codecs,
                env,
            }),
        }
    }
}

impl fmt::Debug for FusedLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FusedLedger")
            .field(&self.shared.info.url)
            .finish()
    }
}

#[async_trait]
impl Ledger for FusedLedger {
    fn info(&self) -> &LedgerInfo {
        &self.shared.info
    }

    async fn ensure(&self, _queues: &[QueueName]) -> Result<()> {
        // A queue is nothing but a column here.
        Ok(())
    }

    async fn enqueue(&self, jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        let shared = &self.shared;
        let now = shared.env.now();
        let mut answers: Vec<Option<Result<Accepted>>> = Vec::with_capacity(jobs.len());
        let mut records = Vec::with_capacity(jobs.len());
        for job in &jobs {
            match shared.encode(job) {
                Ok(body) => {
                    records.push(NewRecord::of(job, body, now));
                    answers.push(None);
                }
                Err(e) => answers.push(Some(Err(e))),
            }
        }
        let mut recorded = shared.store.jobs().record(records, None).await.into_iter();
        let answer = |(job, answer): (&Job, Option<Result<Accepted>>)| match answer {
            Some(refused) => refused,
            None => match recorded.next() {
                Some(Ok(Recorded::New)) => Ok(Accepted {
                    id: job.id,
                    duplicate: false,
                    published: true,
                }),
                Some(Ok(Recorded::Duplicate(id))) => Ok(Accepted {
                    id,
                    duplicate: true,
                    published: true,
                }),
                Some(Err(e)) => Err(e.during("enqueue").on(&job.queue)),
                None => Err(super::limits::short_answer("enqueue")),
            },
        };
        jobs.iter().zip(answers).map(answer).collect()
    }

    async fn open(&self, spec: SourceSpec) -> Result<Box<dyn Source>> {
        let taker = self.shared.taking.taker(&spec.queue, spec.owner.id);
        Ok(Box::new(FusedSource {
            shared: Arc::clone(&self.shared),
            taker,
            queue: spec.queue,
            owner: spec.owner.id,
            held: Held::default(),
            undecodable: Vec::new(),
        }))
    }

    async fn settle(&self, batch: Vec<(Claimed, Outcome)>) -> Vec<Result<JobSettled>> {
        let settles = settles_of(batch);
        self.shared.store.jobs().settle(settles).await
    }

    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed> {
        self.shared.store.jobs().renew(owner, lease).await
    }

    async fn owners(&self, cancels_of: Option<&Owner>) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        self.shared
            .store
            .jobs()
            .owners(cancels_of.map(|owner| owner.id))
            .await
    }

    async fn tend(&self, chore: Chore) -> Result<Tended> {
        let shared = &self.shared;
        let now = shared.env.now();
        match chore {
            Chore::Promote => {
                let due = Due {
                    now,
                    max: PAGE,
                    publication: None,
                };
                let page = shared.store.jobs().due(due).await?;
                Ok(Tended {
                    jobs: page.moved,
                    more: page.more,
                    next: page.next,
                })
            }
            Chore::Retire(owners) => {
                shared.store.jobs().retire(&owners).await?;
                Ok(Tended::default())
            }
            Chore::Republish => Ok(Tended::default()),
            Chore::Prune { finished, dead } => {
                let prune = Prune {
                    finished_before: now - finished,
                    dead_before: now - dead,
                    max: PAGE,
                };
                let jobs = shared.store.index().prune(prune).await?;
                Ok(Tended {
                    jobs,
                    more: jobs >= PAGE as u64,
                    next: None,
                })
            }
        }
    }

    fn index(&self) -> Option<&dyn JobIndex> {
        Some(self.shared.store.index())
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.shared.store.close(deadline).await
    }
}

impl Shared {
    fn encode(&self, job: &Job) -> Result<bytes::Bytes> {
        let body = self.codecs.of(&job.queue).encode(job)?;
        check_size(body.len(), self.info.capabilities.max_message, &job.queue)?;
        Ok(body)
    }

    /// Settles runs of which none may fail to be.
    async fn settle(&self, batch: Vec<(Claimed, Outcome)>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        for settled in self.store.jobs().settle(settles_of(batch)).await {
            settled?;
        }
        Ok(())
    }
}

fn settles_of(batch: Vec<(Claimed, Outcome)>) -> Vec<JobSettle> {
    batch
        .into_iter()
        .map(|(claimed, outcome)| JobSettle {
            job: claimed.job.reference(),
            epoch: claimed.epoch,
            outcome,
        })
        .collect()
}

struct FusedSource {
    shared: Arc<Shared>,
    taker: Box<dyn Taker>,
    queue: QueueName,
    owner: OwnerId,
    /// Claimed by a call that was dropped before it could return them.
    held: Held,
    /// To be set aside; what cannot be for now is tried again with the next call.
    undecodable: Vec<JobSettle>,
}

impl fmt::Debug for FusedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FusedSource").field(&self.queue).finish()
    }
}

#[async_trait]
impl Source for FusedSource {
    async fn next(&mut self, max: usize, suspects: usize, wait: Duration) -> Result<Vec<Claimed>> {
        let held = self.held.hand_out(max, suspects);
        if !held.is_empty() {
            return Ok(held);
        }
        for taken in self.taker.take(max, suspects, wait).await? {
            self.decode(&taken);
        }
        self.set_aside().await;
        Ok(self.held.hand_out(max, suspects))
    }

    async fn stop(&mut self) -> Result<()> {
        let stopped = self.taker.stop().await;
        self.set_aside().await;
        self.shared.settle(self.held.give_back()).await?;
        stopped
    }
}

impl Drop for FusedSource {
    /// What was claimed and never returned would run nowhere for as long as its owner lives.
    fn drop(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let (shared, batch) = (Arc::clone(&self.shared), self.held.give_back());
        let give_back = async move {
            if let Err(e) = shared.settle(batch).await {
                tracing::warn!(error = %e, "claimed jobs could not be given back; they run again when their owner's lease ends");
            }
        };
        self.shared
            .env
            .spawn_isolated("give back", Box::pin(give_back));
    }
}

impl FusedSource {
    fn decode(&mut self, taken: &Taken) {
        let codec = self.shared.codecs.of(&self.queue);
        let mut message = RawMessage::new(taken.id, taken.body.clone());
        message.priority = taken.priority;
        match codec.decode(&self.queue, &message) {
            Ok(job) => self.held.add(vec![Claimed {
                job: Arc::new(job),
                owner: self.owner,
                epoch: taken.epoch,
                attempt: taken.attempt,
                crashes: taken.crashes,
                delivery: None,
            }]),
            Err(e) => {
                let settle = self.dead(taken, e.reason);
                self.undecodable.push(settle);
            }
        }
    }

    async fn set_aside(&mut self) {
        if self.undecodable.is_empty() {
            return;
        }
        let settled = self
            .shared
            .store
            .jobs()
            .settle(self.undecodable.clone())
            .await;
        let mut settled = settled.into_iter();
        // Settling twice is no harm, so what was not answered is tried again, too.
        self.undecodable.retain(|_| match settled.next() {
            Some(Ok(_)) => false,
            Some(Err(e)) => {
                tracing::warn!(error = %e, "job that cannot be decoded not set aside yet");
                e.is_retryable()
            }
            None => true,
        });
    }

    fn dead(&self, taken: &Taken, reason: String) -> JobSettle {
        let now = self.shared.env.now();
        let error = AttemptError::new(taken.attempt, now, ErrorCause::Failed, reason);
        JobSettle {
            job: JobRef {
                queue: self.queue.clone(),
                id: taken.id,
            },
            epoch: taken.epoch,
            outcome: Outcome::Dead {
                reason: DeadReason::Undecodable,
                error,
            },
        }
    }
}

#[cfg(test)]
#[path = "fused_tests.rs"]
mod tests;
