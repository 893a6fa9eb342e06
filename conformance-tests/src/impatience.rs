//! Futures that are dropped at a random moment, as a `select!` or a timeout in a user's program does.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bananas_core::Env;

/// Waits for a future for a random while, counted in polls and in time, and drops it then.
pub(crate) async fn impatiently<F: Future>(env: &Arc<dyn Env>, future: F) -> Option<F::Output> {
    let chance = env.random();
    let mut polls = chance % 6;
    let while_ = Duration::from_micros((chance >> 8) % 4_000);
    let mut future = pin!(future);
    let polled = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if polls == 0 => Poll::Ready(None),
        Poll::Pending => {
            polls -= 1;
            Poll::Pending
        }
    });
    env.within(while_, polled).await.ok().flatten()
}
