//! Upkeep: publishing what is due, what was never published, and what the broker has lost.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::Shared;
use super::evidence::Evidence;
use crate::wrapper::claim_check::sweep::sweep;
use crate::{
    Chore, Due, JobState, Lost, OwnerId, Prune, Publication, QueueName, Republish, Result, Tended,
    Timestamp,
};

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
                self.sweep(now, dead).await?;
                Ok(Tended {
                    jobs,
                    more: jobs >= PAGE as u64,
                    next: None,
                })
            }
        }
    }

    /// Forgets bodies that messages left behind in the store.
    async fn sweep(&self, now: Timestamp, dead: Duration) -> Result<()> {
        let place = || self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let after = *place();
        let next = sweep(self.store.as_ref(), now, dead, after).await?;
        *place() = next;
        Ok(())
    }

    pub(super) fn watch_for_loss(&self, queues: &[QueueName]) {
        let mut evidence = self.evidence();
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

    /// Publishes again what was never published and what the broker has lost, page by page, for a while.
    ///
    /// All pages are one batch, and the next call goes on with it: what is in it is not lost to itself. It is
    /// closed only at the end, so that other schedulers do not take its jobs for lost meanwhile.
    async fn republish(&self) -> Result<Tended> {
        self.confirm_published().await?;
        let open = self.store.jobs().open_batches().await?;
        let gone: HashSet<_> = open
            .iter()
            .filter(|batch| (self.options.is_surely_gone)(&batch.owner))
            .map(|batch| batch.id)
            .collect();
        self.look_for_loss().await?;
        // Taken away while it is open: a call that fails or is dropped leaves it to be found as an open batch.
        let kept = self.evidence().take_publication();
        let publication = kept.unwrap_or_else(|| self.publication());
        // Shorter than a batch may be open, or the loop would find its own.
        let until = self.env.monotonic() + self.options.open_for / 3;
        let mut tended = Tended::default();
        loop {
            let evidence = self.evidence().lost();
            if open.is_empty() && evidence.is_empty() {
                tended.more = false;
                break;
            }
            let lost = Lost {
                now: self.env.now(),
                open_for: self.options.open_for,
                gone: gone.clone(),
                evidence: evidence.clone(),
                max: PAGE,
                publication: publication.clone(),
            };
            let page = self.store.jobs().lost(lost).await?;
            tended.jobs += page.moved;
            tended.more = page.more;
            self.publish_lost(page.jobs).await?;
            if !page.more {
                self.evidence().is_published(&evidence);
                break;
            }
            if self.env.monotonic() >= until {
                break;
            }
        }
        if tended.jobs > 0 {
            self.store.jobs().confirm(&[publication.id]).await?;
        }
        if tended.more {
            self.evidence().keep_publication(publication);
        }
        Ok(tended)
    }

    async fn publish_lost(&self, jobs: Vec<Republish>) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            jobs = jobs.len(),
            "publishing again what the broker did not have"
        );
        let mut published: HashMap<QueueName, u64> = HashMap::new();
        for job in &jobs {
            *published.entry(job.job.queue.clone()).or_default() += 1;
        }
        self.publish_recorded(jobs).await?;
        self.evidence().count_down(&published);
        Ok(())
    }

    fn evidence(&self) -> MutexGuard<'_, Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the broker lost the data of a queue, as far as that can be seen.
    async fn look_for_loss(&self) -> Result<()> {
        let Some(admin) = self.broker.admin() else {
            return Ok(());
        };
        let queues = self.evidence().queues();
        if queues.is_empty() {
            return Ok(());
        }
        let depths = admin.depth(&queues).await?;
        let mut ready: HashMap<QueueName, u64> = HashMap::new();
        for count in self.store.index().counts().await? {
            if count.state == JobState::Ready {
                ready.insert(count.queue, count.jobs);
            }
        }
        let now = self.env.monotonic();
        let lost = self.evidence().look(now, &depths, &ready, LOOKS_APART);
        if !lost.is_empty() {
            tracing::warn!(queues = ?lost, "the broker has lost its data");
        }
        Ok(())
    }

    /// Makes the broker's leases last as long as the owner's. A broker that takes long is not waited for: the
    /// owner's lease holds, and whoever renewed it must hear of that in time.
    pub(super) async fn extend_soon(self: &Arc<Self>, owner: OwnerId, lease: Duration) {
        if !self.in_flight.has_some_of(owner) {
            return;
        }
        let shared = Arc::clone(self);
        let extend = Box::pin(async move { shared.extend_deliveries(owner).await });
        let mut extended = self.env.spawn_isolated("extend", extend);
        self.env.within(lease / 8, extended.ended()).await.ok();
    }

    async fn extend_deliveries(&self, owner: OwnerId) {
        for (lease, receipts) in self.in_flight.receipts(owner) {
            let extended = self.broker.extend(&receipts, lease).await;
            let lost = extended.iter().filter(|lease| lease.is_err()).count();
            if lost > 0 {
                tracing::warn!(lost, "leases of running jobs could not be extended");
            }
        }
    }
}
