//! [`Arguments`]: the tuple that a handler is called with, made from a job and the worker's state.

use bananas_core::Task;

use super::{FromJob, JobContext};

/// The arguments of a handler: the task, then extractors. Implemented for tuples; nobody else needs to.
pub trait Arguments<S>: Sized + Send {
    /// The first argument.
    type Task: Task;

    /// Puts them together.
    fn of(task: Self::Task, context: &JobContext, state: &S) -> Self;
}

macro_rules! arguments {
    ($($extractor:ident)*) => {
        #[allow(non_snake_case, reason = "one name serves as type and variable")]
        impl<S, T, $($extractor),*> Arguments<S> for (T, $($extractor,)*)
        where
            T: Task,
            $($extractor: FromJob<S> + Send,)*
        {
            type Task = T;

            fn of(task: T, _context: &JobContext, _state: &S) -> Self {
                $(let $extractor = $extractor::from_job(_context, _state);)*
                (task, $($extractor,)*)
            }
        }
    };
}

arguments!();
arguments!(E1);
arguments!(E1 E2);
arguments!(E1 E2 E3);
arguments!(E1 E2 E3 E4);
arguments!(E1 E2 E3 E4 E5);
arguments!(E1 E2 E3 E4 E5 E6);
arguments!(E1 E2 E3 E4 E5 E6 E7);
arguments!(E1 E2 E3 E4 E5 E6 E7 E8);
