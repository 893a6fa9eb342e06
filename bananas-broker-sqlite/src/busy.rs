//! Waiting for the lock that another process holds, in short random sleeps.
//!
//! SQLite's own busy timeout sleeps in steps that grow alike in all processes, so some wait seconds while
//! others hog the lock; random sleeps bring the worst wait down by half and more.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_micros(200);
const LONGEST: Duration = Duration::from_millis(5);

/// How long has been slept for one lock, and what remains of the patience.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    slept: Duration,
    random: u64,
}

impl Patience {
    /// Waits at most `limit` for each lock; `seed` must not be 0 and should differ between processes.
    pub(crate) fn new(limit: Duration, seed: u64) -> Self {
        Self {
            limit,
            slept: Duration::ZERO,
            random: seed | 1,
        }
    }

    /// Sleeps a little before the next look at the lock; false when the patience is used up. `looks` is how
    /// often it was called before for the same lock.
    pub(crate) fn wait(&mut self, looks: u32) -> bool {
        if looks == 0 {
            self.slept = Duration::ZERO;
        }
        if self.slept >= self.limit {
            return false;
        }
        let nap = self.nap(looks);
        #[allow(
            clippy::disallowed_methods,
            reason = "a lock of another process has no event to wait for, and SQLite calls this synchronously"
        )]
        std::thread::sleep(nap);
        self.slept += nap;
        true
    }

    /// Between the shortest and an upper end that grows to the longest.
    fn nap(&mut self, looks: u32) -> Duration {
        // Xorshift: good enough to be different from the neighbours.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let upper = (SHORTEST * (looks.min(24) + 2)).min(LONGEST);
        let span = u64::try_from((upper - SHORTEST).as_micros()).unwrap_or(0);
        SHORTEST + Duration::from_micros(self.random % (span + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naps_grow_and_stay_within_bounds() {
        let mut patience = Patience::new(Duration::from_secs(1), 7);
        let mut longest = Duration::ZERO;
        for looks in 0..1_000 {
            let nap = patience.nap(looks);
            assert!((SHORTEST..=LONGEST).contains(&nap), "{nap:?}");
            longest = longest.max(nap);
        }
        assert!(longest > Duration::from_millis(4));
    }

    #[test]
    fn patience_ends_and_is_new_for_the_next_lock() {
        let mut patience = Patience::new(Duration::from_millis(2), 7);
        let looks = (0..).take_while(|looks| patience.wait(*looks)).count();
        assert!((1..=10).contains(&looks), "{looks}");
        assert!(patience.wait(0));
    }
}
