//! The executor: takes claimed runs to their handlers, and their ends to the settler.

use std::sync::Arc;

use bananas_core::Outcome;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

use crate::driver::{Call, Ended, drive};
use crate::engine::Engine;
use crate::handler::{Failure, Place};
use crate::registry::Entry;
use crate::runs::{Run, Stop};
use crate::verdict::{self, Judge};

/// Starts runs, each as a task of its own, so that a handler that blocks holds up nobody but its thread.
pub(crate) fn dispatch(engine: &Arc<Engine>, runs: Vec<Arc<Run>>) {
    let mut user = Vec::with_capacity(runs.len());
    for run in runs {
        match engine.registry.get(&run.claimed.job.task) {
            None => {
                if run.begin() {
                    let outcome = verdict::unknown(&run.claimed.job, engine.env.now());
                    engine.finish(run, Some(outcome));
                }
            }
            Some(entry) if entry.handler.place() == Place::Isolated => {
                let job = execute(Arc::clone(engine), run);
                engine.env.spawn_isolated("job", Box::pin(job));
            }
            Some(_) => user.push(run),
        }
    }
    if user.is_empty() {
        return;
    }
    // Tasks spawned from within the user's runtime go to the queue of the thread that spawns them, without
    // a lock and without waking a thread for each; the others steal from there.
    let engine = Arc::clone(engine);
    let env = Arc::clone(&engine.env);
    let spawn = async move {
        for run in user {
            let job = execute(Arc::clone(&engine), run);
            engine.env.spawn("job", Box::pin(job));
        }
    };
    env.spawn("jobs", Box::pin(spawn));
}

/// Runs one job to its end.
async fn execute(engine: Arc<Engine>, run: Arc<Run>) {
    let job = &run.claimed.job;
    let Some(entry) = engine.registry.get(&job.task) else {
        return;
    };
    let permit = match entry.handler.gate() {
        Some(gate) => pass(gate, &run).await,
        None => None,
    };
    // Only now: a run that waits at the gate has not begun, and a shutdown gives it back.
    if !run.begin() {
        return;
    }
    let span = tracing::info_span!(
        "job",
        id = %job.id,
        task = %job.task,
        attempt = run.claimed.attempt
    );
    let outcome = outcome(&engine, &run, entry, permit).instrument(span).await;
    engine.finish(run, outcome);
}

/// Waits at the gate, unless the run is to stop.
async fn pass(gate: &Arc<Semaphore>, run: &Run) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = run.stopped() => None,
        permit = Arc::clone(gate).acquire_owned() => permit.ok(),
    }
}

async fn outcome(
    engine: &Engine,
    run: &Arc<Run>,
    entry: &Entry,
    permit: Option<OwnedSemaphorePermit>,
) -> Option<Outcome> {
    let Entry {
        handler, policy, ..
    } = entry;
    let ended = if run.why() == Stop::No {
        let timeout = policy.timeout(&run.claimed.job);
        let call = Call {
            handler,
            permit,
            timeout,
        };
        drive(&engine.env, run, call).await
    } else {
        Ended::Stopped
    };
    // The text of such a failure may quote the arguments, and those are nothing for logs.
    let quotes = matches!(ended, Ended::Ran(Err(Failure::Arguments(_))));
    let judge = Judge {
        policy,
        max_result_bytes: engine.config.max_result_bytes,
        env: &engine.env,
    };
    let outcome = judge.outcome(run, ended);
    if quotes {
        tracing::error!("dead: the arguments do not fit the task");
    } else {
        report(outcome.as_ref());
    }
    outcome
}

/// Tells the log how a run ended; the span says which.
fn report(outcome: Option<&Outcome>) {
    match outcome {
        Some(Outcome::Succeeded { .. }) => tracing::debug!("succeeded"),
        Some(Outcome::Retry { run_at, error }) => {
            let run_at = run_at.as_micros();
            tracing::warn!(
                error = error.message,
                run_at_us = run_at,
                "failed, to be retried"
            );
        }
        Some(Outcome::Dead { reason, error }) => {
            tracing::error!(error = error.message, %reason, "dead");
        }
        Some(Outcome::Release { note, .. }) => tracing::info!(note, "released"),
        Some(Outcome::Cancelled) => tracing::info!("cancelled"),
        Some(_) => {}
        None => tracing::warn!("left to its lease"),
    }
}
