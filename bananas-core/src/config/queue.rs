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
    /// Into how many lanes its priorities are put, 2 to 10; 1 is none. Default: 3 on a broker that tells no
    /// priorities apart, none on others.
    pub lanes: Option<u8>,
    /// The lanes share by these weights, from the least urgent to the most, so that none starves. Default: the
    /// most urgent comes first, always.
    pub lane_weights: Option<Vec<u32>>,
}
