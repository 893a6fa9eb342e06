//! `[queues.NAME]`.

use serde::{Deserialize, Serialize};

use crate::Track;

/// `[queues.NAME]`: how workers treat one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct QueueConfig {
    /// How many jobs of this queue one worker process runs at once. Default: the worker's own limit.
    pub concurrency: Option<usize>,
    /// What the store keeps of jobs whose task does not say. Default `full`.
    pub track: Option<Track>,
}
