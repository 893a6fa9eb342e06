//! One request to run a task, and the words for what becomes of it.

mod args;
mod attempt;
mod state;
mod tags;
mod unique;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

pub use self::args::Args;
pub use self::attempt::{AttemptError, ErrorCause, MAX_ERROR_BYTES, MAX_ERRORS_KEPT};
pub use self::state::{DeadReason, JobState};
pub use self::tags::{MAX_TAG_BYTES, MAX_TAGS, Tag, Tags};
pub use self::unique::Unique;

use crate::{JobId, Priority, QueueName, TaskName, Timestamp, Track};

/// One request to run a task: what the wire carries.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// Its name for ever.
    pub id: JobId,
    /// Which handler runs it.
    pub task: TaskName,
    /// Where workers look for it.
    pub queue: QueueName,
    /// What the handler gets, still encoded.
    pub args: Args,
    /// Urgency within the queue.
    pub priority: Priority,
    /// What the store keeps of it.
    pub track: Track,
    /// When the client made it.
    pub created_at: Timestamp,
    /// Not to start before.
    pub run_at: Option<Timestamp>,
    /// Not to start after.
    pub expires_at: Option<Timestamp>,
    /// Failed attempts so far, where the message and not the store counts them (`none`, `outcome`).
    pub failed_attempts: u32,
    /// The last failure, likewise.
    pub last_error: Option<String>,
    /// Overrides how many attempts may fail.
    pub max_attempts: Option<u32>,
    /// Overrides how long one run may take.
    pub timeout: Option<Duration>,
    /// At most one job with this key in its time.
    pub unique: Option<Unique>,
    /// Labels by which people find it.
    pub tags: Tags,
    /// Free text of the user's, by name; tracing context travels here too.
    pub meta: BTreeMap<String, String>,
    /// Wire fields this version does not know, kept as they came: name and raw JSON.
    pub unknown: Vec<(String, Bytes)>,
}

/// A job by its queue and id: what a store needs to find it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobRef {
    /// Its queue.
    pub queue: QueueName,
    /// Its id.
    pub id: JobId,
}

impl Job {
    /// A job with defaults for everything else.
    #[must_use]
    pub fn new(id: JobId, task: TaskName, args: Args, created_at: Timestamp) -> Self {
        Self {
            id,
            task,
            queue: QueueName::default_queue(),
            args,
            priority: Priority::DEFAULT,
            track: Track::default(),
            created_at,
            run_at: None,
            expires_at: None,
            failed_attempts: 0,
            last_error: None,
            max_attempts: None,
            timeout: None,
            unique: None,
            tags: Tags::default(),
            meta: BTreeMap::new(),
            unknown: Vec::new(),
        }
    }

    /// Its queue and id.
    #[must_use]
    pub fn reference(&self) -> JobRef {
        JobRef {
            queue: self.queue.clone(),
            id: self.id,
        }
    }
}
