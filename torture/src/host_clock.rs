//! The monotonic clock of this host, which is one for all its processes.

use conformance_tests::judge::Micros;
use rustix::time::{ClockId, clock_gettime};

/// The time of the host's monotonic clock.
pub(crate) fn now() -> Micros {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = Micros::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + Micros::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}
