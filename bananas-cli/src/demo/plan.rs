//! [`Plan`]: how many jobs run at once, how fast, and when a worker is killed.
//!
//! The demo kills a worker that is in the middle of jobs. In a large folder there is always one; a small one
//! would be done before anybody could look. So a small folder gets slow jobs, and of any folder the last part
//! is fed in small portions until the kill has happened. The kill itself is real in both.

use std::time::Duration;

/// How many jobs run at once, how fast, and when a worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// How many files were counted at the start.
    pub(super) files: u64,
    /// How many worker processes there are.
    pub(super) workers: usize,
    /// How many jobs each of them runs at once.
    pub(super) concurrency: usize,
    /// The least time that each job takes.
    pub(super) pace: Duration,
    /// A worker is killed when so many jobs have ended.
    pub(super) kill_at: u64,
}

/// As many jobs as pay off in one commit of SQLite, few enough for a report that people can follow.
const MAX_CONCURRENCY: u64 = 32;

/// Below this many files, all of it is slow enough to watch.
const SMALL: u64 = 100;

/// From this many files on, each portion keeps the workers busy for long enough without slowing it down.
const LARGE: u64 = 2_000;

impl Plan {
    /// A plan for so many files.
    pub(super) fn new(files: u64, workers: u16, pace: Option<Duration>) -> Self {
        let concurrency = (files / (8 * u64::from(workers))).clamp(1, MAX_CONCURRENCY);
        let slots = concurrency * u64::from(workers);
        let rounds = u32::try_from(files.div_ceil(slots))
            .unwrap_or(u32::MAX)
            .max(1);
        let chosen = match files {
            0..SMALL => (Duration::from_secs(2) / rounds).min(Duration::from_millis(400)),
            SMALL..LARGE => Duration::from_millis(20),
            LARGE.. => Duration::ZERO,
        };
        Self {
            files,
            workers: usize::from(workers),
            concurrency: usize::try_from(concurrency).unwrap_or(1),
            pace: pace.unwrap_or(chosen),
            // With fewer files than two rounds, half of the jobs end together with all of them: then the kill
            // comes while the last full round runs.
            kill_at: (files / 2).min(files.saturating_sub(slots)),
        }
    }

    /// How many jobs all workers together run at once.
    pub(super) fn slots(&self) -> usize {
        self.concurrency * self.workers
    }

    /// How many jobs are enqueued before the rest is fed in portions.
    pub(super) fn hold_from(&self) -> u64 {
        self.kill_at + u64::try_from(self.slots()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_kill_is_due_every_folder_has_work_left() {
        for files in [1, 2, 3, 5, 7, 30, 99, 100, 1_999, 2_000, 100_000] {
            let plan = Plan::new(files, 3, None);
            assert!(plan.kill_at < files, "{plan:?}");
            let left = files - plan.kill_at;
            let slots = u64::try_from(plan.slots()).unwrap();
            assert!(left >= slots.min(files), "{plan:?}");
        }
    }

    #[test]
    fn small_folders_are_slow_and_large_ones_are_not() {
        assert_eq!(Plan::new(5, 3, None).pace, Duration::from_millis(400));
        assert_eq!(Plan::new(500, 3, None).pace, Duration::from_millis(20));
        assert_eq!(Plan::new(100_000, 3, None).pace, Duration::ZERO);
        assert_eq!(Plan::new(5, 3, Some(Duration::ZERO)).pace, Duration::ZERO);
        assert_eq!(Plan::new(100_000, 3, None).kill_at, 50_000);
    }

    #[test]
    fn a_small_folder_is_done_in_a_few_seconds() {
        for files in 1..2_000 {
            let plan = Plan::new(files, 3, None);
            let rounds = files.div_ceil(u64::try_from(plan.slots()).unwrap());
            assert!(
                plan.pace * u32::try_from(rounds).unwrap() < Duration::from_secs(3),
                "{plan:?}"
            );
        }
    }
}
