//! `[worker]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

/// `[worker]`: one worker process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WorkerConfig {
    /// How many jobs run at once. Default 100.
    pub concurrency: usize,
    /// How many blocking handlers run at once. Default 32.
    pub blocking_threads: usize,
    /// How long a shutdown waits for running jobs before it gives them back. Default 25 s.
    #[serde(with = "duration")]
    pub shutdown_grace: Duration,
    /// How long after a worker's last sign of life its jobs go to others; it renews at a third of that.
    /// Default 15 s, at least 1 s.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// How long succeeded, cancelled and expired jobs are kept. Default 24 h.
    #[serde(with = "duration")]
    pub keep_finished: Duration,
    /// How long dead jobs are kept. Default 30 d.
    #[serde(with = "duration")]
    pub keep_dead: Duration,
    /// The largest result that is stored, in bytes. Default 1 MiB.
    pub max_result_bytes: usize,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            concurrency: 100,
            blocking_threads: 32,
            shutdown_grace: Duration::from_secs(25),
            lease: Duration::from_secs(15),
            keep_finished: Duration::from_secs(24 * 3600),
            keep_dead: Duration::from_secs(30 * 24 * 3600),
            max_result_bytes: 1024 * 1024,
        }
    }
}
