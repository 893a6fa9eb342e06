//! Drives one handler to its end: panics are caught, time is limited, stops are obeyed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bananas_core::{BoxFuture, Env};
use tokio::sync::OwnedSemaphorePermit;

use crate::handler::{Handler, JobContext, Ran};
use crate::panic_text::panic_text;
use crate::runs::{Run, Stop};

/// How the handler's future ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself.
    Ran(Ran),
    /// With a panic.
    Panicked(String),
    /// It was dropped, or never made, because the run was to stop.
    Stopped,
}

/// A handler and what it needs beside the run.
pub(crate) struct Call<'a> {
    pub(crate) handler: &'a Arc<dyn Handler>,
    /// What was acquired at the handler's gate.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    pub(crate) timeout: Duration,
}

/// Runs the handler, at most for its timeout. Timers are made only when it is not ready at once.
pub(crate) async fn drive(env: &Arc<dyn Env>, run: &Arc<Run>, call: Call<'_>) -> Ended {
    let Call {
        handler,
        permit,
        timeout,
    } = call;
    let deadline = env.monotonic() + timeout;
    let mut future = Arc::clone(handler).run(JobContext(Arc::clone(run)), permit);
    let mut obeys = Stop::No;
    let mut timer: Option<BoxFuture<'static, ()>> = None;
    let ended = std::future::poll_fn(|cx| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(ran)) => return Poll::Ready(Ended::Ran(ran)),
            Err(panic) => {
                return Poll::Ready(Ended::Panicked(panic_text(panic.as_ref()).to_owned()));
            }
            Ok(Poll::Pending) => {}
        }
        // Enlisted before the reasons are looked at, so that none is missed.
        run.register(cx.waker());
        loop {
            if run.is_aborted() {
                return Poll::Ready(Ended::Stopped);
            }
            let why = run.why();
            if why != obeys {
                obeys = why;
                timer = match handler.patience(why) {
                    Some(Duration::ZERO) => return Poll::Ready(Ended::Stopped),
                    patience => patience.map(|patience| env.sleep(patience)),
                };
            } else if why == Stop::No {
                timer.get_or_insert_with(|| env.sleep_until(deadline));
            }
            match timer.as_mut().map(|timer| timer.as_mut().poll(cx)) {
                Some(Poll::Ready(())) if why == Stop::No => run.stop(Stop::TimedOut),
                Some(Poll::Ready(())) => return Poll::Ready(Ended::Stopped),
                Some(Poll::Pending) | None => return Poll::Pending,
            }
        }
    })
    .await;
    // What the handler holds may panic when it is dropped, too.
    let dropped = catch_unwind(AssertUnwindSafe(move || drop(future)));
    match (dropped, ended) {
        (Err(panic), Ended::Stopped) => Ended::Panicked(panic_text(panic.as_ref()).to_owned()),
        (_, ended) => ended,
    }
}
