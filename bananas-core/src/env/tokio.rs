//! The environment for real use: the system's clocks and Tokio's tasks.
//!
//! The only file of the core that knows a runtime.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where the originals are wrapped"
)]

use std::fmt;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use super::Running;
use crate::{BoxFuture, Env, Spawned, Tick, Timestamp};

/// The system's clocks, Tokio's tasks, and one thread of our own for I/O that user code cannot block.
pub struct TokioEnv {
    handlers: Handle,
    isolated: OnceLock<Isolated>,
    start: Instant,
}

/// A runtime that is left behind, not waited for, when the environment goes.
struct Isolated(Option<Runtime>);

impl Drop for Isolated {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl TokioEnv {
    /// Runs tasks on the Tokio runtime that calls this.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self::on(Handle::current())
    }

    /// Runs tasks on this Tokio runtime.
    #[must_use]
    pub fn on(handlers: Handle) -> Self {
        Self {
            handlers,
            isolated: OnceLock::new(),
            start: Instant::now(),
        }
    }

    /// The I/O runtime, started at its first use; the user's own runtime where no thread can be had.
    fn isolated(&self) -> &Handle {
        let isolated = self.isolated.get_or_init(|| {
            let mut builder = Builder::new_multi_thread();
            builder
                .worker_threads(1)
                .thread_name("bananas-io")
                .enable_all();
            Isolated(builder.build().ok())
        });
        isolated.0.as_ref().map_or(&self.handlers, Runtime::handle)
    }
}

impl fmt::Debug for TokioEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokioEnv")
    }
}

impl Env for TokioEnv {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Tick {
        Tick::default() + self.start.elapsed()
    }

    fn sleep_until(&self, tick: Tick) -> BoxFuture<'static, ()> {
        let at = self.start + tick.since(Tick::default());
        Box::pin(tokio::time::sleep_until(at.into()))
    }

    fn random(&self) -> u64 {
        rand::random()
    }

    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) -> Spawned {
        Spawned::new(self.handlers.spawn(future))
    }

    fn spawn_isolated(&self, _name: &'static str, future: BoxFuture<'static, ()>) -> Spawned {
        Spawned::new(self.isolated().spawn(future))
    }
}

impl Running for JoinHandle<()> {
    fn abort(&self) {
        Self::abort(self);
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        Pin::new(self).poll(cx).map(|joined| joined.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn isolated_tasks_run_while_user_code_blocks_its_only_thread() {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let (sender, receiver) = mpsc::channel();
        let inner = Arc::clone(&env);
        env.spawn_isolated(
            "test",
            Box::pin(async move {
                inner.sleep(Duration::from_millis(5)).await;
                sender.send(()).unwrap();
            }),
        );
        // This blocks the runtime's only thread, as a careless handler does.
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[tokio::test]
    async fn ids_sort_by_time() {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let first = env.job_id();
        env.sleep(Duration::from_millis(2)).await;
        assert!(first < env.job_id());
    }
}
