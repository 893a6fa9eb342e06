//! [`Worker`]: gathers handlers, then runs jobs until it is told to stop.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bananas_core::config::Config;
use bananas_core::{Env, Error, ErrorKind, Ledger, QueueName, Result, Task, TaskOptions};

use crate::crew::Crew;
use crate::engine::Engine;
use crate::exec::ExecHandler;
use crate::handler::{
    Arguments, AsyncHandler, BlockingHandler, BlockingPool, Handler, HandlerReturn, Signature,
};
use crate::registry::Registry;
use crate::shutdown::{self, Shutdown};
use crate::supervisor::Liveness;

/// Runs jobs: takes them from their queues, hands them to handlers, records how they ended.
///
/// `S` is the state that handlers share; it begins as `()` and is given with [`state`](Worker::state).
///
/// ```
/// use std::sync::Arc;
/// use bananas_core::{Env, Error, Ledger, Task, config::Config};
/// use bananas_worker::{Attempt, State, TaskResult, Worker, shutdown_signal};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Greet { name: String }
///
/// impl Task for Greet {
///     const NAME: &'static str = "greet";
///     type Output = String;
/// }
///
/// #[derive(Clone)]
/// struct Greeting(String);
///
/// async fn greet(task: Greet, State(greeting): State<Greeting>, _: Attempt) -> TaskResult<String> {
///     Ok(format!("{}, {}", greeting.0, task.name))
/// }
///
/// async fn run(ledger: Arc<dyn Ledger>, env: Arc<dyn Env>) -> Result<(), Error> {
///     Worker::new(ledger, env, Arc::new(Config::default()))
///         .state(Greeting("Hello".to_owned()))
///         .handle(greet)
///         .run_until(shutdown_signal())
///         .await
/// }
/// ```
#[must_use = "a worker does nothing until `.run_until(..)` is awaited"]
pub struct Worker<S = ()> {
    ledger: Arc<dyn Ledger>,
    env: Arc<dyn Env>,
    config: Arc<Config>,
    state: Arc<S>,
    pool: Arc<BlockingPool>,
    registry: Registry,
    queues: Option<BTreeSet<QueueName>>,
    liveness: Liveness,
}

impl Worker {
    /// A worker on this ledger. It has a handler for each task of the configuration that has an `exec`
    /// section, and no other yet.
    pub fn new(ledger: Arc<dyn Ledger>, env: Arc<dyn Env>, config: Arc<Config>) -> Self {
        let mut registry = Registry::default();
        for (name, task) in &config.tasks {
            let Some(exec) = &task.exec else { continue };
            let limit = config.worker.max_result_bytes;
            let handler = Arc::new(ExecHandler::new(exec, Arc::clone(&env), limit));
            // The names of the configuration are checked, and each occurs once.
            drop(registry.insert(name.as_str(), &TaskOptions::default(), &config, handler));
        }
        Self {
            pool: BlockingPool::new(config.worker.blocking_threads),
            state: Arc::new(()),
            registry,
            ledger,
            env,
            config,
            queues: None,
            liveness: Liveness::default(),
        }
    }

    /// Gives handlers a state: they ask for it, or for a part of it, with [`State`](crate::State).
    ///
    /// Handlers given before do not see it, and need none.
    pub fn state<T>(self, state: T) -> Worker<T> {
        Worker {
            state: Arc::new(state),
            ledger: self.ledger,
            env: self.env,
            config: self.config,
            pool: self.pool,
            registry: self.registry,
            queues: self.queues,
            liveness: self.liveness,
        }
    }
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// Adds a handler: an `async fn` whose first argument is the task, by value. Up to eight extractors
    /// follow: [`State`](crate::State), [`Attempt`](crate::Attempt), [`JobContext`](crate::JobContext), your
    /// own.
    ///
    /// # Panics
    ///
    /// When the task has a handler already (an `exec` section of the configuration is one), or its name or
    /// queue breaks the rules for names.
    pub fn handle<F, A>(self, handler: F) -> Self
    where
        A: Arguments<S> + 'static,
        F: Signature<A>,
        F::Return: Future<Output: HandlerReturn<A::Task>> + Send + 'static,
    {
        let handler = AsyncHandler::new(handler, Arc::clone(&self.state));
        self.register::<A::Task>(Arc::new(handler))
    }

    /// Adds a handler that blocks: an `fn` like one for [`handle`](Self::handle), but not async. It runs on
    /// one of `worker.blocking_threads` threads.
    ///
    /// A thread cannot be stopped: a handler that may take long should look at
    /// [`JobContext::cancelled`](crate::JobContext::cancelled).
    ///
    /// # Panics
    ///
    /// Like [`handle`](Self::handle).
    pub fn handle_blocking<F, A>(self, handler: F) -> Self
    where
        A: Arguments<S> + 'static,
        F: Signature<A>,
        F::Return: HandlerReturn<A::Task>,
    {
        let (state, pool) = (Arc::clone(&self.state), Arc::clone(&self.pool));
        let handler = BlockingHandler::new(handler, state, pool);
        self.register::<A::Task>(Arc::new(handler))
    }

    /// Serves these queues and no others. Without this call a worker serves the queues that its tasks name,
    /// and those of the configuration.
    pub fn queues(mut self, queues: impl IntoIterator<Item = QueueName>) -> Self {
        self.queues = Some(queues.into_iter().collect());
        self
    }

    /// When each background loop last turned: for health checks. Keeps working while the worker runs.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }

    /// Runs jobs until the signal comes, then shuts down: no more jobs are claimed, running ones may go on
    /// for `worker.shutdown_grace`, and what has not ended by then is stopped and given back without using
    /// an attempt.
    ///
    /// If the future is dropped, running jobs are stopped and left to their lease.
    ///
    /// # Errors
    ///
    /// At the start what keeps the worker from starting; at the end, if jobs could be neither settled nor
    /// given back, how many: they run again when the lease ends.
    pub async fn run_until<F>(self, signal: F) -> Result<()>
    where
        F: Future,
        F::Output: Shutdown,
    {
        let queues = self.served()?;
        let started = Engine::start(self.ledger, self.env, &self.config, self.registry, &queues);
        let (engine, done) = started.await?;
        tracing::info!(owner = %engine.tenancy.current().owner.id, ?queues, "running");
        let mut crew = Crew::assemble(&engine, done, self.liveness);
        let forced = signal.await.forced();
        shutdown::drain(&engine, &mut crew.sources, forced).await
    }

    /// The queues to serve.
    fn served(&self) -> Result<BTreeSet<QueueName>> {
        let invalid = |text: &str| Err(Error::new(ErrorKind::InvalidArgument, text));
        if self.registry.is_empty() {
            return invalid(
                "the worker has no tasks; add `.handle(..)`, or an `exec` task to the configuration",
            );
        }
        let queues = self.queues.clone().unwrap_or_else(|| {
            let mut queues = self.registry.queues();
            queues.extend(self.config.queues.keys().cloned());
            queues
        });
        if queues.is_empty() {
            return invalid(
                "the worker serves no queue; name one in `.queues(..)`, or leave that out",
            );
        }
        Ok(queues)
    }

    #[expect(clippy::panic, reason = "a mistake in the program, found at its start")]
    fn register<T: Task>(mut self, handler: Arc<dyn Handler>) -> Self {
        let inserted = self
            .registry
            .insert(T::NAME, &T::options(), &self.config, handler);
        if let Err(mistake) = inserted {
            panic!("{mistake}");
        }
        self
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("ledger", &self.ledger)
            .field("tasks", &self.registry)
            .finish_non_exhaustive()
    }
}
