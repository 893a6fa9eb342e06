//! Takes jobs of one queue for one owner: asks, waits for the bell or the clock, asks again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{OwnerId, QueueName, Result, Taken, Taker, Tick};
use futures::channel::oneshot;

use super::take::{Found, Request};
use crate::engine::Shared;
use crate::error::Error;

/// The longest wait without a look, should a marker be lost with whoever took it.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// The longest such wait while a job has a time: the wall clock may be set.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(1);

/// Takes jobs of one queue for one owner.
#[derive(Debug)]
pub(super) struct RedisTaker {
    request: Request,
    /// The answer to a request that a dropped call has left behind.
    pending: Option<oneshot::Receiver<std::result::Result<Found, Error>>>,
    stopped: bool,
}

impl RedisTaker {
    pub(super) fn new(shared: Arc<Shared>, queue: QueueName, owner: OwnerId) -> Self {
        Self {
            request: Request {
                shared,
                queue,
                owner,
                hold: Arc::default(),
            },
            pending: None,
            stopped: false,
        }
    }

    fn now(&self) -> Tick {
        self.request.shared.env.monotonic()
    }

    /// Takes from the hold.
    fn held(&self, max: usize, mut suspects: usize) -> Vec<Taken> {
        let mut hold = self.request.hold();
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

    /// The answer to the request under way, or to a new one. What it starts is in the hold.
    async fn look(&mut self, max: usize, suspects: usize) -> std::result::Result<Found, Error> {
        if self.pending.is_none() {
            let (sender, receiver) = oneshot::channel();
            let request = self.request.clone();
            let take = async move { drop(sender.send(request.take(max, suspects).await)) };
            let env = &self.request.shared.env;
            env.spawn_isolated("redis-take-jobs", Box::pin(take));
            self.pending = Some(receiver);
        }
        self.arrive().await.unwrap_or(Ok(Found {
            more: true,
            next: None,
        }))
    }

    /// Waits for the answer to the request under way, if there is one.
    async fn arrive(&mut self) -> Option<std::result::Result<Found, Error>> {
        let answer = self.pending.as_mut()?.await;
        self.pending = None;
        Some(answer.unwrap_or(Err(Error::Closed { sent: true })))
    }

    /// Waits until there may be something to take, but not beyond `deadline`.
    async fn wait(&self, deadline: Tick, found: Found) {
        let shared = &self.request.shared;
        let pause = match (found.more, found.next) {
            (true, _) => Duration::ZERO,
            (false, Some(at)) => at.since(shared.env.now()).min(LOOK_AT_CLOCK),
            (false, None) => LOOK_ANYWAY,
        };
        let again = deadline.min(self.now() + pause);
        let rung = shared.bell.rung(&self.request.queue);
        // Rung or not, the next look tells.
        shared.env.until(again, rung).await.unwrap_or_default();
    }
}

#[async_trait]
impl Taker for RedisTaker {
    async fn take(&mut self, max: usize, suspects: usize, wait: Duration) -> Result<Vec<Taken>> {
        let deadline = self.now() + wait;
        if self.stopped || max == 0 {
            self.request.shared.wire().check_open()?;
            return Ok(Vec::new());
        }
        loop {
            let asked = self.now();
            self.request.shared.wire().check_open()?;
            let taken = self.held(max, suspects);
            if !taken.is_empty() {
                return Ok(taken);
            }
            let found = match self.look(max, suspects).await {
                Ok(found) => found,
                // The next look goes over the next connection.
                Err(e) if e.is_of_connection() && self.now() < deadline => continue,
                Err(e) => {
                    let seen = bananas_core::Error::from(e);
                    return Err(seen.during("take").on(&self.request.queue));
                }
            };
            let taken = self.held(max, suspects);
            if !taken.is_empty() || asked >= deadline {
                return Ok(taken);
            }
            self.wait(deadline, found).await;
        }
    }

    async fn stop(&mut self) -> Result<()> {
        self.stopped = true;
        // An error says that nothing was started, or leaves it in doubt.
        let arrived = self.arrive().await;
        self.request.clear_doubts().await?;
        let started: Vec<Taken> = self.request.hold().started.iter().cloned().collect();
        if started.is_empty() {
            return arrived.transpose().map(drop).map_err(Into::into);
        }
        self.request.give_back(&started).await?;
        self.request.hold().started.clear();
        Ok(())
    }
}

impl Drop for RedisTaker {
    fn drop(&mut self) {
        let mut hold = self.request.hold();
        hold.abandoned = true;
        let started = std::mem::take(&mut hold.started);
        drop(hold);
        self.request.give_back_later(started.into());
        // Others may not know of a time that this one waited for.
        self.request.shared.bell.pass_on(&self.request.queue);
    }
}
