//! Loops that do not end: each is started again after an error or a panic, and says when it last turned.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bananas_core::{Env, Result, Spawned, Tick};
use futures::FutureExt;

use crate::panic_text::panic_text;

/// The first wait before a loop is started again.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// A loop that ran so long before it failed is taken for healthy: the waits begin anew.
const HEALTHY: Duration = Duration::from_secs(30);

/// The background loops of a worker and when each last turned. A loop that has not turned for a minute is
/// stuck: the longest any of them waits is 5 s, a call to broker or store included 30 s.
#[derive(Clone, Default)]
pub struct Liveness(Arc<Mutex<Vec<Arc<Pulse>>>>);

/// When a loop last turned.
#[derive(Debug)]
pub(crate) struct Pulse {
    name: String,
    tick: AtomicU64,
}

/// How one loop is kept alive.
pub(crate) struct Supervisor {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) liveness: Liveness,
}

impl Liveness {
    /// Each loop's name and when it last turned, on the clock of the worker's `Env`.
    #[must_use]
    pub fn last_turns(&self) -> Vec<(String, Tick)> {
        let pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = |p: &Arc<Pulse>| {
            let tick = Tick::from_micros(p.tick.load(Ordering::Relaxed));
            (p.name.clone(), tick)
        };
        pulses.iter().map(turn).collect()
    }
}

impl fmt::Debug for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.last_turns()).finish()
    }
}

impl Pulse {
    /// The loop has turned.
    pub(crate) fn turn(&self, env: &Arc<dyn Env>) {
        let now = env.monotonic().as_micros();
        self.tick.store(now, Ordering::Relaxed);
    }
}

impl Supervisor {
    /// Runs a loop on the isolated thread until it ends by itself. After an error or a panic it is made and
    /// run again, after a jittered wait of at most `longest`.
    pub(crate) fn keep<F, Fut>(&self, name: String, longest: Duration, make: F) -> Spawned
    where
        F: Fn(Arc<Pulse>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let env = Arc::clone(&self.env);
        let pulse = Arc::new(Pulse {
            name,
            tick: AtomicU64::new(env.monotonic().as_micros()),
        });
        let mut pulses = self
            .liveness
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        pulses.push(Arc::clone(&pulse));
        drop(pulses);
        let supervised = async move {
            let mut wait = FIRST_WAIT;
            loop {
                let started = env.monotonic();
                let ended = AssertUnwindSafe(make(Arc::clone(&pulse)))
                    .catch_unwind()
                    .await;
                match ended {
                    Ok(Ok(())) => return,
                    Ok(Err(e)) => tracing::warn!(name = pulse.name, error = %e, "loop failed"),
                    Err(panic) => {
                        let panic = panic_text(panic.as_ref());
                        tracing::error!(name = pulse.name, panic, "loop panicked");
                    }
                }
                if env.monotonic().since(started) >= HEALTHY {
                    wait = FIRST_WAIT;
                }
                env.sleep(wait.min(longest)).await;
                pulse.turn(&env);
                wait = next_wait(wait, env.random()).min(longest);
            }
        };
        self.env.spawn_isolated("loop", Box::pin(supervised))
    }
}

/// "Decorrelated jitter": between the first wait and three times the last one.
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
pub(crate) fn next_wait(last: Duration, random: u64) -> Duration {
    let span = (last * 3).saturating_sub(FIRST_WAIT);
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
    FIRST_WAIT + Duration::from_micros(random % micros)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use bananas_core::{Error, ErrorKind, TokioEnv};

    use super::*;

    #[tokio::test]
    async fn a_loop_is_started_again_after_an_error_and_after_a_panic() {
        let supervisor = Supervisor {
            env: Arc::new(TokioEnv::current()),
            liveness: Liveness::default(),
        };
        let starts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&starts);
        let make = move |_| {
            let start = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match start {
                    0 => Err(Error::new(ErrorKind::Unavailable, "not yet")),
                    1 => panic!("a mistake"),
                    _ => Ok(()),
                }
            }
        };
        let longest = Duration::from_millis(10);
        let mut kept = supervisor.keep("test".to_owned(), longest, make);
        assert!(kept.ended().await);
        assert_eq!(starts.load(Ordering::SeqCst), 3);
        assert_eq!(supervisor.liveness.last_turns()[0].0, "test");
    }

    #[test]
    fn waits_stay_between_the_first_and_three_times_the_last() {
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            let wait = next_wait(Duration::from_secs(1), random);
            assert!(wait >= FIRST_WAIT && wait <= Duration::from_secs(3));
        }
    }
}
