//! [`State`]: what all handlers of a worker share.

use super::{FromJob, JobContext};

/// The worker's state, or a part of it, cloned for each run. Give it to the worker with `.state(..)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

/// Takes a part out of the worker's state. Every `T: Clone` is a part of itself.
///
/// ```
/// use bananas_worker::FromRef;
///
/// #[derive(Clone)]
/// struct Smtp;
/// #[derive(Clone)]
/// struct Everything { smtp: Smtp }
///
/// // Handlers may now ask for `State<Smtp>` on a worker with `.state(Everything { .. })`.
/// impl FromRef<Everything> for Smtp {
///     fn from_ref(state: &Everything) -> Self { state.smtp.clone() }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the worker has no state `{Self}`",
    label = "no such state",
    note = "add `.state(..)` with a `{Self}` to the worker, before `.handle(..)`",
    note = "if the worker's state `{S}` contains it, implement `FromRef<{S}>` for `{Self}`"
)]
pub trait FromRef<S> {
    /// Takes it.
    fn from_ref(state: &S) -> Self;
}

impl<T: Clone> FromRef<T> for T {
    fn from_ref(state: &T) -> Self {
        state.clone()
    }
}

impl<S, T: FromRef<S>> FromJob<S> for State<T> {
    fn from_job(_context: &JobContext, state: &S) -> Self {
        Self(T::from_ref(state))
    }
}
