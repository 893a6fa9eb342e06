//! An environment whose clock moves only when it is told to. For tests.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::{BoxFuture, Env, Spawned, Tick, Timestamp};

/// An environment whose clock moves only by [`advance`](Self::advance), and whose randomness comes from a
/// seed. Tasks run where another environment puts them.
pub struct ManualEnv {
    tasks: Arc<dyn Env>,
    state: Arc<Mutex<Clock>>,
    random: AtomicU64,
}

struct Clock {
    now: Timestamp,
    monotonic: Tick,
    sleepers: Vec<(Tick, Waker)>,
}

impl ManualEnv {
    /// Starts at the given time; tasks run where `tasks` puts them.
    #[must_use]
    pub fn new(tasks: Arc<dyn Env>, now: Timestamp, seed: u64) -> Self {
        let clock = Clock {
            now,
            monotonic: Tick::default(),
            sleepers: Vec::new(),
        };
        Self {
            tasks,
            state: Arc::new(Mutex::new(clock)),
            random: AtomicU64::new(seed),
        }
    }

    /// Moves both clocks on and wakes who has slept long enough.
    pub fn advance(&self, duration: Duration) {
        let mut clock = lock(&self.state);
        clock.now = clock.now + duration;
        clock.monotonic = clock.monotonic + duration;
        let now = clock.monotonic;
        let (due, waiting) = clock.sleepers.drain(..).partition(|(tick, _)| *tick <= now);
        clock.sleepers = waiting;
        let due: Vec<(Tick, Waker)> = due;
        drop(clock);
        for (_, waker) in due {
            waker.wake();
        }
    }

    /// Sets the wall clock alone, as a person or NTP does.
    pub fn set_wall_clock(&self, now: Timestamp) {
        lock(&self.state).now = now;
    }
}

fn lock(state: &Mutex<Clock>) -> MutexGuard<'_, Clock> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for ManualEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualEnv")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

impl Env for ManualEnv {
    fn now(&self) -> Timestamp {
        lock(&self.state).now
    }

    fn monotonic(&self) -> Tick {
        lock(&self.state).monotonic
    }

    fn sleep_until(&self, tick: Tick) -> BoxFuture<'static, ()> {
        let state = Arc::clone(&self.state);
        Box::pin(poll_fn(move |cx| {
            let mut clock = lock(&state);
            if clock.monotonic >= tick {
                return Poll::Ready(());
            }
            clock.sleepers.push((tick, cx.waker().clone()));
            Poll::Pending
        }))
    }

    fn random(&self) -> u64 {
        // SplitMix64, https://prng.di.unimi.it/splitmix64.c: a counter, mixed.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .random
            .fetch_add(STEP, Ordering::Relaxed)
            .wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Spawned {
        self.tasks.spawn(name, future)
    }

    fn spawn_isolated(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Spawned {
        self.tasks.spawn_isolated(name, future)
    }
}
