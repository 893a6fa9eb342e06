//! Waiting for conditions, with a deadline that is generous and ends the check.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Env, Tick};

/// How long a check waits for what must happen, on a machine that may be busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// A deadline that starts now.
pub(crate) struct Patience {
    env: Arc<dyn Env>,
    start: Tick,
}

impl Patience {
    pub(crate) fn new(env: &Arc<dyn Env>) -> Self {
        Self {
            env: Arc::clone(env),
            start: env.monotonic(),
        }
    }

    /// How long it has lasted so far.
    pub(crate) fn spent(&self) -> Duration {
        self.env.monotonic().since(self.start)
    }

    /// Fails the check when the deadline has passed.
    pub(crate) fn check(&self, awaited: &str) {
        let spent = self.spent();
        assert!(spent < DEADLINE, "after {spent:?} still waiting: {awaited}");
    }
}

/// Waits until the wall clock has moved on, so that what comes now bears a later time.
pub(crate) async fn a_later_time(env: &Arc<dyn Env>) {
    let before = env.now();
    eventually(env, "the clock moves on", async || env.now() > before).await;
}

/// Waits until the condition holds.
pub(crate) async fn eventually(
    env: &Arc<dyn Env>,
    awaited: &str,
    mut holds: impl AsyncFnMut() -> bool,
) {
    let patience = Patience::new(env);
    while !holds().await {
        patience.check(awaited);
        env.sleep(PAUSE).await;
    }
}
