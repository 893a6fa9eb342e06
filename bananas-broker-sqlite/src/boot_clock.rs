//! The clock of leases: time since the machine started, which all its processes share and nobody can set.
//!
//! `Env::monotonic` is private to one process, so it cannot be compared across processes; the wall clock
//! jumps. Where the system has no boot id, a constant stands for it, and the check in [`Moment::holds`] still
//! refuses most leases of an earlier boot.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::Env;
use rustix::time::{ClockId, clock_gettime};

/// A clock that counts from the start of the machine.
pub(crate) trait BootClock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Moment;
}

/// A point in time on the boot clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Which start of the machine.
    pub(crate) boot: Arc<str>,
    /// Microseconds since then.
    pub(crate) micros: i64,
}

impl Moment {
    /// When a lease given now ends.
    pub(crate) fn after(&self, lease: Duration) -> i64 {
        self.micros.saturating_add(micros(lease))
    }

    /// Whether a lease of length `lease`, given in `boot` and ending at `until`, still holds.
    ///
    /// One that would have been given in the future was given before another start of the machine.
    pub(crate) fn holds(&self, boot: &str, until: i64, lease: i64) -> bool {
        *self.boot == *boot && self.micros < until && until.saturating_sub(lease) <= self.micros
    }
}

/// The system's clock.
#[derive(Debug)]
pub(crate) struct SystemBootClock {
    boot: Arc<str>,
}

impl SystemBootClock {
    pub(crate) fn new() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = match boot.trim() {
            "" => "no boot id",
            id => id,
        };
        Self {
            boot: Arc::from(boot),
        }
    }
}

impl BootClock for SystemBootClock {
    fn now(&self) -> Moment {
        #[cfg(target_os = "linux")]
        let clock = ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = ClockId::Monotonic;
        let time = clock_gettime(clock);
        let micros = time
            .tv_sec
            .saturating_mul(1_000_000)
            .saturating_add(time.tv_nsec / 1_000);
        Moment {
            boot: Arc::clone(&self.boot),
            micros,
        }
    }
}

/// The monotonic clock of an environment: for a file that only those open who share the environment.
#[derive(Debug)]
pub(crate) struct EnvBootClock(pub(crate) Arc<dyn Env>);

impl BootClock for EnvBootClock {
    fn now(&self) -> Moment {
        Moment {
            boot: Arc::from("the clock of an environment"),
            micros: i64::try_from(self.0.monotonic().as_micros()).unwrap_or(i64::MAX),
        }
    }
}

/// Whole microseconds, at most `i64::MAX`.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod manual {
    //! A boot clock that tests move.

    use std::sync::Mutex;

    use super::*;

    #[derive(Debug)]
    pub(crate) struct ManualBootClock(Mutex<Moment>);

    impl ManualBootClock {
        pub(crate) fn new() -> Arc<Self> {
            let boot = Arc::from("boot-1");
            let micros = 1_000_000_000;
            Arc::new(Self(Mutex::new(Moment { boot, micros })))
        }

        pub(crate) fn advance(&self, by: Duration) {
            self.0.lock().unwrap().micros += micros(by);
        }

        pub(crate) fn reboot(&self) {
            *self.0.lock().unwrap() = Moment {
                boot: Arc::from("boot-2"),
                micros: 1,
            };
        }
    }

    impl BootClock for ManualBootClock {
        fn now(&self) -> Moment {
            self.0.lock().unwrap().clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_of_another_boot_never_holds() {
        let clock = SystemBootClock::new();
        let now = clock.now();
        let lease = Duration::from_secs(5);
        assert!(now.holds(&now.boot, now.after(lease), micros(lease)));
        assert!(!now.holds("another", now.after(lease), micros(lease)));
        let given_ahead = now.after(lease + lease);
        assert!(
            !now.holds(&now.boot, given_ahead, micros(lease)),
            "given in the future"
        );
    }

    #[test]
    fn the_clock_moves_forward() {
        let clock = SystemBootClock::new();
        let first = clock.now();
        assert!(clock.now().micros >= first.micros);
    }
}
