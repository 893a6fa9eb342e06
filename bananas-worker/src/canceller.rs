//! The canceller: asks which of our running jobs somebody wants stopped.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Error, ErrorKind, Result};

use crate::engine::Engine;
use crate::supervisor::Pulse;

/// How often it asks, while jobs run.
const PERIOD: Duration = Duration::from_secs(1);

/// How long the answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Fires the cancel tokens of jobs that somebody wants stopped, until it is aborted.
pub(crate) async fn watch(engine: Arc<Engine>, pulse: Arc<Pulse>) -> Result<()> {
    loop {
        pulse.turn(&engine.env);
        engine.env.sleep(PERIOD).await;
        let tenure = engine.tenancy.current();
        if engine.running.len() == 0 || tenure.is_over() {
            continue;
        }
        let asked = engine.ledger.owners(Some(&tenure.owner));
        let answer = engine.env.within(DEADLINE, asked).await;
        let (_, cancelled) = answer.unwrap_or_else(|_| {
            let text = format!("no answer within {DEADLINE:?}");
            Err(Error::new(ErrorKind::Timeout, text).during("look for cancelled jobs"))
        })?;
        engine.running.cancel(&cancelled);
    }
}
