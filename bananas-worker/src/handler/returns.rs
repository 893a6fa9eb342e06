//! [`HandlerReturn`]: what a handler gives back.

use bananas_core::Task;

use crate::TaskResult;

/// What a handler of the task `T` returns: `TaskResult<T::Output>`. Implemented for nothing else.
#[diagnostic::on_unimplemented(
    message = "a handler of `{T}` cannot return `{Self}`",
    label = "wrong return type",
    note = "it returns `TaskResult<T::Output>`: `TaskResult` where the task says nothing about its output, \
            `TaskResult<Report>` where its output is `Report`"
)]
pub trait HandlerReturn<T: Task> {
    /// As what it is.
    #[expect(
        clippy::missing_errors_doc,
        reason = "it hands on what the handler returned"
    )]
    fn into_result(self) -> TaskResult<T::Output>;
}

impl<T: Task> HandlerReturn<T> for TaskResult<T::Output> {
    fn into_result(self) -> Self {
        self
    }
}
