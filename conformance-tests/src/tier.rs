//! How dear a check is, so that one can ask for the cheap ones first.

use std::fmt;

/// How dear a check is. It is a part of the check's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// What must hold before anything else is worth a look; seconds for all of them.
    Smoke,
    /// The rest of the contract, without faults.
    Core,
    /// Processes are killed, servers restarted, connections cut.
    Fault,
    /// Minutes of real time. Only run when asked for by `--ignored` or `--include-ignored`.
    Long,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Smoke => "smoke",
            Self::Core => "core",
            Self::Fault => "fault",
            Self::Long => "long",
        })
    }
}
