//! Time, randomness and tasks: everything that a simulator has to control.
//!
//! Nothing in Bananas asks the system for them; `clippy.toml` forbids it.

mod manual;
#[cfg(feature = "tokio")]
mod tokio;

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use uuid::Builder;

pub use self::manual::ManualEnv;
#[cfg(feature = "tokio")]
pub use self::tokio::TokioEnv;

use crate::{BatchId, BlobId, JobId, OwnerId, Tick, Timestamp};

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Time, randomness and tasks.
pub trait Env: Send + Sync + fmt::Debug + 'static {
    /// Wall-clock time. It may jump.
    fn now(&self) -> Timestamp;

    /// Monotonic time. It never jumps.
    fn monotonic(&self) -> Tick;

    /// Waits until `tick`.
    fn sleep_until(&self, tick: Tick) -> BoxFuture<'static, ()>;

    /// A random number.
    fn random(&self) -> u64;

    /// Runs a future beside the caller, where the user's own code runs.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Spawned;

    /// Runs a future on a thread that no user code can block: heartbeats, brokers, stores.
    fn spawn_isolated(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Spawned;
}

/// A task that runs by itself; dropping this lets it run on.
pub struct Spawned(Box<dyn Running>);

/// What an environment provides for a task it runs.
pub trait Running: Send + Sync {
    /// Ends it at its next await point.
    fn abort(&self);

    /// Ready when it has ended: `true` if it ran to its end, `false` if it panicked or was aborted.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool>;
}

impl Spawned {
    /// Wraps what the environment provides.
    #[must_use]
    pub fn new(running: impl Running + 'static) -> Self {
        Self(Box::new(running))
    }

    /// Ends it at its next await point.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Waits for its end: `true` if it ran to its end, `false` if it panicked or was aborted.
    pub async fn ended(&mut self) -> bool {
        std::future::poll_fn(|cx| self.0.poll_ended(cx)).await
    }
}

impl fmt::Debug for Spawned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spawned")
    }
}

/// The deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl dyn Env {
    /// Waits for `duration`.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.monotonic() + duration)
    }

    /// Waits for a future, at most until `tick`. The timer is made only if the future is not ready at once.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time passes first; the future is dropped then.
    pub async fn until<F: Future>(&self, tick: Tick, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let mut timer: Option<BoxFuture<'static, ()>> = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            let timer = timer.get_or_insert_with(|| self.sleep_until(tick));
            timer.as_mut().poll(cx).map(|()| Err(Elapsed))
        })
        .await
    }

    /// Waits for a future, at most for `duration`.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time passes first; the future is dropped then.
    pub async fn within<F: Future>(
        &self,
        duration: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        self.until(self.monotonic() + duration, future).await
    }

    /// A new job id.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        JobId::from_uuid(self.uuid())
    }

    /// A new owner id.
    #[must_use]
    pub fn owner_id(&self) -> OwnerId {
        OwnerId::from_uuid(self.uuid())
    }

    /// A new batch id.
    #[must_use]
    pub fn batch_id(&self) -> BatchId {
        BatchId::from_uuid(self.uuid())
    }

    /// A new name for a blob of a job's message.
    #[must_use]
    pub fn blob_id(&self, job: Option<JobId>) -> BlobId {
        BlobId::new(self.uuid(), job)
    }

    fn uuid(&self) -> uuid::Uuid {
        let millis = u64::try_from(self.now().as_micros() / 1_000).unwrap_or(0);
        let mut random = [0_u8; 10];
        let (high, low) = random.split_at_mut(8);
        high.copy_from_slice(&self.random().to_le_bytes());
        low.copy_from_slice(&self.random().to_le_bytes()[..2]);
        Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}
