//! What can go wrong inside, and the one place that decides what callers see of it.

use std::time::Duration;

use bananas_core::{Error as Seen, ErrorKind, LeaseLimits, QueueName, Status};

/// Trouble inside this crate.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the queue does not exist; ensure it first")]
    NoQueue(QueueName),
    #[error("the lease was lost before it was extended")]
    LeaseLost,
    #[error("the receipt is not of this client of RabbitMQ; settle it where it was reserved")]
    ForeignReceipt,
    #[error("message of {bytes} bytes exceeds the limit of {limit} bytes")]
    TooLarge { bytes: usize, limit: usize },
    #[error("{0}")]
    Properties(String),
    #[error("lease of {asked:?} is out of bounds; it lasts from {:?} to {:?}", limits.min, limits.max)]
    Lease {
        asked: Duration,
        limits: LeaseLimits,
    },
    #[error("a delivery can be held for {total:?} in all, and {asked:?} more are beyond that")]
    LeaseTotal { asked: Duration, total: Duration },
    #[error("delay of {asked:?} exceeds the longest of {max:?}")]
    Delay { asked: Duration, max: Duration },
    /// The queue exists with other settings.
    #[error("the server has it with other settings: {detail}")]
    Conflict { queue: QueueName, detail: String },
    /// The server said no to one message.
    #[error("the server did not take the message")]
    Nacked,
    /// Said by the server, which ended a channel or the connection with it.
    #[error("{url} answers {code}: {text}")]
    Server {
        url: String,
        code: u16,
        text: String,
    },
    /// An alarm is on; nothing was sent.
    #[error("{0} takes no messages now: it is short of memory or disk")]
    Blocked(String),
    /// No connection came about; nothing was sent.
    #[error("no connection to {url}: {why}")]
    NotSent {
        url: String,
        why: String,
        kind: ErrorKind,
    },
    /// It was sent, and the connection ended before an answer came.
    #[error("the connection to {url} ended before the answer: {why}")]
    Lost { url: String, why: String },
    /// It was sent, and no answer came in time.
    #[error("{url} did not answer within {waited:?}")]
    Silence { url: String, waited: Duration },
    /// The broker was closed; `sent` says whether the operation was under way.
    #[error("this client of RabbitMQ was closed; open a new one")]
    Closed { sent: bool },
    /// It cannot be done here.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// What the client library says of an operation that was handed to it.
    pub(crate) fn of(url: &str, error: &lapin::Error) -> Self {
        if let lapin::ErrorKind::ProtocolError(said) = error.kind() {
            return Self::Server {
                url: url.to_owned(),
                code: said.get_id(),
                text: said.get_message().to_string(),
            };
        }
        Self::Lost {
            url: url.to_owned(),
            why: error.to_string(),
        }
    }

    /// The same, of a connection that did not come about.
    pub(crate) fn of_connecting(url: &str, error: &lapin::Error) -> Self {
        let kind = match Self::of(url, error) {
            Self::Server { code, .. } => server_kind(code),
            _ => ErrorKind::Unreachable,
        };
        Self::NotSent {
            url: url.to_owned(),
            why: error.to_string(),
            kind,
        }
    }

    /// Whether time alone does not help, so that there is nothing to wait for.
    pub(crate) fn is_permanent(&self) -> bool {
        self.status() == Status::Permanent
    }

    /// Whether the server says that something does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::NoQueue(_) | Self::Server { code: 404, .. })
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NoQueue(_) => ErrorKind::NotFound,
            Self::LeaseLost | Self::Conflict { .. } => ErrorKind::Conflict,
            Self::ForeignReceipt | Self::Lease { .. } | Self::Properties(_) => {
                ErrorKind::InvalidArgument
            }
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::LeaseTotal { .. } | Self::Delay { .. } | Self::Refused(_) => {
                ErrorKind::Unsupported
            }
            Self::Nacked => ErrorKind::Full,
            Self::Blocked(_) => ErrorKind::Throttled,
            Self::Server { code, .. } => server_kind(*code),
            Self::NotSent { kind, .. } => *kind,
            Self::Lost { .. } => ErrorKind::Unreachable,
            Self::Silence { .. } => ErrorKind::Timeout,
            Self::Closed { .. } => ErrorKind::Closed,
        }
    }

    fn status(&self) -> Status {
        match self {
            Self::Lost { .. } | Self::Silence { .. } => Status::MayBeApplied,
            Self::Closed { sent: true } => Status::MayBeApplied,
            Self::NotSent { kind, .. } if lasts(*kind) => Status::Permanent,
            Self::NotSent { .. } | Self::Blocked(_) | Self::Nacked => Status::NotApplied,
            Self::Server { .. } if lasts(self.kind()) => Status::Permanent,
            Self::Server { .. } => Status::MayBeApplied,
            _ => Status::Permanent,
        }
    }
}

/// Whether trouble of this kind stays until a person does something.
fn lasts(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Auth | ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Unsupported
    )
}

/// What a code of the server means.
fn server_kind(code: u16) -> ErrorKind {
    match code {
        // Access refused; not allowed, which also is a virtual host that one may not use or that is not there.
        403 | 530 => ErrorKind::Auth,
        404 => ErrorKind::NotFound,
        405 | 406 => ErrorKind::Conflict,
        311 => ErrorKind::TooLarge,
        // Shut down by an operator; out of resources.
        320 | 506 => ErrorKind::Unavailable,
        540 => ErrorKind::Unsupported,
        _ => ErrorKind::Internal,
    }
}

impl From<Error> for Seen {
    fn from(error: Error) -> Self {
        let seen = Self::new(error.kind(), error.to_string()).status_is(error.status());
        match error {
            Error::NoQueue(queue) | Error::Conflict { queue, .. } => seen.on(&queue),
            _ => seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_becomes_what_the_caller_should_do() {
        for (code, kind, status) in [
            (403, ErrorKind::Auth, Status::Permanent),
            (530, ErrorKind::Auth, Status::Permanent),
            (404, ErrorKind::NotFound, Status::Permanent),
            (406, ErrorKind::Conflict, Status::Permanent),
            (320, ErrorKind::Unavailable, Status::MayBeApplied),
            (504, ErrorKind::Internal, Status::MayBeApplied),
        ] {
            let (url, text) = (String::new(), String::new());
            let seen = Seen::from(Error::Server { url, code, text });
            assert_eq!((seen.kind(), seen.status()), (kind, status), "{code}");
        }
    }

    #[test]
    fn only_what_was_sent_may_have_been_applied() {
        let (url, why) = (String::new(), String::new());
        let lost = Seen::from(Error::Lost {
            url: url.clone(),
            why: why.clone(),
        });
        assert_eq!(lost.status(), Status::MayBeApplied);
        for (kind, status) in [
            (ErrorKind::Unreachable, Status::NotApplied),
            (ErrorKind::Auth, Status::Permanent),
        ] {
            let (url, why) = (url.clone(), why.clone());
            let unsent = Seen::from(Error::NotSent { url, why, kind });
            assert_eq!(unsent.status(), status);
        }
        let blocked = Seen::from(Error::Blocked(url));
        assert_eq!(blocked.status(), Status::NotApplied);
    }
}
