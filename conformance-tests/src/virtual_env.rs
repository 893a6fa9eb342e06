//! An environment on Tokio's paused clock: when every task waits, the clock jumps to the next timer.
//!
//! A check that waits a minute in it takes no time, and takes the same way each time it is run. Everything
//! runs on the one thread of the runtime, isolated tasks too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bananas_core::{BoxFuture, Env, Spawned, Tick, Timestamp};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Some day in 2026.
const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

/// How far each look at the clock moves it, so that a loop that looks at it and never waits ends all the same.
const LOOK: Duration = Duration::from_micros(10);

/// After so many looks the clock moves a hundred times as far with each, as a check makes so many only in a loop
/// that does not end.
const LOOKS: u32 = 150_000;

/// An environment on the paused clock of the runtime that made it.
#[derive(Debug)]
pub(crate) struct VirtualEnv {
    start: Instant,
    looks: AtomicU64,
    random: AtomicU64,
}

impl VirtualEnv {
    /// Starts on the runtime that calls this, whose clock must be paused.
    pub(crate) fn current(seed: u64) -> Self {
        Self {
            start: Instant::now(),
            looks: AtomicU64::new(0),
            random: AtomicU64::new(seed),
        }
    }

    fn looked_ahead(&self) -> Duration {
        let looks = u32::try_from(self.looks.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let beyond = looks.saturating_sub(LOOKS);
        LOOK * looks.min(LOOKS) + LOOK * 100 * beyond
    }

    fn elapsed(&self) -> Duration {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.start.elapsed() + self.looked_ahead()
    }
}

impl Env for VirtualEnv {
    fn now(&self) -> Timestamp {
        START + self.elapsed()
    }

    fn monotonic(&self) -> Tick {
        Tick::default() + self.elapsed()
    }

    fn sleep_until(&self, tick: Tick) -> BoxFuture<'static, ()> {
        let after = tick
            .since(Tick::default())
            .saturating_sub(self.looked_ahead());
        Box::pin(tokio::time::sleep_until(self.start + after))
    }

    fn random(&self) -> u64 {
        // SplitMix64, https://prng.di.unimi.it/splitmix64.c: a counter, mixed.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let counter = self.random.fetch_add(STEP, Ordering::Relaxed);
        let mut z = counter.wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) -> Spawned {
        Spawned::new(Handle::current().spawn(future))
    }

    fn spawn_isolated(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Spawned {
        self.spawn(name, future)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn an_hour_passes_at_once_and_a_loop_that_never_waits_ends() {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let env: Arc<dyn Env> = Arc::new(VirtualEnv::current(1));
            let start = env.monotonic();
            env.sleep(Duration::from_secs(3_600)).await;
            let later = env.monotonic();
            assert!(later.since(start) >= Duration::from_secs(3_600));
            while env.monotonic().since(later) < Duration::from_secs(300) {}
        });
    }
}
