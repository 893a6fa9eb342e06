//! The phases of a shutdown: Running → Draining → Grace → Releasing → Closed.
//!
//! This file alone gives running jobs back because of a shutdown.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bananas_core::{BoxFuture, Chore, Env, Error, ErrorKind, Result, Spawned};

use crate::engine::{Engine, Phase};
use crate::runs::Stop;
use crate::verdict;

/// How long a job that was told to stop may take to do so.
const MOMENT: Duration = Duration::from_secs(2);

/// How long the last ends may take to be recorded.
const FLUSH: Duration = Duration::from_secs(5);

/// The same when there is no more time.
const QUICK_FLUSH: Duration = Duration::from_secs(1);

/// Ends the worker's work. `sources` end by themselves once no more is to be claimed.
pub(crate) async fn drain(
    engine: &Arc<Engine>,
    sources: &mut [Spawned],
    forced: BoxFuture<'static, ()>,
) -> Result<()> {
    let mut hurry = Hurry {
        env: Arc::clone(&engine.env),
        forced: Some(forced),
    };
    tracing::info!(
        running = engine.running.len(),
        "draining: no more jobs are claimed"
    );
    engine.phase.send_replace(Phase::Draining);
    give_back_unbegun(engine);
    let grace = engine.config.shutdown_grace;
    let all_done = async {
        join(sources).await;
        // What a source had in its hands when the phase changed.
        give_back_unbegun(engine);
        engine.running.at_most(0).await;
    };
    if !hurry.wait(grace, all_done).await {
        release(engine, &mut hurry).await;
    }
    close(engine, &mut hurry).await
}

/// Gives back what was claimed and not begun.
fn give_back_unbegun(engine: &Arc<Engine>) {
    for run in engine.running.unbegun() {
        engine.finish(run, Some(verdict::released()));
    }
}

/// Stops what still runs and gives it back.
async fn release(engine: &Arc<Engine>, hurry: &mut Hurry) {
    tracing::warn!(
        running = engine.running.len(),
        "releasing: running jobs are given back"
    );
    engine.running.stop_all(Stop::Shutdown);
    if !hurry.has_come() {
        hurry.wait(MOMENT, engine.running.at_most(0)).await;
    }
    engine.running.abort_all(Stop::Shutdown);
    give_back_unbegun(engine);
}

/// Waits for the last ends to be recorded, and retires the owner if nothing is left.
async fn close(engine: &Arc<Engine>, hurry: &mut Hurry) -> Result<()> {
    let flush = if hurry.has_come() { QUICK_FLUSH } else { FLUSH };
    // A wait that may not be cut short further: this is the end of it.
    let flushed = engine.env.within(flush, engine.running.at_most(0)).await;
    let left = engine.tally.left.load(Ordering::SeqCst);
    let left = left
        + if flushed.is_ok() {
            0
        } else {
            engine.running.len() as u64
        };
    let tally = &engine.tally;
    let settled = tally.settled.load(Ordering::SeqCst);
    let (stale, lost) = (
        tally.stale.load(Ordering::SeqCst),
        tally.lost.load(Ordering::SeqCst),
    );
    tracing::info!(settled, stale, lost, left, "closed");
    if left > 0 {
        // Not retired: while its lease lasts, nobody runs these jobs a second time beside us.
        let lease = engine.lease();
        let text = format!(
            "{left} jobs could not be settled or given back; they run again when the lease of {lease:?} ends"
        );
        return Err(Error::new(ErrorKind::Timeout, text).during("shut down"));
    }
    let owner = engine.tenancy.current().owner.id;
    let retired = engine.ledger.tend(Chore::Retire(vec![owner]));
    match engine.env.within(flush, retired).await {
        Ok(Ok(_)) => {}
        // Its lease lapses by itself, and nothing runs under it.
        Ok(Err(e)) => tracing::warn!(error = %e, "the owner could not be retired"),
        Err(_) => tracing::warn!("the owner could not be retired in time"),
    }
    Ok(())
}

async fn join(spawned: &mut [Spawned]) {
    for task in spawned {
        task.ended().await;
    }
}

/// Waiting that ends early when the shutdown becomes urgent.
struct Hurry {
    env: Arc<dyn Env>,
    /// `None` once it has come.
    forced: Option<BoxFuture<'static, ()>>,
}

impl Hurry {
    fn has_come(&self) -> bool {
        self.forced.is_none()
    }

    /// Whether the future ended before the time, and before the hurry.
    async fn wait(&mut self, time: Duration, future: impl Future<Output = ()>) -> bool {
        let Some(forced) = &mut self.forced else {
            return false;
        };
        tokio::select! {
            biased;
            done = self.env.within(time, future) => done.is_ok(),
            () = forced => {
                self.forced = None;
                false
            }
        }
    }
}
