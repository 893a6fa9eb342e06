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
    #[error("the receipt is not of this broker; settle it where it was reserved")]
    ForeignReceipt,
    #[error("message of {bytes} bytes exceeds the limit of {limit} bytes")]
    TooLarge { bytes: usize, limit: usize },
    #[error("properties make a message of {bytes} bytes; with them it may have {limit}")]
    Properties { bytes: usize, limit: usize },
    #[error("lease of {asked:?} is out of bounds; it lasts from {:?} to {:?}", limits.min, limits.max)]
    Lease {
        asked: Duration,
        limits: LeaseLimits,
    },
    #[error("a delay of {asked:?} is more than the {most:?} that this server can wait")]
    Delay { asked: Duration, most: Duration },
    #[error("the queue exists with {setting} {found} instead of {wanted}")]
    Conflict {
        queue: QueueName,
        setting: &'static str,
        found: String,
        wanted: String,
    },
    #[error("the names of queue and namespace are too long together: {bytes} of 255 bytes")]
    Name { bytes: usize },
    /// Said by JetStream.
    #[error("{url} answers {code}: {detail}")]
    Server {
        url: String,
        code: u64,
        detail: String,
    },
    /// Nobody answers on the subject.
    #[error("JetStream does not answer at {0}; is it on, and for this account?")]
    NoResponders(String),
    /// No connection came about; nothing was sent.
    #[error("no connection to {url}: {why}")]
    NotSent {
        url: String,
        why: String,
        kind: ErrorKind,
    },
    /// It was sent, and the connection ended before an answer came.
    #[error("the connection to {0} ended before the answer")]
    Lost(String),
    /// It was sent, and no answer came in time.
    #[error("{url} did not answer within {waited:?}{hint}")]
    Silence {
        url: String,
        waited: Duration,
        /// What the server said meanwhile, if anything.
        hint: String,
    },
    /// The broker was closed; `sent` says whether the operation was under way.
    #[error("this client of nats was closed; open a new one")]
    Closed { sent: bool },
    #[error("{0} answered something else than was asked for")]
    WrongAnswer(String),
    /// The server cannot be used as it is.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// Whether nothing but the connection stands in the way, so that a look may be repeated.
    pub(crate) fn is_of_connection(&self) -> bool {
        matches!(
            self,
            Self::NotSent { .. } | Self::Lost(_) | Self::Silence { .. }
        )
    }

    /// Whether JetStream says that the thing does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Server { code, .. } if matches!(code, 10_014 | 10_037 | 10_059))
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NoQueue(_) => ErrorKind::NotFound,
            Self::LeaseLost | Self::Conflict { .. } => ErrorKind::Conflict,
            Self::ForeignReceipt
            | Self::Lease { .. }
            | Self::Properties { .. }
            | Self::Name { .. } => ErrorKind::InvalidArgument,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Delay { .. } | Self::Refused(_) => ErrorKind::Unsupported,
            Self::Server { code, .. } => server_kind(*code),
            Self::NoResponders(_) => ErrorKind::Unavailable,
            Self::NotSent { kind, .. } => *kind,
            Self::Lost(_) => ErrorKind::Unreachable,
            Self::Silence { .. } => ErrorKind::Timeout,
            Self::Closed { .. } => ErrorKind::Closed,
            Self::WrongAnswer(_) => ErrorKind::Internal,
        }
    }

    fn status(&self) -> Status {
        match self {
            Self::Lost(_) | Self::Silence { .. } | Self::WrongAnswer(_) => Status::MayBeApplied,
            Self::Closed { sent: true } => Status::MayBeApplied,
            Self::NotSent { kind, .. } if *kind == ErrorKind::Auth => Status::Permanent,
            Self::NotSent { .. } | Self::NoResponders(_) => Status::NotApplied,
            Self::Server { .. } => match self.kind() {
                ErrorKind::Unavailable | ErrorKind::Full => Status::NotApplied,
                ErrorKind::Internal => Status::MayBeApplied,
                _ => Status::Permanent,
            },
            _ => Status::Permanent,
        }
    }
}

/// What an error code of JetStream means.
fn server_kind(code: u64) -> ErrorKind {
    match code {
        // Memory, storage or the account's share of it is used up; a bound of the stream is reached.
        10_023 | 10_028 | 10_047 | 10_077 | 10_110 => ErrorKind::Full,
        // No leader, starting, offline, not on for this account.
        10_008 | 10_009 | 10_039 | 10_073 | 10_074 | 10_076 | 10_118 => ErrorKind::Unavailable,
        10_014 | 10_037 | 10_059 => ErrorKind::NotFound,
        10_012 | 10_058 | 10_065 | 10_105 | 10_148 => ErrorKind::Conflict,
        10_054 => ErrorKind::TooLarge,
        10_002 | 10_026 | 10_027 | 10_052 => ErrorKind::Unsupported,
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
    fn what_jetstream_says_becomes_what_the_caller_should_do() {
        for (code, kind, status) in [
            (10_047, ErrorKind::Full, Status::NotApplied),
            (10_008, ErrorKind::Unavailable, Status::NotApplied),
            (10_059, ErrorKind::NotFound, Status::Permanent),
            (10_058, ErrorKind::Conflict, Status::Permanent),
            (1, ErrorKind::Internal, Status::MayBeApplied),
        ] {
            let url = "nats://h".to_owned();
            let detail = "words".to_owned();
            let seen = Seen::from(Error::Server { url, code, detail });
            assert_eq!((seen.kind(), seen.status()), (kind, status), "{code}");
        }
    }

    #[test]
    fn only_what_was_sent_is_doubtful() {
        let url = || "nats://h".to_owned();
        let status = |error: Error| Seen::from(error).status();
        assert_eq!(status(Error::Lost(url())), Status::MayBeApplied);
        assert_eq!(status(Error::Closed { sent: true }), Status::MayBeApplied);
        assert_eq!(status(Error::Closed { sent: false }), Status::Permanent);
        assert_eq!(status(Error::NoResponders(url())), Status::NotApplied);
        let not_sent = |kind| Error::NotSent {
            url: url(),
            why: String::new(),
            kind,
        };
        assert_eq!(status(not_sent(ErrorKind::Unreachable)), Status::NotApplied);
        assert_eq!(status(not_sent(ErrorKind::Auth)), Status::Permanent);
    }
}
