//! The settler: records how runs ended, in batches.
//!
//! A batch is whatever ended while the last one was recorded. What cannot be recorded for now is tried again
//! for as long as the lease is held.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    AttemptError, DeadReason, Error, ErrorCause, ErrorKind, JobSettled, Outcome, Result,
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine::{Done, Engine, Tally};
use crate::supervisor::{Pulse, next_wait};

/// The most ends in one batch.
const BATCH: usize = 1_000;

/// How long one batch may take before it is taken for failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// The first and the longest wait before what failed is tried again.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The settler turns at least so often.
const TURN: Duration = Duration::from_secs(5);

/// What has ended and is not yet recorded. It outlives a restart of the loop.
#[derive(Debug)]
pub(crate) struct Inbox {
    receiver: UnboundedReceiver<Done>,
    /// The batch that is being recorded.
    batch: Vec<Done>,
    /// What could not be recorded and waits to be tried again; it holds up nobody else.
    later: Vec<Done>,
}

impl Inbox {
    pub(crate) fn new(receiver: UnboundedReceiver<Done>) -> Self {
        Self {
            receiver,
            batch: Vec::new(),
            later: Vec::new(),
        }
    }
}

/// Settles until it is aborted.
pub(crate) async fn settle(
    engine: Arc<Engine>,
    inbox: Arc<tokio::sync::Mutex<Inbox>>,
    pulse: Arc<Pulse>,
) -> Result<()> {
    let mut inbox = inbox.lock().await;
    let Inbox {
        receiver,
        batch,
        later,
    } = &mut *inbox;
    let mut wait = WAITS.0;
    let mut again = engine.env.monotonic();
    loop {
        pulse.turn(&engine.env);
        if batch.is_empty() {
            let now = engine.env.monotonic();
            let turn = if later.is_empty() { now + TURN } else { again };
            tokio::select! {
                biased;
                ended = receiver.recv_many(batch, BATCH) => if ended == 0 { return Ok(()) },
                () = engine.env.sleep_until(turn) => {}
            }
        }
        if !later.is_empty() && engine.env.monotonic() >= again {
            batch.append(later);
        }
        record(&engine, batch).await;
        if !batch.is_empty() {
            later.append(batch);
            again = engine.env.monotonic() + wait;
            wait = next_wait(wait, engine.env.random()).min(WAITS.1);
        } else if later.is_empty() {
            wait = WAITS.0;
        }
    }
}

/// Records a batch; what is to be tried again stays in it.
async fn record(engine: &Engine, pending: &mut Vec<Done>) {
    let now = engine.env.monotonic();
    let lease = engine.lease();
    let mut batch = Vec::with_capacity(pending.len());
    let mut left = Vec::new();
    pending.retain(|(run, outcome)| {
        // The heartbeat may be late in noticing (a suspended host); what the clock says counts.
        if run.tenure.fence(lease) <= now {
            run.tenure.end();
        }
        match outcome {
            Some(outcome) if !run.tenure.is_over() => {
                batch.push((run.claimed.clone(), outcome.clone()));
                true
            }
            _ => {
                left.push(Arc::clone(run));
                false
            }
        }
    });
    if !left.is_empty() {
        let ours = left.iter().filter(|run| !run.tenure.is_over()).count();
        // What a lost lease took is others' already, and no business of a shutdown that comes later.
        let lost = if engine.is_draining() {
            0
        } else {
            left.len() - ours
        };
        Tally::add(&engine.tally.lost, lost);
        Tally::add(&engine.tally.left, left.len() - lost);
        engine.running.leave(&left);
    }
    if batch.is_empty() {
        return;
    }
    let asked = engine.env.within(DEADLINE, engine.ledger.settle(batch));
    let answers = asked.await.unwrap_or_default();
    take_answers(engine, pending, answers);
}

/// Lets go of what is recorded, or never will be.
fn take_answers(engine: &Engine, pending: &mut Vec<Done>, answers: Vec<Result<JobSettled>>) {
    let mut answers = answers.into_iter();
    let (mut over, mut settled, mut stale) = (Vec::with_capacity(pending.len()), 0, 0);
    let (mut waiting, mut trouble) = (0_usize, None);
    pending.retain_mut(|(run, outcome)| {
        let job = &run.claimed.job;
        // A batch that was not answered in time may have been recorded; asking again tells.
        let answer = answers.next().unwrap_or_else(|| Err(unanswered()));
        match answer {
            Ok(JobSettled::Settled(_) | JobSettled::AlreadySettled(_)) => settled += 1,
            Ok(JobSettled::Stale { epoch }) => {
                let (id, ours) = (job.id, run.claimed.epoch);
                tracing::warn!(%id, ours, epoch, "settled too late: the job was taken away");
                stale += 1;
            }
            Ok(JobSettled::Missing) => {
                tracing::warn!(id = %job.id, "settled, but there is no such record any more");
                stale += 1;
            }
            // Whatever ails the store, the run is over and the lease is ours: it is tried again until either
            // changes. Only what is wrong with the result itself is recorded instead of it.
            Err(e) => {
                match unstorable(run.claimed.attempt, outcome.as_ref(), &e, engine) {
                    Some(instead) => *outcome = Some(instead),
                    None => {
                        waiting += 1;
                        trouble = Some(e);
                    }
                }
                return true;
            }
        }
        over.push(Arc::clone(run));
        false
    });
    if let Some(e) = trouble {
        tracing::warn!(jobs = waiting, error = %e, "jobs have ended and are not settled yet");
    }
    Tally::add(&engine.tally.settled, settled);
    Tally::add(&engine.tally.stale, stale);
    engine.running.leave(&over);
}

/// What to record instead of a result that the store refuses for good.
fn unstorable(
    attempt: u32,
    outcome: Option<&Outcome>,
    refusal: &Error,
    engine: &Engine,
) -> Option<Outcome> {
    let Some(Outcome::Succeeded { .. }) = outcome else {
        return None;
    };
    if !matches!(
        refusal.kind(),
        ErrorKind::TooLarge | ErrorKind::InvalidArgument
    ) {
        return None;
    }
    let text = format!("the run succeeded, but the store refuses its result: {refusal}");
    Some(Outcome::Dead {
        reason: DeadReason::Fatal,
        error: AttemptError::new(attempt, engine.env.now(), ErrorCause::Failed, text),
    })
}

fn unanswered() -> Error {
    let text = format!("no answer within {DEADLINE:?}");
    Error::new(ErrorKind::Timeout, text).during("settle")
}
