//! [`Debt`]: what answers a connection owes, so that its silence is noticed.
//!
//! The server answers in order: while any answer comes, the connection lives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bananas_core::{Env, Tick};
use tokio::sync::Notify;

/// How long the connection may owe an answer before it is taken for silent.
pub(crate) const SUSPICION: Duration = Duration::from_millis(500);

/// The answers that the connection owes.
#[derive(Debug, Default)]
pub(crate) struct Debt {
    owed: Mutex<Owed>,
    /// Rung when none was owed and now one is.
    incurred: Notify,
}

#[derive(Debug, Default)]
struct Owed {
    count: usize,
    /// When the last answer came, or the first of these was asked for.
    since: Tick,
}

/// An answer that is owed; dropping it says that it is not waited for any more.
pub(crate) struct Item<'a> {
    debt: &'a Debt,
    env: &'a dyn Env,
}

impl Debt {
    fn lock(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more answer is owed.
    pub(crate) fn begin<'a>(&'a self, env: &'a dyn Env) -> Item<'a> {
        let mut owed = self.lock();
        if owed.count == 0 {
            owed.since = env.monotonic();
            self.incurred.notify_one();
        }
        owed.count += 1;
        Item { debt: self, env }
    }

    /// Since when no answer has come though one is owed.
    pub(crate) fn since(&self) -> Option<Tick> {
        let owed = self.lock();
        (owed.count > 0).then_some(owed.since)
    }

    /// Waits until the connection is silent, and answers since when.
    pub(crate) async fn silent(&self, env: &Arc<dyn Env>) -> Tick {
        loop {
            let Some(since) = self.since() else {
                self.incurred.notified().await;
                continue;
            };
            if env.monotonic().since(since) >= SUSPICION {
                return since;
            }
            env.sleep_until(since + SUSPICION).await;
        }
    }
}

impl Item<'_> {
    /// The answer came.
    pub(crate) fn paid(self) {
        self.debt.lock().since = self.env.monotonic();
    }
}

impl Drop for Item<'_> {
    fn drop(&mut self) {
        let mut owed = self.debt.lock();
        owed.count = owed.count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use bananas_core::TokioEnv;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_silent_when_it_owes_and_pays_nothing() {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let debt = Debt::default();
        let first = debt.begin(env.as_ref());
        let second = debt.begin(env.as_ref());
        second.paid();
        let paid = debt.since().unwrap();
        assert_eq!(debt.silent(&env).await, paid);
        assert!(env.monotonic().since(paid) >= SUSPICION);
        drop(first);
        assert_eq!(debt.since(), None);
    }
}
