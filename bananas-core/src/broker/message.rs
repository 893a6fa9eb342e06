//! What a broker moves: opaque bytes with the few facts it needs to route them.

use bytes::Bytes;

use crate::{JobId, Priority, QueueName, Timestamp};

/// A message as a broker sees it. The body is never looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawMessage {
    /// The id of its job; `None` for a message of another application that names none.
    pub id: Option<JobId>,
    /// The encoded job.
    pub body: Bytes,
    /// Native properties by name (AMQP headers, SQS attributes). Names starting with `bananas-` are ours.
    pub properties: Vec<(String, Bytes)>,
    /// Urgency within the queue.
    pub priority: Priority,
    /// Not to be delivered before. `None` and the past mean now.
    pub not_before: Option<Timestamp>,
    /// Messages with the same key are spread fairly or kept in order, where the broker can.
    pub key: Option<String>,
}

/// One message to publish and the queue it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The queue.
    pub queue: QueueName,
    /// The message.
    pub message: RawMessage,
}

/// The property that carries which published copy of a job a message is. Missing means the first, 0.
pub const COPY_PROPERTY: &str = "bananas-copy";

/// The property under which [`peek`](crate::BrokerAdmin::peek) shows why a message is dead.
pub const DEAD_REASON_PROPERTY: &str = "bananas-dead-reason";

impl RawMessage {
    /// A message with default priority and no delay.
    #[must_use]
    pub fn new(id: JobId, body: Bytes) -> Self {
        Self {
            id: Some(id),
            ..Self::without_id(body)
        }
    }

    /// A message of an application that names no id, with default priority and no delay.
    #[must_use]
    pub fn without_id(body: Bytes) -> Self {
        Self {
            id: None,
            body,
            properties: Vec::new(),
            priority: Priority::DEFAULT,
            not_before: None,
            key: None,
        }
    }

    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Bytes> {
        self.properties
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value)
    }

    /// Which published copy of its job this is, from 0.
    #[must_use]
    pub fn copy(&self) -> u32 {
        self.property(COPY_PROPERTY)
            .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
            .unwrap_or(0)
    }

    /// Shows why it is dead, whatever it said of that itself.
    #[must_use]
    pub fn dead_because(mut self, reason: impl Into<Bytes>) -> Self {
        self.properties
            .retain(|(name, _)| name != DEAD_REASON_PROPERTY);
        self.properties
            .push((DEAD_REASON_PROPERTY.to_owned(), reason.into()));
        self
    }

    /// Marks which published copy of its job this is.
    #[must_use]
    pub fn copy_is(mut self, copy: u32) -> Self {
        self.properties.retain(|(name, _)| name != COPY_PROPERTY);
        if copy > 0 {
            self.properties
                .push((COPY_PROPERTY.to_owned(), copy.to_string().into()));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_travels_as_a_property() {
        let id = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        let message = RawMessage::new(id, Bytes::new());
        assert_eq!(message.copy(), 0);
        let third = message.copy_is(2).copy_is(3);
        assert_eq!((third.copy(), third.properties.len()), (3, 1));
    }
}
