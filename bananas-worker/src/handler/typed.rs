//! Async handlers: from typed function to [`Handler`].

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use bananas_core::{BoxFuture, Task};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::{Arguments, Failure, Handler, HandlerReturn, JobContext, Ran, Signature};

/// An `async fn` with the state its extractors need.
pub(crate) struct AsyncHandler<F, A, S> {
    function: F,
    state: Arc<S>,
    arguments: PhantomData<fn(A)>,
}

impl<F, A, S> AsyncHandler<F, A, S> {
    pub(crate) fn new(function: F, state: Arc<S>) -> Self {
        Self {
            function,
            state,
            arguments: PhantomData,
        }
    }
}

impl<F, A, S> Handler for AsyncHandler<F, A, S>
where
    S: Send + Sync + 'static,
    A: Arguments<S> + 'static,
    F: Signature<A>,
    F::Return: Future<Output: HandlerReturn<A::Task>> + Send + 'static,
{
    fn run(
        self: Arc<Self>,
        context: JobContext,
        _permit: Option<OwnedSemaphorePermit>,
    ) -> BoxFuture<'static, Ran> {
        Box::pin(async move {
            let future = {
                let arguments = arguments::<A, S>(&context, &self.state)?;
                self.function.call(arguments)
            };
            encode::<A::Task>(future.await.into_result())
        })
    }
}

/// Decodes the task and takes the extractors.
pub(super) fn arguments<A: Arguments<S>, S>(context: &JobContext, state: &S) -> Result<A, Failure> {
    let args = &context.job().args;
    let task = args.decode::<A::Task>();
    let task = task.map_err(|e| Failure::Arguments(e.to_string()))?;
    Ok(A::of(task, context, state))
}

/// Encodes what the handler returned.
pub(super) fn encode<T: Task>(result: crate::TaskResult<T::Output>) -> Ran {
    let output = result.map_err(Failure::Task)?;
    // Most tasks return nothing; that needs no serializer and no allocation.
    if TypeId::of::<T::Output>() == TypeId::of::<()>() {
        return Ok(Bytes::from_static(b"null"));
    }
    serde_json::to_vec(&output).map(Bytes::from).map_err(|e| {
        Failure::Fatal(format!(
            "the run succeeded, but its result has no JSON form: {e}"
        ))
    })
}
