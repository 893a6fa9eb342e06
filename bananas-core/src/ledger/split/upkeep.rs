//! Upkeep: publishing what is due, what was never published, and what the broker has lost.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Shared;
use crate::{Chore, Due, JobState, Lost, OwnerId, Prune, Publication, QueueName, Result, Tended};

/// How many jobs one page of upkeep moves.
const PAGE: usize = 1_000;

/// Two looks at an empty queue must be this far apart to count as a loss: two leases.
const LOOKS_APART: Duration = Duration::from_secs(30);

impl Shared {
    pub(super) async fn tend(self: &Arc<Self>, chore: Chore) -> Result<Tended> {
        let now = self.env.now();
        match chore {
            Chore::Promote => self.promote().await,
            Chore::Retire(owners) => {
                self.store.jobs().retire(&owners).await?;
                Ok(Tended::default())
            }
            Chore::Republish => self.republish().await,
            Chore::Prune { finished, dead } => {
                let prune = Prune {
                    finished_before: now - finished,
                    dead_before: now - dead,
                    max: PAGE,
                };
                let jobs = self.store.index().prune(prune).await?;
                Ok(Tended {
                    jobs,
                    more: jobs >= PAGE as u64,
                    next: None,
                })
            }
        }
    }

    pub(super) fn watch_for_loss(&self, queues: &[QueueName]) {
        let mut evidence = self.evidence.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in queues {
            evidence.watch(queue);
        }
    }

    fn publication(&self) -> Publication {
        Publication {
            id: self.env.batch_id(),
            owner: self.options.process.clone(),
        }
    }

    async fn promote(self: &Arc<Self>) -> Result<Tended> {
        let publication = self.publication();
        let due = Due {
            now: self.env.now(),
            max: PAGE,
            publication: Some(publication.clone()),
        };
        let page = self.store.jobs().due(due).await?;
        let tended = Tended {
            jobs: page.moved,
            more: page.more,
            next: page.next,
        };
        if !page.jobs.is_empty() {
            self.publish_recorded(page.jobs).await?;
            self.confirm_soon(&publication);
        }
        Ok(tended)
    }

    async fn republish(self: &Arc<Self>) -> Result<Tended> {
        let open = self.store.jobs().open_batches().await?;
        let gone: HashSet<_> = open
            .iter()
            .filter(|batch| (self.options.is_surely_gone)(&batch.owner))
            .map(|batch| batch.id)
            .collect();
        let evidence = self.look_for_loss().await?;
        if open.is_empty() && evidence.is_empty() {
            return Ok(Tended::default());
        }
        let mut tended = Tended::default();
        let mut published = Vec::new();
        // Evidence is seen once, so all that was lost is published now, page by page. The batches are closed
        // only at the end: a closed one would be taken for lost again by the next page.
        loop {
            let publication = self.publication();
            let lost = Lost {
                now: self.env.now(),
                open_for: self.options.open_for,
                gone: gone.clone(),
                evidence: evidence.clone(),
                max: PAGE,
                publication: publication.clone(),
            };
            let page = self.store.jobs().lost(lost).await?;
            if !page.jobs.is_empty() {
                tended.jobs += page.moved;
                tracing::warn!(
                    jobs = page.jobs.len(),
                    "publishing again what the broker did not have"
                );
                self.publish_recorded(page.jobs).await?;
                published.push(publication);
            }
            if !page.more {
                break;
            }
        }
        for publication in published {
            self.confirm_soon(&publication);
        }
        Ok(tended)
    }

    /// The queues whose broker lost its data, as far as it can be seen.
    async fn look_for_loss(&self) -> Result<Vec<QueueName>> {
        let Some(admin) = self.broker.admin() else {
            return Ok(Vec::new());
        };
        let queues = self
            .evidence
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .queues();
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let depths = admin.depth(&queues).await?;
        let mut ready: HashMap<QueueName, u64> = HashMap::new();
        for count in self.store.index().counts().await? {
            if count.state == JobState::Ready {
                ready.insert(count.queue, count.jobs);
            }
        }
        let now = self.env.monotonic();
        let mut evidence = self.evidence.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = evidence.look(now, &depths, &ready, LOOKS_APART);
        drop(evidence);
        if !lost.is_empty() {
            tracing::warn!(queues = ?lost, "the broker has lost its data");
        }
        Ok(lost)
    }

    /// Makes the broker's leases last as long as the owner's.
    pub(super) async fn extend_deliveries(&self, owner: OwnerId) {
        for (lease, receipts) in self.in_flight.receipts(owner) {
            let extended = self.broker.extend(&receipts, lease).await;
            let lost = extended.iter().filter(|lease| lease.is_err()).count();
            if lost > 0 {
                tracing::warn!(lost, "leases of running jobs could not be extended");
            }
        }
    }
}
