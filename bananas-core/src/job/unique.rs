//! At most one job with the same key.

use std::time::Duration;

/// While this holds, another job with the same key on the same queue is a duplicate, not a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// What must be unique within the queue.
    pub key: String,
    /// For how long from the enqueue, finished or not.
    pub lasts: Duration,
}
