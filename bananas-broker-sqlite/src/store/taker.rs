//! Takes jobs of one queue for one owner: looks, waits for the bell, takes.
//!
//! What the writer starts goes into a buffer that outlives any call, so a call that is dropped loses nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{JobRef, JobSettle, Outcome, OwnerId, QueueName, Result, Taken, Taker, Tick};
use futures::channel::oneshot;

use super::settle;
use super::take::{self, Found, Wish};
use crate::bell::Topic;
use crate::engine::{Pace, Shared, Side};
use crate::transaction::Transaction;
use crate::writer::{Answer, Request};

/// The longest wait without a look while a job has a time: the wall clock may be set.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(1);

/// The longest wait without a look at all, should a notification ever fail to come.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// Takes jobs of one queue for one owner.
#[derive(Debug)]
pub(super) struct SqliteTaker {
    shared: Arc<Shared>,
    queue: QueueName,
    owner: OwnerId,
    hold: Arc<Mutex<Hold>>,
    /// The answer to a request that a dropped call has left behind.
    pending: Option<oneshot::Receiver<Result<()>>>,
    /// The last page was full, so it is not worth looking before taking again.
    expect_more: bool,
    stopped: bool,
}

/// What was started and not returned yet.
#[derive(Debug, Default)]
struct Hold {
    started: VecDeque<Taken>,
    /// Started by a commit of unknown outcome.
    doubtful: Vec<Taken>,
    /// The taker is gone; what still comes is given back.
    abandoned: bool,
}

impl SqliteTaker {
    pub(super) fn new(shared: Arc<Shared>, queue: QueueName, owner: OwnerId) -> Self {
        Self {
            shared,
            queue,
            owner,
            hold: Arc::default(),
            pending: None,
            expect_more: false,
            stopped: false,
        }
    }

    fn wish(&self, max: usize, suspects: usize) -> Wish {
        Wish {
            queue: self.queue.clone(),
            owner: self.owner,
            max,
            suspects,
        }
    }

    /// Waits for the answer to the request under way, if there is one.
    async fn arrive(&mut self) -> Result<()> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        let answer = self.shared.answer_of(pending).await;
        self.pending = None;
        answer
    }

    /// Takes from the buffer.
    fn held(&mut self, max: usize, mut suspects: usize) -> Vec<Taken> {
        let mut hold = lock(&self.hold);
        let mut taken = Vec::with_capacity(hold.started.len().min(max));
        let mut kept = VecDeque::new();
        while let Some(job) = hold.started.pop_front() {
            let is_suspect = job.crashes > 0;
            if taken.len() >= max || (is_suspect && suspects == 0) {
                kept.push_back(job);
                continue;
            }
            suspects -= usize::from(is_suspect);
            taken.push(job);
        }
        hold.started = kept;
        taken
    }

    /// Looks whether there is something to take.
    async fn look(&self, wish: &Wish) -> Result<Found> {
        let (wish, now, moment) = (wish.clone(), self.shared.now(), self.shared.moment());
        self.shared
            .read(Pace::Quick, move |connection| {
                take::look(connection, &wish, now, &moment)
            })
            .await?
    }

    /// Asks the writer to start jobs; they arrive in the buffer.
    async fn start(&mut self, wish: Wish) -> Result<()> {
        let (sender, receiver) = oneshot::channel();
        let (hold, shared) = (Arc::clone(&self.hold), Arc::downgrade(&self.shared));
        let (queue, weight) = (self.queue.clone(), wish.max);
        let answer = move |answer: Answer<Result<Vec<Taken>>>| {
            let end = match answer {
                Answer::Done(Ok(taken)) => {
                    let mut hold = lock(&hold);
                    if hold.abandoned {
                        drop(hold);
                        if let Some(shared) = shared.upgrade() {
                            give_back_now(&shared, &queue, &taken);
                        }
                    } else {
                        hold.started.extend(taken);
                    }
                    Ok(())
                }
                Answer::Doubtful(Ok(taken), e) => {
                    lock(&hold).doubtful.extend(taken);
                    Err(e)
                }
                Answer::Done(Err(e)) | Answer::Failed(e) | Answer::Doubtful(Err(_), e) => Err(e),
            };
            drop(sender.send(end));
        };
        let work = move |tx: &mut Transaction<'_>| take::take(tx, &wish);
        self.shared
            .submit(Box::new(Request::new(weight, work, answer)))
            .await?;
        self.pending = Some(receiver);
        self.arrive().await
    }

    /// Finds out what a commit of unknown outcome has started, and keeps it.
    async fn clear_doubts(&mut self, wish: &Wish) -> Result<()> {
        let doubtful = lock(&self.hold).doubtful.clone();
        if doubtful.is_empty() {
            return Ok(());
        }
        let wish = wish.clone();
        let started = self
            .shared
            .write(doubtful.len(), move |tx| {
                take::started(tx, &wish, &doubtful)
            })
            .await?;
        let mut hold = lock(&self.hold);
        hold.doubtful.clear();
        hold.started.extend(started);
        Ok(())
    }

    /// When to look again although nothing rang.
    fn look_again_at(&self, deadline: Tick, found: Found) -> Tick {
        let pause = match found {
            Found::Nothing { next: Some(at) } => at.since(self.shared.now()).min(LOOK_AT_CLOCK),
            _ => LOOK_ANYWAY,
        };
        deadline.min(self.shared.env.monotonic() + pause)
    }
}

#[async_trait]
impl Taker for SqliteTaker {
    async fn take(&mut self, max: usize, suspects: usize, wait: Duration) -> Result<Vec<Taken>> {
        let deadline = self.shared.env.monotonic() + wait;
        self.shared.check_open(Side::Store)?;
        if self.stopped || max == 0 {
            return Ok(Vec::new());
        }
        let wish = self.wish(max, suspects);
        self.arrive().await?;
        self.clear_doubts(&wish).await?;
        loop {
            let taken = self.held(max, suspects);
            if !taken.is_empty() {
                self.expect_more = taken.len() == max;
                return Ok(taken);
            }
            let listener = self.shared.bell().listen(Topic::Jobs(self.queue.clone()));
            let found = if std::mem::take(&mut self.expect_more) {
                Found::Ready
            } else {
                self.look(&wish).await?
            };
            if found == Found::Ready {
                self.start(wish.clone()).await?;
                // Another taker may have been faster; then the wait goes on, but not beyond its end.
                if !lock(&self.hold).started.is_empty() || self.shared.env.monotonic() < deadline {
                    continue;
                }
                return Ok(Vec::new());
            }
            let again = self.look_again_at(deadline, found);
            if self.shared.env.monotonic() >= deadline {
                return Ok(Vec::new());
            }
            // Rung or not, the next look tells.
            self.shared
                .env
                .until(again, listener)
                .await
                .unwrap_or_default();
            self.shared.check_open(Side::Store)?;
        }
    }

    async fn stop(&mut self) -> Result<()> {
        self.stopped = true;
        // An error says that nothing was started, or leaves it in doubt.
        let arrived = self.arrive().await;
        let wish = self.wish(0, 0);
        self.clear_doubts(&wish).await?;
        let started: Vec<Taken> = lock(&self.hold).started.iter().cloned().collect();
        if started.is_empty() {
            return arrived;
        }
        let settles = releases(&self.queue, &started);
        self.shared
            .write(settles.len(), move |tx| settle::settle(tx, &settles))
            .await?;
        lock(&self.hold).started.clear();
        Ok(())
    }
}

impl Drop for SqliteTaker {
    fn drop(&mut self) {
        let mut hold = lock(&self.hold);
        hold.abandoned = true;
        let started = std::mem::take(&mut hold.started);
        drop(hold);
        give_back_now(&self.shared, &self.queue, &Vec::from(started));
    }
}

fn give_back_now(shared: &Shared, queue: &QueueName, started: &[Taken]) {
    if started.is_empty() {
        return;
    }
    let settles = releases(queue, started);
    let weight = settles.len();
    let work = move |tx: &mut Transaction<'_>| settle::settle(tx, &settles).map(drop);
    let answer = |answer: Answer<()>| {
        if let Err(e) = answer.into_result() {
            tracing::warn!(error = %e, "jobs could not be given back; they run again when their owner's lease ends");
        }
    };
    shared.submit_now(Box::new(Request::new(weight, work, answer)));
}

/// Gives jobs back without using an attempt.
fn releases(queue: &QueueName, started: &[Taken]) -> Vec<JobSettle> {
    started
        .iter()
        .map(|taken| JobSettle {
            job: JobRef {
                queue: queue.clone(),
                id: taken.id,
            },
            epoch: taken.epoch,
            outcome: Outcome::Release {
                run_at: None,
                note: None,
            },
        })
        .collect()
}

fn lock(hold: &Mutex<Hold>) -> MutexGuard<'_, Hold> {
    hold.lock().unwrap_or_else(PoisonError::into_inner)
}
