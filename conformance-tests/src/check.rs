//! One check: its name, what it needs of the backend, and the function that makes it.

use std::future::Future;
use std::pin::Pin;

use crate::gate::Gate;

/// The future of a check. It runs on the thread that waits for it.
pub(crate) type Running = Pin<Box<dyn Future<Output = ()>>>;

/// One check of cases of one kind.
pub(crate) struct Check<C: 'static> {
    /// A sentence.
    pub(crate) name: &'static str,
    /// What the backend must be able to do.
    pub(crate) gate: Gate,
    /// Makes the check; it panics where the contract is broken.
    pub(crate) run: fn(C) -> Running,
}

/// Lists the checks of a file, each with its gate if it has one: `checks!(LedgerCase: one, two if Order)`.
macro_rules! checks {
    ($case:ty: $($name:ident $(if $gate:ident)?),+ $(,)?) => {
        /// The checks of this file.
        pub(super) const CHECKS: &[$crate::check::Check<$case>] = &[$(
            $crate::check::Check {
                name: stringify!($name),
                gate: $crate::check::gate!($($gate)?),
                run: |case| Box::pin($name(case)),
            }
        ),+];
    };
}

macro_rules! gate {
    () => {
        $crate::gate::Gate::Always
    };
    ($gate:ident) => {
        $crate::gate::Gate::$gate
    };
}

pub(crate) use {checks, gate};
