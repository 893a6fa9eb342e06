//! Calls that are made at the same moment, each from a task of its own.

use std::future::Future;
use std::sync::Arc;

use bananas_core::Env;
use futures::channel::oneshot;

/// Starts a future in a task of its own, and gives what it answers.
pub(crate) fn beside<F>(env: &Arc<dyn Env>, future: F) -> impl Future<Output = F::Output> + use<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (sender, answer) = oneshot::channel();
    let run = async move {
        let answer = future.await;
        // A check that has failed meanwhile no longer listens.
        sender.send(answer).ok();
    };
    env.spawn("racer", Box::pin(run));
    async move { answer.await.expect("a racer failed; its message is above") }
}

/// Starts two futures at once, either of them first, and gives both answers.
pub(crate) async fn race<H, T>(env: &Arc<dyn Env>, here: H, there: T) -> (H::Output, T::Output)
where
    H: Future<Output: Send> + Send + 'static,
    T: Future<Output: Send> + Send + 'static,
{
    if env.random().is_multiple_of(2) {
        let (here, there) = (beside(env, here), beside(env, there));
        futures::join!(here, there)
    } else {
        let (there, here) = (beside(env, there), beside(env, here));
        futures::join!(here, there)
    }
}

/// Starts all futures at once, and gives their answers in order.
pub(crate) async fn all_at_once<F>(
    env: &Arc<dyn Env>,
    futures: impl IntoIterator<Item = F>,
) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let started: Vec<_> = futures.into_iter().map(|one| beside(env, one)).collect();
    futures::future::join_all(started).await
}
