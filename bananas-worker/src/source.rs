//! The source loop: one per queue, it claims as many jobs as there are free slots.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Claimed, Error, ErrorKind, Result, Source, SourceSpec};

use crate::engine::Engine;
use crate::executor;
use crate::runs::{Lane, Permit, Run, Stop, Tenure};
use crate::supervisor::Pulse;
use crate::verdict;

/// How long the ledger may wait for a job.
const WAIT: Duration = Duration::from_secs(5);

/// The same, while other lanes may be waiting for the suspects' permit that this one holds.
const WAIT_WITH_PERMIT: Duration = Duration::from_millis(500);

/// How long a call that is to return at once may take beyond what it was told to wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an idle lane keeps out of the way of a lane that has jobs but no slot.
const REST: Duration = Duration::from_millis(100);

/// How many ended jobs may wait to be settled before no more are claimed, if that is more than the jobs that
/// may run.
const UNSETTLED: usize = 1_000;

/// How many jobs one call asks for.
const BATCH: usize = 1_000;

/// Claims jobs of one queue until the shutdown; gives back what it holds and has not started.
pub(crate) async fn serve(engine: Arc<Engine>, lane: Arc<Lane>, pulse: Arc<Pulse>) -> Result<()> {
    while !engine.is_draining() {
        let tenure = engine.tenancy.current();
        if tenure.is_over() {
            tokio::select! {
                () = engine.draining() => {}
                _ = engine.tenancy.after(&tenure) => {}
                () = engine.env.sleep(WAIT) => pulse.turn(&engine.env),
            }
            continue;
        }
        let mut spec = SourceSpec::new(lane.queue.clone(), tenure.owner.clone());
        spec.lease = engine.lease();
        spec.credit = u32::try_from(engine.config.concurrency).unwrap_or(u32::MAX);
        let opened = engine.env.within(PATIENCE, engine.ledger.open(spec)).await;
        let mut source = opened.unwrap_or_else(|_| Err(no_answer("open")))?;
        let mut lines = Claiming {
            engine: &engine,
            lane: &lane,
            tenure: &tenure,
            idle: false,
            had_permit: false,
        };
        let claimed = lines.until_the_end(source.as_mut(), &pulse).await;
        // Whatever the reason for the end: what was claimed and not handed out goes back.
        let stopped = engine.env.within(PATIENCE, source.stop()).await;
        match claimed {
            Err(e) if !tenure.is_over() => return Err(e),
            _ if tenure.is_over() => {}
            _ => stopped.unwrap_or_else(|_| Err(no_answer("stop")))?,
        }
    }
    Ok(())
}

/// The state of one lane's claiming under one tenure.
struct Claiming<'a> {
    engine: &'a Arc<Engine>,
    lane: &'a Arc<Lane>,
    tenure: &'a Arc<Tenure>,
    /// Whether the last call brought nothing.
    idle: bool,
    /// Whether the last call had the suspects' permit and did not need it.
    had_permit: bool,
}

/// How one call for jobs ended.
enum Called {
    Claimed(Vec<Claimed>),
    /// Something about the call should change: the permit is free.
    AskAgain,
    /// Another lane has jobs and no slots.
    MakeRoom,
    End,
}

impl Claiming<'_> {
    async fn until_the_end(&mut self, source: &mut dyn Source, pulse: &Pulse) -> Result<()> {
        let engine = self.engine;
        while !engine.is_draining() && !self.tenure.is_over() {
            pulse.turn(&engine.env);
            let several = engine.lanes.len() > 1;
            // A lane that waits for jobs keeps one slot to do so, and leaves the others to lanes that have some.
            let wanted = if several && self.idle { 1 } else { BATCH };
            let Some(slots) = self.reserve(wanted).await else {
                continue;
            };
            let permit = engine.suspects.permit(self.had_permit);
            let called = self.call(source, slots, permit.is_some()).await;
            let claimed = match called {
                Ok(Called::Claimed(claimed)) => claimed,
                Ok(Called::AskAgain | Called::End) => Vec::new(),
                Ok(Called::MakeRoom) => {
                    self.lane.give_back(slots);
                    drop(permit);
                    // It has found no job yet, so next time one slot is enough to wait with.
                    self.idle = true;
                    self.rest().await;
                    continue;
                }
                Err(e) => {
                    self.lane.give_back(slots);
                    return Err(e);
                }
            };
            self.lane.give_back(slots.saturating_sub(claimed.len()));
            self.idle = claimed.is_empty();
            self.start(claimed, permit);
        }
        Ok(())
    }

    /// Slots for at least one job, unless something else ended the waiting.
    async fn reserve(&self, wanted: usize) -> Option<usize> {
        let engine = self.engine;
        let bound = engine.config.concurrency.max(UNSETTLED);
        let slots = async {
            engine.running.at_most(bound - 1).await;
            self.lane.reserve(wanted).await
        };
        tokio::select! {
            biased;
            slots = slots => Some(slots),
            () = engine.draining() => None,
            _ = engine.tenancy.after(self.tenure) => None,
            () = engine.env.sleep(WAIT) => None,
        }
    }

    async fn call(&self, source: &mut dyn Source, slots: usize, permit: bool) -> Result<Called> {
        let engine = self.engine;
        let several = engine.lanes.len() > 1;
        let wait = if several && permit {
            WAIT_WITH_PERMIT
        } else {
            WAIT
        };
        // Who had the permit just now and lets others go first must not be called back at once.
        let thirsty = !permit && !self.had_permit;
        let next = source.next(slots, usize::from(permit), wait);
        tokio::select! {
            biased;
            claimed = engine.env.within(wait + PATIENCE, next) => {
                claimed.unwrap_or_else(|_| Err(no_answer("next"))).map(Called::Claimed)
            }
            () = engine.draining() => Ok(Called::End),
            _ = engine.tenancy.after(self.tenure) => Ok(Called::End),
            () = engine.suspects.freed(), if thirsty => Ok(Called::AskAgain),
            () = self.lane.wanted(), if several => Ok(Called::MakeRoom),
        }
    }

    async fn rest(&self) {
        let engine = self.engine;
        tokio::select! {
            () = engine.env.sleep(engine.jittered(REST)) => {}
            () = engine.draining() => {}
        }
    }

    /// Hands claimed jobs to the executor; after the shutdown has begun, back to the ledger.
    fn start(&mut self, claimed: Vec<Claimed>, mut permit: Option<Permit>) {
        let engine = self.engine;
        let held = permit.is_some();
        let run = |claimed: Claimed| {
            let permit = if claimed.is_suspect() {
                permit.take()
            } else {
                None
            };
            let (tenure, lane) = (Arc::clone(self.tenure), Arc::clone(self.lane));
            Arc::new(Run::new(claimed, tenure, lane, permit))
        };
        let runs: Vec<Arc<Run>> = claimed.into_iter().map(run).collect();
        self.had_permit = held && permit.is_some();
        if runs.is_empty() {
            return;
        }
        engine.running.enter(&runs);
        if self.tenure.is_over() {
            // The lease was lost while the ledger answered, and those who fenced its runs did not see these.
            runs.iter().for_each(|run| run.stop(Stop::Fenced));
        }
        if !engine.is_draining() {
            executor::dispatch(engine, runs);
            return;
        }
        for run in runs.into_iter().filter(|run| run.begin()) {
            engine.finish(run, Some(verdict::released()));
        }
    }
}

fn no_answer(operation: &'static str) -> Error {
    let text = format!("no answer within {PATIENCE:?}");
    Error::new(ErrorKind::Timeout, text).during(operation)
}
