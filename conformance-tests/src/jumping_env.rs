//! An environment whose wall clock a check sets, while everything else goes on as it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bananas_core::{BoxFuture, Env, Spawned, Tick, Timestamp};

/// An environment with a wall clock of its own.
#[derive(Debug)]
pub(crate) struct JumpingEnv {
    inner: Arc<dyn Env>,
    /// How far the wall clock is off, in microseconds.
    off: AtomicI64,
}

impl JumpingEnv {
    /// Starts with the right time.
    pub(crate) fn around(inner: &Arc<dyn Env>) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            off: AtomicI64::new(0),
        })
    }

    /// Sets the wall clock so many seconds before or after the right time.
    pub(crate) fn be_off_by(&self, seconds: i64) {
        self.off.store(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Env for JumpingEnv {
    fn now(&self) -> Timestamp {
        let right = self.inner.now().as_micros();
        Timestamp::from_micros(right + self.off.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Tick {
        self.inner.monotonic()
    }

    fn sleep_until(&self, tick: Tick) -> BoxFuture<'static, ()> {
        self.inner.sleep_until(tick)
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Spawned {
        self.inner.spawn(name, future)
    }

    fn spawn_isolated(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Spawned {
        self.inner.spawn_isolated(name, future)
    }
}
