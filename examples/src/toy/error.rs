//! What can go wrong, and the one place where that becomes the error callers see.

use std::time::Duration;

use bananas_core::{Error as Seen, ErrorKind, LeaseLimits, QueueName, Status};
use serde::{Deserialize, Serialize};

/// Why an operation failed: said by the server, or found by the client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Error {
    /// The queue was never ensured, or was deleted.
    NoQueue(QueueName),
    /// The delivery belongs to somebody else by now, or to nobody.
    LeaseLost,
    /// The message of the delivery is gone: it was settled before.
    Already,
    /// A receipt that this server did not give.
    ForeignReceipt,
    /// A body or a request is larger than the limit.
    #[serde(skip)]
    TooLarge {
        what: String,
        bytes: usize,
        limit: usize,
    },
    /// A lease is outside the limits.
    #[serde(skip)]
    Lease {
        asked: Duration,
        limits: LeaseLimits,
    },
    /// The deadline passed before there was a connection to send it on.
    #[serde(skip)]
    NotSent { url: String, why: String },
    /// It was sent, and the connection ended before an answer came.
    #[serde(skip)]
    Lost { url: String, why: String },
    /// It was sent, and no answer came in time.
    #[serde(skip)]
    Silence { url: String, waited: Duration },
    /// The broker or the consumer was closed; `sent` says whether the operation was under way.
    #[serde(skip)]
    Closed { sent: bool },
    /// An answer that does not belong to the request.
    #[serde(skip)]
    WrongAnswer,
}

impl Error {
    /// Whether the same poll may be sent again: nothing but the connection stands in its way.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(
            self,
            Self::NotSent { .. } | Self::Lost { .. } | Self::Silence { .. }
        )
    }
}

impl From<Error> for Seen {
    fn from(error: Error) -> Self {
        let seen = |kind, text: String| Self::new(kind, text);
        match error {
            Error::NoQueue(queue) => {
                let text = "the queue does not exist; ensure it first".to_owned();
                seen(ErrorKind::NotFound, text).on(&queue)
            }
            Error::LeaseLost | Error::Already => {
                seen(ErrorKind::Conflict, "the lease was lost".to_owned())
            }
            Error::ForeignReceipt => seen(
                ErrorKind::InvalidArgument,
                "the receipt was not given by this toy server".to_owned(),
            ),
            Error::TooLarge { what, bytes, limit } => seen(
                ErrorKind::TooLarge,
                format!("{what} of {bytes} bytes exceeds the limit of {limit} bytes"),
            ),
            Error::Lease { asked, limits } => seen(
                ErrorKind::InvalidArgument,
                format!(
                    "a lease of {asked:?} is outside the limits of {:?} to {:?}",
                    limits.min, limits.max
                ),
            ),
            Error::NotSent { url, why } => seen(
                ErrorKind::Unreachable,
                format!("no connection to {url}: {why}"),
            ),
            Error::Lost { url, why } => seen(
                ErrorKind::Unreachable,
                format!("the connection to {url} ended before the answer: {why}"),
            )
            .status_is(Status::MayBeApplied),
            Error::Silence { url, waited } => seen(
                ErrorKind::Timeout,
                format!("{url} did not answer within {waited:?}"),
            ),
            Error::Closed { sent } => {
                let text = "this client of the toy server was closed; open a new one".to_owned();
                let status = if sent {
                    Status::MayBeApplied
                } else {
                    Status::Permanent
                };
                seen(ErrorKind::Closed, text).status_is(status)
            }
            Error::WrongAnswer => seen(
                ErrorKind::Internal,
                "the toy server gave the answer to another question".to_owned(),
            ),
        }
    }
}
