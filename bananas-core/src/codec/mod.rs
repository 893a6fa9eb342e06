//! Jobs as bytes: a codec per queue turns a raw message into a job and back.

mod json;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use self::json::JsonCodec;

use crate::{Job, QueueName, RawMessage, Result};

/// Turns jobs into bodies and raw messages into jobs.
pub trait Codec: Send + Sync + fmt::Debug + 'static {
    /// Its name in configuration: `bananas` for ours.
    fn name(&self) -> &'static str;

    /// The body of the message.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when the format cannot carry the job.
    fn encode(&self, job: &Job) -> Result<Bytes>;

    /// The job in a message, or the reason why there is none. Never panics, whatever the bytes.
    fn decode(
        &self,
        queue: &QueueName,
        message: &RawMessage,
    ) -> std::result::Result<Job, Undecodable>;
}

/// A message that is no job; it is settled like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable {
    /// Why, for a person.
    pub reason: String,
}

/// The codec of each queue; our own where nothing else was said.
#[derive(Clone, Debug)]
pub struct Codecs {
    default: Arc<dyn Codec>,
    by_queue: HashMap<QueueName, Arc<dyn Codec>>,
}

impl Default for Codecs {
    fn default() -> Self {
        Self {
            default: Arc::new(JsonCodec),
            by_queue: HashMap::new(),
        }
    }
}

impl Codecs {
    /// Uses another codec for one queue.
    pub fn insert(&mut self, queue: QueueName, codec: Arc<dyn Codec>) {
        self.by_queue.insert(queue, codec);
    }

    /// The codec of a queue.
    #[must_use]
    pub fn of(&self, queue: &QueueName) -> &dyn Codec {
        self.by_queue.get(queue).unwrap_or(&self.default).as_ref()
    }
}
