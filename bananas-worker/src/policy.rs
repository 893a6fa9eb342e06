//! How jobs of one task are treated: attempts, timeout, backoff.

use std::time::Duration;

use bananas_core::config::TaskConfig;
use bananas_core::{Backoff, Job, TaskOptions};

/// How many runs may fail when nobody says.
const MAX_ATTEMPTS: u32 = 20;

/// How long one run may take when nobody says.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The policy of one task: what the configuration says, else the task, else the library.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    max_attempts: u32,
    timeout: Duration,
    backoff: Backoff,
}

impl Policy {
    pub(crate) fn new(options: &TaskOptions, config: Option<&TaskConfig>) -> Self {
        let max_attempts = config.and_then(|c| c.max_attempts).or(options.max_attempts);
        let timeout = config.and_then(|c| c.timeout).or(options.timeout);
        let backoff = config.and_then(|c| c.backoff.clone());
        Self {
            max_attempts: max_attempts.unwrap_or(MAX_ATTEMPTS),
            timeout: timeout.unwrap_or(TIMEOUT),
            backoff: backoff.unwrap_or_default(),
        }
    }

    /// How many runs of this job may fail.
    pub(crate) fn max_attempts(&self, job: &Job) -> u32 {
        job.max_attempts.unwrap_or(self.max_attempts)
    }

    /// How long one run of this job may take.
    pub(crate) fn timeout(&self, job: &Job) -> Duration {
        job.timeout.unwrap_or(self.timeout)
    }

    /// The delay after the failure of an attempt.
    pub(crate) fn delay(&self, attempt: u32, random: u64) -> Duration {
        self.backoff.delay(attempt, random)
    }
}

#[cfg(test)]
mod tests {
    use bananas_core::{Args, JobId, TaskName, Timestamp};

    use super::*;

    #[test]
    fn the_job_wins_over_the_configuration_and_that_over_the_task() {
        let options = TaskOptions {
            max_attempts: Some(3),
            timeout: Some(Duration::from_secs(3)),
            ..TaskOptions::default()
        };
        let mut config = TaskConfig::default();
        config.max_attempts = Some(4);
        let id: JobId = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        let name = TaskName::new("a").unwrap();
        let args = Args::encode(&()).unwrap();
        let mut job = Job::new(id, name, args, Timestamp::default());

        let library = Policy::new(&TaskOptions::default(), None);
        assert_eq!(
            (library.max_attempts(&job), library.timeout(&job)),
            (20, TIMEOUT)
        );
        let policy = Policy::new(&options, Some(&config));
        assert_eq!(policy.max_attempts(&job), 4);
        assert_eq!(policy.timeout(&job), Duration::from_secs(3));
        job.max_attempts = Some(5);
        job.timeout = Some(Duration::from_secs(5));
        assert_eq!(policy.max_attempts(&job), 5);
        assert_eq!(policy.timeout(&job), Duration::from_secs(5));
    }
}
