//! How fast a backend can be expected to be.

use std::time::Duration;

/// How fast a backend can be expected to be. The defaults are right for all but servers that are slow to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// A lease that a check can wait for, within the limits of the capabilities. By default 1 s.
    pub short_lease: Duration,
    /// How long after a server is back every client works again. By default 15 s.
    pub recovery: Duration,
    /// The most messages that one check publishes, where it matters only that they are many. By default there is
    /// no limit; an emulator that takes its time for each wants one.
    pub most_messages: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            short_lease: Duration::from_secs(1),
            recovery: Duration::from_secs(15),
            most_messages: usize::MAX,
        }
    }
}
