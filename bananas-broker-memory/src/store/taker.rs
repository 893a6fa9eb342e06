//! [`Taker`]: starts ready jobs of one queue for one owner, and waits where there are none.
//!
//! Jobs are started inside the poll that returns them, never before a wait; so a dropped future leaves nothing
//! started behind.

use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{JobState, OwnerId, QueueName, Result, Taken, Taker, Tick};

use super::MemoryStore;
use super::record::Clock;
use super::table::Table;
use crate::error::Error;

/// How many due jobs one look makes ready; the rest follows with the next.
const PROMOTED_AT_ONCE: usize = 4_096;

/// Takes jobs of one queue for one owner.
#[derive(Debug)]
pub(super) struct MemoryTaker {
    store: MemoryStore,
    queue: QueueName,
    owner: OwnerId,
    stopped: bool,
}

/// What to start for whom.
struct Wish<'a> {
    queue: &'a QueueName,
    owner: OwnerId,
    max: usize,
    suspects: usize,
}

impl MemoryTaker {
    pub(super) fn new(store: MemoryStore, queue: QueueName, owner: OwnerId) -> Self {
        Self {
            store,
            queue,
            owner,
            stopped: false,
        }
    }

    /// When to look again if no bell rings before.
    fn look_again(&self, until: Tick, clock: Clock) -> Tick {
        let due = self.store.memory().jobs.lock().next_due(&self.queue);
        due.map_or(until, |(at, _)| {
            until.min(self.store.memory().tick_of(at, clock.now))
        })
    }
}

#[async_trait]
impl Taker for MemoryTaker {
    async fn take(&mut self, max: usize, suspects: usize, wait: Duration) -> Result<Vec<Taken>> {
        let until = self.store.clock().tick + wait;
        let wish = Wish {
            queue: &self.queue,
            owner: self.owner,
            max,
            suspects,
        };
        let bell = self
            .store
            .with(|table| std::sync::Arc::clone(&table.index.queue(&self.queue).bell))?;
        loop {
            if self.stopped {
                return Err(Error::Closed.into());
            }
            // Before looking, so that a bell between looking and waiting is heard.
            let (ringing, closing) = (bell.notified(), self.store.connection.closing());
            let clock = self.store.clock();
            let taken = self.store.with(|table| table.take(&wish, clock))??;
            if !taken.is_empty() || max == 0 || clock.tick >= until {
                return Ok(taken);
            }
            let again = self.look_again(until, clock);
            self.store.connection.wait(again, ringing, closing).await;
        }
    }

    async fn stop(&mut self) -> Result<()> {
        self.stopped = true;
        Ok(())
    }
}

impl Table {
    fn take(&mut self, wish: &Wish<'_>, clock: Clock) -> Result<Vec<Taken>, Error> {
        if !self.index.owners.holds(wish.owner, clock.tick) {
            return Err(Error::NoLease(wish.owner));
        }
        self.promote_queue(wish.queue, PROMOTED_AT_ONCE, clock.now);
        let mut suspects = wish.suspects;
        let mut taken = Vec::new();
        while taken.len() < wish.max
            && let Some(queue) = self.index.queues.get(wish.queue)
            && let Some((id, suspect)) = queue.next(suspects > 0)
        {
            let started = self.change(id, |row| {
                let copy = row.record.standing.copy;
                let standing = &mut row.record.standing;
                if standing.start(wish.owner, (copy, 0), clock.now) {
                    row.record.started_at = Some(clock.now);
                }
                debug_assert_ne!(row.record.standing.state, JobState::Ready);
                (row.record.standing.state == JobState::Running).then(|| Taken {
                    id,
                    body: row.record.body.clone(),
                    priority: row.record.priority,
                    epoch: row.record.standing.epoch,
                    attempt: row.record.standing.failed_attempts + 1,
                    crashes: row.record.standing.crashes,
                })
            });
            if let Some(job) = started.flatten() {
                suspects -= usize::from(suspect);
                taken.push(job);
            }
        }
        Ok(taken)
    }
}
