//! One request with up to ten items, and the answer to each of them.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry,
    DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry,
};

use crate::error::Error;
use crate::gather::{Answer, Lane};
use crate::requests::Operation;
use crate::shared::Shared;

/// One item of a request.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// Sends a message.
    Send(Outgoing),
    /// Deletes a delivery for good.
    Delete { handle: String },
    /// Hides a delivery for so long from now.
    Hide { handle: String, seconds: i32 },
}

/// A message on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) body: String,
    /// What it is in order with, or spread fairly by.
    pub(crate) group: Option<String>,
    /// A name of its own for this sending; FIFO queues want one.
    pub(crate) sending: Option<String>,
    pub(crate) delay: i32,
}

impl Entry {
    /// About how many bytes of a request it is.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Send(outgoing) => outgoing.body.len(),
            Self::Delete { handle } | Self::Hide { handle, .. } => handle.len(),
        }
    }
}

/// Makes the request; one answer for each entry, in their order.
pub(crate) async fn request(shared: &Shared, lane: &Lane, entries: &[Entry]) -> Vec<Answer> {
    let made = make(shared, lane, entries).await;
    let made = made.map_err(|error| shared.told(&lane.queue, lane.place, error));
    let (done, failed) = match made {
        Ok(made) => made,
        Err(error) => return vec![Err(error); entries.len()],
    };
    let mut answers: Vec<Answer> = vec![Err(shared.wire.wrong_answer()); entries.len()];
    let place = |id: &str| id.parse::<usize>().ok();
    for id in done {
        if let Some(answer) = place(&id).and_then(|place| answers.get_mut(place)) {
            *answer = Ok(());
        }
    }
    for failed in failed {
        if let Some(answer) = place(failed.id()).and_then(|place| answers.get_mut(place)) {
            *answer = Err(Error::Entry {
                code: failed.code().to_owned(),
                detail: failed.message().unwrap_or_default().to_owned(),
                ours: failed.sender_fault(),
            });
        }
    }
    answers
}

/// The ids of the items that succeeded, and the others.
type Made = (Vec<String>, Vec<BatchResultErrorEntry>);

async fn make(shared: &Shared, lane: &Lane, entries: &[Entry]) -> Result<Made, Error> {
    let url = shared.url(&lane.queue, lane.place).await;
    // Nothing was sent when not even the queue was found.
    let url = url.map_err(Error::before_sending)?;
    let bytes = entries.iter().map(Entry::bytes).sum();
    let numbered = entries.iter().enumerate();
    match lane.operation {
        Operation::Delete => {
            let entries = built(numbered, deletion);
            let make = |client: Client| {
                let request = client.delete_message_batch().queue_url(&url);
                Box::pin(request.set_entries(entries.clone()).send())
            };
            let answer = shared.wire.repeat(lane.operation, bytes, make).await?;
            let done = answer.successful.into_iter().map(|done| done.id);
            Ok((done.collect(), answer.failed))
        }
        Operation::ChangeVisibility => {
            let entries = built(numbered, hiding);
            let make = |client: Client| {
                let request = client.change_message_visibility_batch().queue_url(&url);
                Box::pin(request.set_entries(entries.clone()).send())
            };
            let answer = shared.wire.repeat(lane.operation, bytes, make).await?;
            let done = answer.successful.into_iter().map(|done| done.id);
            Ok((done.collect(), answer.failed))
        }
        Operation::Send | Operation::Receive | Operation::Other => {
            let request = shared.wire.client().send_message_batch().queue_url(url);
            let request = request.set_entries(built(numbered, sending));
            let call = shared
                .wire
                .call(Operation::Send, bytes, Box::pin(request.send()));
            let answer = call.await?;
            let done = answer.successful.into_iter().map(|done| done.id);
            Ok((done.collect(), answer.failed))
        }
    }
}

fn built<'a, T>(
    entries: impl Iterator<Item = (usize, &'a Entry)>,
    build: impl Fn(String, &Entry) -> Option<T>,
) -> Option<Vec<T>> {
    let built = entries.filter_map(|(place, entry)| build(place.to_string(), entry));
    Some(built.collect())
}

fn sending(id: String, entry: &Entry) -> Option<SendMessageBatchRequestEntry> {
    let Entry::Send(outgoing) = entry else {
        return None;
    };
    SendMessageBatchRequestEntry::builder()
        .id(id)
        .message_body(&outgoing.body)
        .set_message_group_id(outgoing.group.clone())
        .set_message_deduplication_id(outgoing.sending.clone())
        // A FIFO queue takes no delay, not even none.
        .set_delay_seconds(outgoing.sending.is_none().then_some(outgoing.delay))
        .build()
        .ok()
}

fn deletion(id: String, entry: &Entry) -> Option<DeleteMessageBatchRequestEntry> {
    let Entry::Delete { handle } = entry else {
        return None;
    };
    let built = DeleteMessageBatchRequestEntry::builder()
        .id(id)
        .receipt_handle(handle);
    built.build().ok()
}

fn hiding(id: String, entry: &Entry) -> Option<ChangeMessageVisibilityBatchRequestEntry> {
    let Entry::Hide { handle, seconds } = entry else {
        return None;
    };
    let built = ChangeMessageVisibilityBatchRequestEntry::builder()
        .id(id)
        .receipt_handle(handle)
        .visibility_timeout(*seconds);
    built.build().ok()
}
