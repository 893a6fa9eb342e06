//! The crew: all loops of one running worker, started together and ended together.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::Spawned;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine::{Done, Engine};
use crate::runs::{Lane, Stop};
use crate::settler::Inbox;
use crate::supervisor::{Liveness, Supervisor};
use crate::{canceller, heartbeat, scheduler, settler, source};

/// The longest wait before a failed loop is started again.
const LONGEST: Duration = Duration::from_secs(5);

/// The same for those that must not lose time: the lease runs.
const URGENT: Duration = Duration::from_millis(500);

/// The loops. Dropping it ends them, and takes their jobs from the handlers.
pub(crate) struct Crew {
    engine: Arc<Engine>,
    pub(crate) sources: Vec<Spawned>,
    others: Vec<Spawned>,
}

impl Crew {
    /// Starts all loops.
    pub(crate) fn assemble(
        engine: &Arc<Engine>,
        done: UnboundedReceiver<Done>,
        liveness: Liveness,
    ) -> Self {
        let supervisor = Supervisor {
            env: Arc::clone(&engine.env),
            liveness,
        };
        // Each loop is made anew after a failure, so each maker keeps the engine.
        let engine_for = || Arc::clone(engine);
        let inbox = Arc::new(tokio::sync::Mutex::new(Inbox::new(done)));
        let (a, b, c, d) = (engine_for(), engine_for(), engine_for(), engine_for());
        let others = vec![
            supervisor.keep("heartbeat".to_owned(), URGENT, move |pulse| {
                heartbeat::beat(Arc::clone(&a), pulse)
            }),
            supervisor.keep("settler".to_owned(), URGENT, move |pulse| {
                settler::settle(Arc::clone(&b), Arc::clone(&inbox), pulse)
            }),
            supervisor.keep("canceller".to_owned(), LONGEST, move |pulse| {
                canceller::watch(Arc::clone(&c), pulse)
            }),
            supervisor.keep("scheduler".to_owned(), LONGEST, move |pulse| {
                scheduler::tend(Arc::clone(&d), pulse)
            }),
        ];
        let source = |lane: &Arc<Lane>| {
            let (engine, lane) = (engine_for(), Arc::clone(lane));
            let name = format!("source {}", lane.queue);
            supervisor.keep(name, LONGEST, move |pulse| {
                source::serve(Arc::clone(&engine), Arc::clone(&lane), pulse)
            })
        };
        Self {
            sources: engine.lanes.iter().map(source).collect(),
            engine: Arc::clone(engine),
            others,
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for running in self.sources.iter().chain(&self.others) {
            running.abort();
        }
        self.engine.running.abort_all(Stop::Shutdown);
    }
}
