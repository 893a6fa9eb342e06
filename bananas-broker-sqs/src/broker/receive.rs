//! One request for messages, and what it brings.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use bananas_core::{Delivery, DeliveryCount, Lease, QueueName, RawMessage, Receipt, Tick};
use bytes::Bytes;

use crate::envelope;
use crate::error::Error;
use crate::held::{Credit, Held};
use crate::names::Place;
use crate::requests::Operation;
use crate::shared::{Shared, seconds};

/// A message that the server handed out.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) handle: String,
    pub(super) message: RawMessage,
    count: DeliveryCount,
}

/// Asks for messages, which are hidden from others for a time; the server waits for them if there are none.
pub(super) async fn receive(
    shared: &Shared,
    queue: &QueueName,
    messages: usize,
    (wait, hide): (Duration, Duration),
) -> Result<Vec<Taken>, Error> {
    receive_from(shared, (queue, Place::Live), messages, (wait, hide)).await
}

/// The same, of either of the two queues.
pub(super) async fn receive_from(
    shared: &Shared,
    (queue, place): (&QueueName, Place),
    messages: usize,
    (wait, hide): (Duration, Duration),
) -> Result<Vec<Taken>, Error> {
    let url = shared.url(queue, place).await?;
    let request = shared
        .wire
        .client()
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(i32::try_from(messages).unwrap_or(i32::MAX))
        .wait_time_seconds(seconds(wait))
        .visibility_timeout(seconds(hide))
        .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
        .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
        .message_attribute_names("All");
    let receive = Operation::Receive;
    let answer = shared
        .wire
        .wait(receive, 0, wait, Box::pin(request.send()))
        .await;
    let answer = answer.map_err(|error| shared.told(queue, place, error))?;
    let messages = answer.messages.unwrap_or_default();
    let bytes = messages
        .iter()
        .filter_map(Message::body)
        .map(str::len)
        .sum();
    shared.wire.meter.answered(bytes);
    Ok(messages.into_iter().filter_map(read).collect())
}

/// Reads a message; without a receipt it cannot be settled and comes again.
fn read(message: Message) -> Option<Taken> {
    let count = attribute(
        &message,
        &MessageSystemAttributeName::ApproximateReceiveCount,
    );
    let count = count.and_then(|count| count.parse().ok());
    let mut raw = envelope::decode(message.body().unwrap_or_default());
    if raw.id.is_none() {
        foreign(&message, &mut raw);
    }
    Some(Taken {
        handle: message.receipt_handle?,
        message: raw,
        count: count.map_or(DeliveryCount::Unknown, DeliveryCount::AtLeast),
    })
}

fn attribute<'a>(message: &'a Message, name: &MessageSystemAttributeName) -> Option<&'a String> {
    message.attributes.as_ref()?.get(name)
}

/// What the message of another program says beside its body.
fn foreign(message: &Message, raw: &mut RawMessage) {
    if raw.key.is_none() {
        raw.key = attribute(message, &MessageSystemAttributeName::MessageGroupId).cloned();
    }
    let attributes = message.message_attributes.iter().flatten();
    for (name, value) in attributes {
        let bytes = match (&value.binary_value, &value.string_value) {
            (Some(binary), _) => Bytes::copy_from_slice(binary.as_ref()),
            (None, text) => Bytes::from(text.clone().unwrap_or_default()),
        };
        raw.properties.push((name.clone(), bytes));
    }
}

impl Taken {
    /// What is noted of it as long as it is out.
    pub(super) fn held(
        &self,
        queue: &QueueName,
        (until, hard_limit): (Tick, Tick),
        owner: &Arc<Credit>,
    ) -> Held {
        Held {
            queue: queue.clone(),
            handle: self.handle.clone(),
            message: self.message.clone(),
            until,
            hard_limit,
            replaced: false,
            owner: Arc::clone(owner),
        }
    }

    pub(super) fn delivery(
        self,
        queue: &QueueName,
        receipt: Receipt,
        (until, hard_limit): (Tick, Tick),
    ) -> Delivery {
        let lease = Lease {
            until,
            hard_limit: Some(hard_limit),
        };
        Delivery::new(queue.clone(), self.message, receipt, lease).counted(self.count)
    }
}
