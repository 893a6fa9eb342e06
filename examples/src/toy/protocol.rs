//! What client and server say to each other.
//!
//! A connection begins with a [`Hello`]. Then the client sends an [`Ask`] for each operation and the server an
//! [`Answer`] with the same number, not always in the same order: a poll is answered when a message comes.

use std::time::Duration;

use bananas_core::{Bucket, JobId, Priority, QueueName, RawMessage, Settlement, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::error::Error;

/// The first line of a connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) namespace: String,
    /// A random number of this client, the same for all its connections.
    pub(super) client: u64,
    /// Which of its connections this is. A newer one ends the older, and nothing that still comes from
    /// there is done.
    pub(super) connection: u64,
}

/// An operation.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    pub(super) number: u64,
    pub(super) request: Request,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) number: u64,
    /// The server's monotonic clock, in microseconds.
    pub(super) tick: u64,
    pub(super) reply: Result<Reply, Error>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Ensure(Vec<QueueName>),
    Publish(Vec<(QueueName, Message)>),
    /// Whether there is such a queue.
    Find(QueueName),
    Poll(Poll),
    /// Ends the poll of a consumer, with no message.
    Cancel(u64),
    Leave(Leave),
    Settle(Vec<(Token, End)>),
    Extend(Vec<Token>, Duration),
    Depth(Vec<QueueName>),
    Peek(QueueName, #[serde(with = "WrittenBucket")] Bucket, usize),
    Purge(QueueName, #[serde(with = "WrittenBucket")] Bucket),
    Redrive(QueueName, Option<Vec<JobId>>),
    Queues,
    Delete(QueueName),
    /// How many clients of this namespace are connected.
    Clients,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Done,
    /// Of messages that were published, and of deliveries that were settled.
    Each(Vec<Result<(), Error>>),
    Delivered(Vec<Delivered>),
    /// The ends of leases, on the server's clock.
    Extended(Vec<Result<u64, Error>>),
    Depths(Vec<Counts>),
    Messages(Vec<Message>),
    Count(u64),
    Names(Vec<QueueName>),
}

/// A wait for messages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Poll {
    pub(super) queue: QueueName,
    /// A random number of this consumer.
    pub(super) consumer: u64,
    /// Which of its polls this is, from 1.
    pub(super) number: u64,
    /// The last poll whose answer arrived. What later ones took is delivered again with this one: their
    /// answers were lost.
    pub(super) received: u64,
    pub(super) max: usize,
    pub(super) credit: usize,
    pub(super) lease: Duration,
    pub(super) wait: Duration,
}

/// The end of a consumer. What it took and never handed out is given back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Leave {
    pub(super) consumer: u64,
    pub(super) received: u64,
    pub(super) unused: Vec<Token>,
}

/// One delivery: which data, which message, which delivery of it. The last is the fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    /// Drawn when the log was begun, so that the receipts of another server are known as such.
    pub(super) birth: u64,
    pub(super) message: u64,
    pub(super) delivery: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Delivered {
    pub(super) token: Token,
    pub(super) count: u32,
    /// When the lease ends, on the server's clock.
    pub(super) until: u64,
    pub(super) message: Message,
}

/// [`RawMessage`], as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) id: Option<JobId>,
    pub(super) body: Blob,
    pub(super) properties: Vec<(String, Blob)>,
    pub(super) priority: Priority,
    pub(super) not_before: Option<Timestamp>,
    pub(super) key: Option<String>,
}

/// [`Settlement`], as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum End {
    Ack,
    Retry(Duration, Box<Message>),
    Release(Duration),
    Dead(String, Option<Box<Message>>),
}

/// [`Bucket`], as it is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Bucket")]
enum WrittenBucket {
    Ready,
    Delayed,
    Dead,
}

/// A queue: how many messages are ready, in flight, delayed and dead, and its incarnation.
pub(super) type Counts = (QueueName, [u64; 4], String);

/// Bytes, written in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob(pub(super) Bytes);

impl Request {
    /// The consumer whose poll it ends, if it ends one.
    pub(super) fn ended_poll(&self) -> Option<u64> {
        match self {
            Self::Cancel(consumer) | Self::Leave(Leave { consumer, .. }) => Some(*consumer),
            _ => None,
        }
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text).map_err(D::Error::custom)?;
        Ok(Self(bytes.into()))
    }
}

impl From<RawMessage> for Message {
    fn from(raw: RawMessage) -> Self {
        let properties = raw.properties.into_iter();
        Self {
            id: raw.id,
            body: Blob(raw.body),
            properties: properties
                .map(|(name, value)| (name, Blob(value)))
                .collect(),
            priority: raw.priority,
            not_before: raw.not_before,
            key: raw.key,
        }
    }
}

impl From<Message> for RawMessage {
    fn from(message: Message) -> Self {
        let mut raw = Self::without_id(message.body.0);
        let properties = message.properties.into_iter();
        raw.id = message.id;
        raw.properties = properties.map(|(name, value)| (name, value.0)).collect();
        raw.priority = message.priority;
        raw.not_before = message.not_before;
        raw.key = message.key;
        raw
    }
}

impl From<Settlement> for End {
    fn from(settlement: Settlement) -> Self {
        match settlement {
            Settlement::Ack => Self::Ack,
            Settlement::Retry { delay, message } => Self::Retry(delay, Box::new((*message).into())),
            Settlement::Release { delay } => Self::Release(delay),
            Settlement::DeadLetter { reason, message } => {
                Self::Dead(reason, message.map(|message| Box::new((*message).into())))
            }
        }
    }
}
