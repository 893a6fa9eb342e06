//! Drives one handler to its end: panics are caught, time is limited, stops are obeyed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bananas_core::{BoxFuture, Env};

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

/// Runs the handler, at most for `timeout`. Timers are made only when it is not ready at once.
pub(crate) async fn drive(
    env: &Arc<dyn Env>,
    run: &Arc<Run>,
    handler: &Arc<dyn Handler>,
    timeout: Duration,
) -> Ended {
    let mut permit = None;
    if let Some(gate) = handler.gate() {
        tokio::select! {
            biased;
            () = run.stopped() => return Ended::Stopped,
            acquired = Arc::clone(gate).acquire_owned() => permit = acquired.ok(),
        }
    }
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
