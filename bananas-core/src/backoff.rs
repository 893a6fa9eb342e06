//! How long to wait before the next attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::duration;

/// Exponential backoff: `base * factor^(attempt - 1)`, at most `max`, then spread by `jitter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Backoff {
    /// The delay after the first failure. Default 1 s.
    #[serde(with = "duration")]
    pub base: Duration,
    /// What each further failure multiplies it by. Default 2.
    pub factor: f64,
    /// The longest delay. Default 1 h.
    #[serde(with = "duration")]
    pub max: Duration,
    /// Whether to pick the delay at random between half of it and all of it, so that jobs which failed
    /// together do not come back together ("equal jitter",
    /// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>). Default true.
    pub jitter: bool,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(3600),
            jitter: true,
        }
    }
}

impl Backoff {
    /// The delay after the failure of attempt number `attempt` (from 1), given a random number.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let exponent = f64::from(attempt.saturating_sub(1).min(1_000));
        let seconds = self.base.as_secs_f64() * self.factor.max(0.0).powf(exponent);
        // `min` of a NaN or an infinity with a finite number is the finite number.
        let seconds = seconds.min(self.max.as_secs_f64()).max(0.0);
        if !self.jitter {
            return Duration::from_secs_f64(seconds);
        }
        // The top 53 bits are as many as a float holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit in an f64")]
        let unit = (random >> 11) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64(seconds * (0.5 + unit / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum() {
        let backoff = Backoff {
            jitter: false,
            ..Backoff::default()
        };
        let seconds: Vec<u64> = (1..=4).map(|n| backoff.delay(n, 0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8]);
        assert_eq!(backoff.delay(u32::MAX, 0), Duration::from_secs(3600));
    }

    #[test]
    fn jitter_stays_between_half_and_all() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, 0), Duration::from_millis(500));
        let most = backoff.delay(1, u64::MAX);
        assert!(most > Duration::from_millis(999) && most <= Duration::from_secs(1));
    }
}
