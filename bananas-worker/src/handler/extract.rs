//! [`FromJob`]: what a handler's second and further arguments can be.

use super::JobContext;

/// An extractor: something a handler can ask for beside the task. Implement it for your own.
///
/// ```
/// use bananas_worker::{FromJob, JobContext};
///
/// /// Who asked for the job, as the program that enqueued it noted.
/// struct Tenant(String);
///
/// impl<S> FromJob<S> for Tenant {
///     fn from_job(context: &JobContext, _state: &S) -> Self {
///         Self(context.meta().get("tenant").cloned().unwrap_or_default())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no extractor",
    label = "a handler's second and further arguments must be extractors",
    note = "extractors are `State<T>`, `Attempt`, `JobContext`, and what implements `FromJob`; the task itself \
            comes first"
)]
pub trait FromJob<S>: Sized {
    /// Takes it from the job or the state.
    fn from_job(context: &JobContext, state: &S) -> Self;
}
