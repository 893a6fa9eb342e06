//! Deliveries that the broker could not settle when it was asked to, and is asked again to.
//!
//! Their jobs are safe in the store, so nothing is lost if that comes to nothing. But until its lease ends such a
//! delivery takes up credit of its consumer, who may have none left and take no job at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Shared;
use crate::{Error, ErrorKind, Settle, Tick};

/// The first and the longest wait before asking again.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long the broker is asked again. By then most leases have ended, and the deliveries come again.
const ASK_FOR: Duration = Duration::from_secs(60);

/// How many deliveries are kept for that.
const KEPT: usize = 10_000;

/// Deliveries that could not be settled.
#[derive(Debug, Default)]
pub(super) struct Unsettled(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Vec<(Tick, Settle)>,
    /// Whether somebody asks again until none is left.
    under_way: bool,
}

/// Somebody who asks again. However he ends, the next one can take his place.
struct Asker<'a> {
    unsettled: &'a Unsettled,
    is_done: bool,
}

impl Unsettled {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what may be settled later. True when nobody asks again now: then the caller starts somebody.
    fn keep(&self, settles: Vec<(Tick, Settle)>) -> bool {
        let mut state = self.lock();
        let room = KEPT.saturating_sub(state.waiting.len());
        state.waiting.extend(settles.into_iter().take(room));
        !state.waiting.is_empty() && !std::mem::replace(&mut state.under_way, true)
    }

    #[cfg(test)]
    pub(super) fn is_under_way(&self) -> bool {
        self.lock().under_way
    }

    fn take(&self) -> Vec<(Tick, Settle)> {
        std::mem::take(&mut self.lock().waiting)
    }
}

impl Asker<'_> {
    /// Whether a delivery waits. If not, the asker's time is over, and whoever keeps one starts the next.
    fn goes_on(&mut self) -> bool {
        let mut state = self.unsettled.lock();
        state.under_way = !state.waiting.is_empty();
        self.is_done = !state.under_way;
        state.under_way
    }
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.unsettled.lock().under_way = false;
        }
    }
}

impl Shared {
    /// Settles deliveries whose jobs are safe in the store: a failure costs one redelivery at most, no more.
    pub(super) async fn settle_deliveries(self: &Arc<Self>, batch: Vec<Settle>) {
        let batch = self.keep_until_later(batch).await;
        if batch.is_empty() {
            return;
        }
        let until = self.env.monotonic() + ASK_FOR;
        let batch = batch.into_iter().map(|settle| (until, settle)).collect();
        let (failed, trouble) = self.ask_to_settle(batch).await;
        if let Some(e) = trouble {
            tracing::warn!(
                failures = failed.len(),
                error = %e,
                "deliveries not settled yet; if they cannot be, they come again"
            );
        }
        if self.unsettled.keep(failed) {
            let shared = Arc::clone(self);
            let ask = Box::pin(async move { shared.ask_again().await });
            self.env.spawn_isolated("settle again", ask);
        }
    }

    async fn ask_again(self: Arc<Self>) {
        let mut asker = Asker {
            unsettled: &self.unsettled,
            is_done: false,
        };
        let mut wait = WAITS.0;
        while asker.goes_on() {
            self.env.sleep(wait).await;
            let (failed, _) = self.ask_to_settle(self.unsettled.take()).await;
            wait = if failed.is_empty() {
                WAITS.0
            } else {
                (wait * 2).min(WAITS.1)
            };
            // This asker goes on, so none is to be started.
            self.unsettled.keep(failed);
        }
    }

    /// Asks once. What is worth asking for again, and the first trouble.
    async fn ask_to_settle(
        &self,
        batch: Vec<(Tick, Settle)>,
    ) -> (Vec<(Tick, Settle)>, Option<Error>) {
        let settles = batch.iter().map(|(_, settle)| settle.clone()).collect();
        let answers = self.broker.settle(settles).await;
        let now = self.env.monotonic();
        let (mut failed, mut trouble) = (Vec::new(), None);
        for (settle, answer) in batch.into_iter().zip(answers) {
            let Err(e) = answer else {
                continue;
            };
            if e.is_retryable() && e.kind() != ErrorKind::Closed && settle.0 > now {
                failed.push(settle);
            }
            trouble.get_or_insert(e);
        }
        (failed, trouble)
    }
}
