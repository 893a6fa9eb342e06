//! What can go wrong in memory, and the one place where that becomes the error callers see.

use std::time::Duration;

use bananas_core::{Error as Seen, ErrorKind, JobId, LeaseLimits, OwnerId, QueueName};

/// Why a call was refused.
#[derive(Clone, Debug)]
pub(crate) enum Error {
    /// The broker, the store, or what was opened on it, was closed.
    Closed,
    /// The owner never enlisted, or its lease is over.
    NoLease(OwnerId),
    /// A job was recorded as running by an owner that never enlisted.
    UnknownOwner(JobId),
    /// The queue was never ensured, or was deleted.
    NoQueue(QueueName),
    /// A body or a result is larger than the limit.
    TooLarge { bytes: usize, limit: usize },
    /// A lease is outside the limits.
    Lease {
        asked: Duration,
        limits: LeaseLimits,
    },
    /// A receipt that this broker did not give.
    ForeignReceipt,
    /// The delivery belongs to somebody else by now, or to nobody.
    LeaseLost,
    /// Jobs are still open at the deadline of a drain.
    StillOpen {
        jobs: u64,
        messages: usize,
        deadline: Duration,
        some: Vec<String>,
    },
}

impl From<Error> for Seen {
    fn from(error: Error) -> Self {
        let seen = |kind, text: String| Self::new(kind, text);
        match error {
            Error::Closed => seen(
                ErrorKind::Closed,
                "this connection to the memory engine was closed; open a new one".to_owned(),
            ),
            Error::NoLease(owner) => seen(
                ErrorKind::Closed,
                format!("owner {owner} has no valid lease; start again as a new owner"),
            ),
            Error::UnknownOwner(job) => seen(
                ErrorKind::InvalidArgument,
                format!(
                    "job {job} is recorded as running by an owner without a lease; renew the owner first"
                ),
            ),
            Error::NoQueue(queue) => seen(
                ErrorKind::NotFound,
                "the queue does not exist; ensure it first".to_owned(),
            )
            .on(&queue),
            Error::TooLarge { bytes, limit } => seen(
                ErrorKind::TooLarge,
                format!("{bytes} bytes exceed the limit of {limit} bytes"),
            ),
            Error::Lease { asked, limits } => seen(
                ErrorKind::InvalidArgument,
                format!(
                    "a lease of {asked:?} is outside the limits {:?} to {:?}",
                    limits.min, limits.max
                ),
            ),
            Error::ForeignReceipt => seen(
                ErrorKind::InvalidArgument,
                "the receipt was not given by this broker".to_owned(),
            ),
            Error::LeaseLost => seen(
                ErrorKind::Conflict,
                "the lease was lost or the delivery settled; the message may be with somebody else"
                    .to_owned(),
            ),
            Error::StillOpen {
                jobs,
                messages,
                deadline,
                some,
            } => seen(
                ErrorKind::Timeout,
                format!(
                    "{jobs} jobs and {messages} messages are still open after {deadline:?}: {}",
                    some.join(", ")
                ),
            )
            .during("drain"),
        }
    }
}
