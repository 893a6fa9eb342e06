//! Blocking handlers: functions that run on threads of their own, a bounded number of them.
//!
//! The threads are ours and not the runtime's: a runtime that ends waits for its blocking threads, and a
//! worker that has been told to leave at once must not.

use std::any::Any;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bananas_core::{BoxFuture, Error, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::typed::{arguments, encode};
use super::{Arguments, Failure, Handler, HandlerReturn, JobContext, Ran, Signature};
use crate::runs::{Busy, Stop};

/// How long a thread without work lives on.
const IDLE: Duration = Duration::from_secs(10);

/// Threads for blocking handlers, started as they are needed.
pub(crate) struct BlockingPool {
    /// One permit per call at a time. The call keeps it to its end, also when nobody waits for it any more.
    permits: Arc<Semaphore>,
    work: Mutex<Work>,
    more: Condvar,
}

/// One call of a blocking handler.
type Call = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Work {
    calls: VecDeque<Call>,
    idle: usize,
}

impl BlockingPool {
    pub(crate) fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(threads.clamp(1, Semaphore::MAX_PERMITS))),
            work: Mutex::default(),
            more: Condvar::new(),
        })
    }

    /// Runs a call on a thread of the pool.
    fn call(self: &Arc<Self>, call: Call) -> Result<(), Error> {
        let mut work = self.lock();
        if work.idle > work.calls.len() {
            work.calls.push_back(call);
            drop(work);
            self.more.notify_one();
            return Ok(());
        }
        drop(work);
        let pool = Arc::clone(self);
        let thread = std::thread::Builder::new().name("bananas-blocking".to_owned());
        let spawned = thread.spawn(move || {
            call();
            pool.work();
        });
        spawned
            .map(drop)
            .map_err(|e| Error::new(ErrorKind::Full, "no thread for a blocking handler").because(e))
    }

    /// The life of one thread.
    fn work(&self) {
        let mut work = self.lock();
        loop {
            if let Some(call) = work.calls.pop_front() {
                drop(work);
                call();
                work = self.lock();
                continue;
            }
            work.idle += 1;
            let (after, waited) = self
                .more
                .wait_timeout(work, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            work = after;
            work.idle -= 1;
            if waited.timed_out() && work.calls.is_empty() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A blocking function with the state its extractors need and the pool it runs on.
pub(crate) struct BlockingHandler<F, A, S> {
    function: F,
    state: Arc<S>,
    pool: Arc<BlockingPool>,
    arguments: PhantomData<fn(A)>,
}

impl<F, A, S> BlockingHandler<F, A, S> {
    pub(crate) fn new(function: F, state: Arc<S>, pool: Arc<BlockingPool>) -> Self {
        Self {
            function,
            state,
            pool,
            arguments: PhantomData,
        }
    }
}

impl<F, A, S> Handler for BlockingHandler<F, A, S>
where
    S: Send + Sync + 'static,
    A: Arguments<S> + 'static,
    F: Signature<A>,
    F::Return: HandlerReturn<A::Task>,
{
    fn run(
        self: Arc<Self>,
        context: JobContext,
        permit: Option<OwnedSemaphorePermit>,
    ) -> BoxFuture<'static, Ran> {
        Box::pin(async move {
            let (sender, receiver) = oneshot::channel::<Result<Ran, Box<dyn Any + Send>>>();
            let busy = Busy::new(Arc::clone(&context.0));
            let pool = Arc::clone(&self.pool);
            let call = Box::new(move || {
                let ran = catch_unwind(AssertUnwindSafe(|| {
                    let arguments = arguments::<A, S>(&context, &self.state)?;
                    encode::<A::Task>(self.function.call(arguments).into_result())
                }));
                drop((busy, permit));
                // Nobody listens if the run was given up meanwhile; then nobody misses the answer either.
                drop(sender.send(ran));
            });
            if let Err(e) = pool.call(call) {
                return Err(Failure::Task(e.into()));
            }
            match receiver.await {
                Ok(Ok(ran)) => ran,
                Ok(Err(panic)) => resume_unwind(panic),
                Err(_) => Err(Failure::Task("the blocking thread went away".into())),
            }
        })
    }

    fn gate(&self) -> Option<&Arc<Semaphore>> {
        Some(&self.pool.permits)
    }

    fn patience(&self, why: Stop) -> Option<Duration> {
        match why {
            Stop::No | Stop::Shutdown => None,
            // A thread cannot be stopped, so it is worth waiting for it to look at its token.
            Stop::TimedOut | Stop::Cancelled => Some(Duration::from_secs(10)),
            Stop::Fenced => Some(Duration::from_secs(1)),
        }
    }
}
