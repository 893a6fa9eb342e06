//! Many enqueue calls, few batches.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;

use crate::{Accepted, Env, Error, ErrorKind, Job, Ledger, Result};

/// The most jobs in one batch.
const MAX_BATCH: usize = 1_000;

/// How many batches are on their way at once.
const MAX_IN_FLIGHT: usize = 2;

/// Gathers jobs while earlier batches are on their way, so that a batch is as large as the backend is slow: an
/// idle client waits for nothing.
#[derive(Debug)]
pub(super) struct Batcher {
    ledger: Arc<dyn Ledger>,
    env: Arc<dyn Env>,
    deadline: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Call>,
    in_flight: usize,
}

#[derive(Debug)]
struct Call {
    jobs: Vec<Job>,
    answer: oneshot::Sender<Vec<Result<Accepted>>>,
}

impl Batcher {
    pub(super) fn new(ledger: Arc<dyn Ledger>, env: Arc<dyn Env>, deadline: Duration) -> Self {
        Self {
            ledger,
            env,
            deadline,
            state: Mutex::default(),
        }
    }

    /// Enqueues jobs, perhaps together with those of other callers.
    pub(super) async fn enqueue(self: &Arc<Self>, jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        if jobs.is_empty() {
            return Vec::new();
        }
        let asked = jobs.len();
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting.push(Call { jobs, answer });
            if state.in_flight < MAX_IN_FLIGHT {
                state.in_flight += 1;
                let batcher = Arc::clone(self);
                // Apart from the caller's task: a caller that goes away must not take others' jobs along.
                self.env
                    .spawn_isolated("enqueue", Box::pin(async move { batcher.send().await }));
            }
        }
        match self.env.within(self.deadline, answered).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(_)) => fail(asked, "the enqueue was interrupted", Duration::ZERO),
            Err(_) => fail(asked, "no answer from the backend", self.deadline),
        }
    }

    /// Sends batches until nothing waits.
    async fn send(&self) {
        let _slot = Slot(self);
        loop {
            let calls = self.next_batch();
            if calls.is_empty() {
                return;
            }
            let mut jobs = Vec::new();
            let mut callers = Vec::with_capacity(calls.len());
            for call in calls {
                callers.push((call.jobs.len(), call.answer));
                jobs.extend(call.jobs);
            }
            let mut answers = self.ledger.enqueue(jobs).await.into_iter();
            for (len, caller) in callers {
                // A caller that went away does not want to know.
                drop(caller.send(answers.by_ref().take(len).collect()));
            }
        }
    }

    /// Takes calls up to the size of a batch; a larger call travels alone.
    fn next_batch(&self) -> Vec<Call> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut size = 0;
        let mut count = 0;
        for call in &state.waiting {
            size += call.jobs.len();
            if count > 0 && size > MAX_BATCH {
                break;
            }
            count += 1;
        }
        if count == 0 {
            // Given back under the lock: a call that comes now starts a sender of its own.
            state.in_flight = state.in_flight.saturating_sub(1);
        }
        state.waiting.drain(..count).collect()
    }
}

/// Gives the slot of a sender back if it panics; a normal end has given it back already.
struct Slot<'a>(&'a Batcher);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.in_flight = state.in_flight.saturating_sub(1);
        }
    }
}

fn fail(count: usize, what: &str, after: Duration) -> Vec<Result<Accepted>> {
    let message = if after.is_zero() {
        format!("{what}; it is safe to try again with the same id")
    } else {
        format!("{what} within {after:?}; it is safe to try again with the same id")
    };
    let error = Error::new(ErrorKind::Timeout, message).during("enqueue");
    (0..count).map(|_| Err(error.repeat())).collect()
}
