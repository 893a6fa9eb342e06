//! Bodies on their way into the store and out of it.

use std::collections::HashMap;

use bytes::Bytes;

use super::Shared;
use super::reference::{blob_of, check, reference, whole};
use crate::{Blob, BlobId, BlobStore, Error, ErrorKind, JobId, RawMessage, Result, Status};

/// A message on its way to the broker: as it is, or as a reference to a blob that has to be put first.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) message: RawMessage,
    blob: Option<Blob>,
}

impl Outgoing {
    pub(super) fn blob(&self) -> Option<BlobId> {
        self.blob.as_ref().map(|blob| blob.id)
    }
}

/// What became of a message that a reference stands for.
#[derive(Debug)]
pub(super) enum Found {
    /// It is the message itself, or its body was found.
    Whole(RawMessage),
    /// Its body is nowhere any more.
    Lost(RawMessage),
}

impl Shared {
    /// Where bodies are kept. It was there when the wrapper was made.
    fn blobs(&self) -> Result<&dyn BlobStore> {
        let none = || Error::new(ErrorKind::Unsupported, "the store keeps no large bodies");
        self.store.blobs().ok_or_else(none)
    }

    /// Refuses what cannot be sent, and splits what is too large for the broker.
    pub(super) fn outgoing(&self, message: RawMessage) -> Result<Outgoing> {
        check(&message)?;
        let bytes = message.body.len();
        let limit = self.info.capabilities.max_message;
        if bytes > limit {
            let text = format!("a body of {bytes} bytes exceeds the limit of {limit} bytes");
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        if bytes <= self.threshold {
            return Ok(Outgoing {
                message,
                blob: None,
            });
        }
        let id = self.env.blob_id(message.id);
        let blob = Blob {
            id,
            body: message.body.clone(),
        };
        Ok(Outgoing {
            message: reference(&message, id),
            blob: Some(blob),
        })
    }

    /// Puts the bodies of those that have one to be put; a refusal takes the place of its message.
    pub(super) async fn put(&self, batch: &mut [Result<Outgoing>]) {
        let mut blobs = Vec::new();
        let mut places = Vec::new();
        for (place, outgoing) in batch.iter_mut().enumerate() {
            if let Ok(Outgoing {
                blob: Some(blob), ..
            }) = outgoing
            {
                blobs.push(blob.clone());
                places.push(place);
            }
        }
        if blobs.is_empty() {
            return;
        }
        let mut answers = match self.blobs() {
            Ok(store) => store.put(blobs).await.into_iter(),
            Err(e) => vec![Err(e)].into_iter(),
        };
        for place in places {
            let answer = answers.next().unwrap_or_else(|| Err(short_put()));
            if let Err(e) = answer {
                batch[place] = Err(not_sent(e));
            }
        }
    }

    /// Forgets bodies that nobody needs any more. What cannot be forgotten now is swept later.
    pub(super) async fn forget(&self, blobs: Vec<BlobId>) {
        if blobs.is_empty() {
            return;
        }
        let deleted = match self.blobs() {
            Ok(store) => store.delete(&blobs).await,
            Err(e) => Err(e),
        };
        if let Err(e) = deleted {
            tracing::warn!(error = %e, "bodies that are needed no more could not be deleted; they are swept later");
        }
    }

    /// The messages that these stand for, in order; what could not be asked is an error.
    pub(super) async fn find(&self, messages: Vec<RawMessage>) -> Vec<Result<Found>> {
        let ids: Vec<BlobId> = messages.iter().filter_map(blob_of).collect();
        if ids.is_empty() {
            let whole = |message| Ok(Found::Whole(message));
            return messages.into_iter().map(whole).collect();
        }
        let mut bodies = match self.blobs() {
            Ok(store) => store.get(&ids).await.into_iter(),
            Err(e) => vec![Err(e)].into_iter(),
        };
        let mut found: Vec<Result<Found>> = Vec::with_capacity(messages.len());
        for message in messages {
            let body = match blob_of(&message) {
                None => {
                    found.push(Ok(Found::Whole(message)));
                    continue;
                }
                Some(_) => bodies.next().unwrap_or_else(|| Err(short_put())),
            };
            found.push(body.map(|body| match body {
                Some(body) => Found::Whole(whole(message, body)),
                None => Found::Lost(message),
            }));
        }
        self.find_records(&mut found).await;
        found
    }

    /// What has no blob any more may have a record that holds the same body: that of a job that has ended, whose
    /// message came once more.
    async fn find_records(&self, found: &mut [Result<Found>]) {
        let job = |found: &Result<Found>| match found {
            Ok(Found::Lost(message)) => job_of(message),
            _ => None,
        };
        let jobs: Vec<JobId> = found.iter().filter_map(job).collect();
        if jobs.is_empty() {
            return;
        }
        let records = match self.store.index().get(&jobs).await {
            Ok(records) => records,
            Err(e) => {
                for lost in found.iter_mut().filter(|found| job(found).is_some()) {
                    *lost = Err(e.repeat());
                }
                return;
            }
        };
        let bodies: HashMap<JobId, Bytes> = jobs
            .into_iter()
            .zip(records)
            .filter_map(|(job, record)| Some((job, record?.body)))
            .collect();
        for place in found.iter_mut() {
            let body = job(place).and_then(|job| bodies.get(&job).cloned());
            if let (Some(body), Ok(Found::Lost(message))) = (body, &*place) {
                *place = Ok(Found::Whole(whole(message.clone(), body)));
            }
        }
    }
}

/// The job of a reference.
fn job_of(message: &RawMessage) -> Option<JobId> {
    message
        .id
        .or_else(|| blob_of(message).and_then(|blob| blob.job()))
}

/// Whatever became of the blob, the message was not sent.
fn not_sent(e: Error) -> Error {
    if e.status() != Status::MayBeApplied {
        return e;
    }
    e.status_is(Status::NotApplied)
}

/// A store that answers fewer items than it was asked breaks its contract.
fn short_put() -> Error {
    let text = "the store did not answer each item of the batch";
    Error::new(ErrorKind::Internal, text)
}
