//! One check: its name, what it needs of the backend, and the function that makes it.

use std::future::Future;
use std::pin::Pin;

use crate::gate::Gate;
use crate::tier::Tier;
use crate::tool::Tool;

/// The future of a check. It runs on the thread that waits for it.
pub(crate) type Running = Pin<Box<dyn Future<Output = ()>>>;

/// One check of cases of one kind.
pub(crate) struct Check<C: 'static> {
    /// A sentence.
    pub(crate) name: &'static str,
    /// What the backend must be able to do.
    pub(crate) gate: Gate,
    /// What the harness must be able to do.
    pub(crate) tool: Tool,
    /// How dear it is.
    pub(crate) tier: Tier,
    /// Makes the check; it panics where the contract is broken.
    pub(crate) run: fn(C) -> Running,
}

/// Lists the checks of a file: `checks!(BrokerCase: one in Smoke, two if Order, three if Shared with Child in
/// Fault)`. `if` names what the backend must be able to do, `with` what the harness must, `in` the tier, which
/// is `Core` unless it is given.
macro_rules! checks {
    ($case:ty: $(
        $name:ident $(if $gate:ident)? $(with $tool:ident)? $(in $tier:ident)?
    ),+ $(,)?) => {
        /// The checks of this file.
        pub(super) const CHECKS: &[$crate::check::Check<$case>] = &[$(
            $crate::check::Check {
                name: stringify!($name),
                gate: $crate::check::or!($crate::gate::Gate, Always $(, $gate)?),
                tool: $crate::check::or!($crate::tool::Tool, Nothing $(, $tool)?),
                tier: $crate::check::or!($crate::tier::Tier, Core $(, $tier)?),
                run: |case| Box::pin($name(case)),
            }
        ),+];
    };
}

/// The default, or what is given after it.
macro_rules! or {
    ($type:path, $default:ident) => {{
        use $type as Choice;
        Choice::$default
    }};
    ($type:path, $default:ident, $given:ident) => {{
        use $type as Choice;
        Choice::$given
    }};
}

pub(crate) use {checks, or};
