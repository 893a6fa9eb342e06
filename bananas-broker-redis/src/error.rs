//! What can go wrong inside, and the one place that decides what callers see of it.

use std::time::Duration;

use bananas_core::{Error as Seen, ErrorKind, JobId, LeaseLimits, OwnerId, QueueName, Status};
use redis::ServerError;

/// Trouble inside this crate.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the queue does not exist; ensure it first")]
    NoQueue(QueueName),
    #[error("owner {0} {1}")]
    Owner(OwnerId, &'static str),
    #[error("job {0} is recorded as running by an owner without a lease; renew the owner first")]
    UnknownOwner(JobId),
    #[error("value of {bytes} bytes exceeds the limit of {limit} bytes")]
    ValueTooLarge { bytes: usize, limit: usize },
    #[error("what the server keeps of job {0} cannot be read")]
    Corrupt(JobId),
    #[error("{0:?} is no place of a check of this store")]
    Place(String),
    #[error("the jobs were changed by others again and again")]
    Contended,
    #[error("the lease was lost before it was extended")]
    LeaseLost,
    #[error("the receipt is not of this broker; settle it where it was reserved")]
    ForeignReceipt,
    #[error("message of {bytes} bytes exceeds the limit of {limit} bytes")]
    TooLarge { bytes: usize, limit: usize },
    #[error("lease of {asked:?} is out of bounds; it lasts from {:?} to {:?}", limits.min, limits.max)]
    Lease {
        asked: Duration,
        limits: LeaseLimits,
    },
    /// Said by the server.
    #[error("{url} answers {code}: {detail}{}", advice(code, detail))]
    Server {
        url: String,
        code: String,
        detail: String,
    },
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
    /// It was applied, but less was heard of it than was asked for.
    #[error(
        "{url} accepted it, but {got} of {wanted} {who} confirmed it within {waited:?}; it may be lost when the server is"
    )]
    Unconfirmed {
        url: String,
        got: i64,
        wanted: u32,
        who: &'static str,
        waited: Duration,
    },
    /// The broker was closed; `sent` says whether the operation was under way.
    #[error("this client of redis was closed; open a new one")]
    Closed { sent: bool },
    #[error("{0} answered something else than was asked for")]
    WrongAnswer(String),
    /// The server cannot be used as it is.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// An error that the server answered with.
    pub(crate) fn server(url: &str, error: &ServerError) -> Self {
        Self::Server {
            url: url.to_owned(),
            code: error.code().to_owned(),
            detail: error.details().unwrap_or_default().to_owned(),
        }
    }

    /// Whether nothing but the connection stands in the way, so that a look may be repeated.
    pub(crate) fn is_of_connection(&self) -> bool {
        matches!(
            self,
            Self::NotSent { .. } | Self::Lost { .. } | Self::Silence { .. }
        ) || (self.kind() == ErrorKind::Unavailable && matches!(self, Self::Server { .. }))
    }

    /// Whether the server does not know the script: it was not run.
    pub(crate) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Server { code, .. } if code == "NOSCRIPT")
    }

    /// Whether another connection may lead to a server that can do it, after a failover.
    pub(crate) fn wants_another_server(&self) -> bool {
        matches!(self, Self::Server { code, .. } if matches!(code.as_str(), "READONLY" | "MASTERDOWN"))
            || matches!(self, Self::WrongAnswer(_))
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NoQueue(_) => ErrorKind::NotFound,
            Self::LeaseLost => ErrorKind::Conflict,
            Self::Owner(..) => ErrorKind::Closed,
            Self::Corrupt(_) => ErrorKind::Internal,
            Self::Contended => ErrorKind::Unavailable,
            Self::Place(_) | Self::ForeignReceipt | Self::Lease { .. } | Self::UnknownOwner(_) => {
                ErrorKind::InvalidArgument
            }
            Self::TooLarge { .. } | Self::ValueTooLarge { .. } => ErrorKind::TooLarge,
            Self::Server { code, detail, .. } => server_kind(code, detail),
            Self::NotSent { kind, .. } => *kind,
            Self::Lost { .. } => ErrorKind::Unreachable,
            Self::Silence { .. } | Self::Unconfirmed { .. } => ErrorKind::Timeout,
            Self::Closed { .. } => ErrorKind::Closed,
            Self::WrongAnswer(_) => ErrorKind::Internal,
            Self::Refused(_) => ErrorKind::Unsupported,
        }
    }

    fn status(&self) -> Status {
        match self {
            Self::Lost { .. } | Self::Silence { .. } | Self::WrongAnswer(_) => Status::MayBeApplied,
            Self::Closed { sent: true } | Self::Contended | Self::Unconfirmed { .. } => {
                Status::MayBeApplied
            }
            Self::NotSent { kind, .. } if *kind == ErrorKind::Auth => Status::Permanent,
            Self::NotSent { .. } => Status::NotApplied,
            Self::Server { detail, .. } if is_of_script(detail) => Status::MayBeApplied,
            // The server refuses these before a script has written anything.
            Self::Server { .. } => match self.kind() {
                ErrorKind::Unavailable | ErrorKind::Full | ErrorKind::Throttled => {
                    Status::NotApplied
                }
                ErrorKind::Auth | ErrorKind::Unsupported => Status::Permanent,
                _ => Status::MayBeApplied,
            },
            _ => Status::Permanent,
        }
    }
}

/// What to do about an error code of the server, behind what it says.
fn advice(code: &str, detail: &str) -> &'static str {
    match code {
        "WRONGPASS" => "; write the right user and password into the URL",
        "NOAUTH" => "; write user and password into the URL, as in redis://user:password@host",
        _ if server_kind(code, detail) == ErrorKind::Auth => {
            "; give the user the rights that the guide lists (docs/guide/redis.md)"
        }
        _ => "",
    }
}

/// Whether the server let a script run, and then forbade something in it.
fn is_of_script(detail: &str) -> bool {
    detail.starts_with("The user executing the script") || detail.contains("ACL failure in script")
}

/// What an error code of the server means.
fn server_kind(code: &str, detail: &str) -> ErrorKind {
    match code {
        "LOADING" | "MASTERDOWN" | "READONLY" | "BUSY" | "CLUSTERDOWN" | "TRYAGAIN" | "MOVED"
        | "ASK" | "NOREPLICAS" | "MISCONF" | "NOSCRIPT" | "UNBLOCKED" => ErrorKind::Unavailable,
        "OOM" => ErrorKind::Full,
        "NOAUTH" | "WRONGPASS" | "NOPERM" => ErrorKind::Auth,
        "CROSSSLOT" => ErrorKind::Unsupported,
        "ERR" if detail.contains("max number of clients") => ErrorKind::Throttled,
        "ERR" if is_of_script(detail) => ErrorKind::Auth,
        "ERR" if detail.contains("invalid password") || detail.contains("AUTH") => ErrorKind::Auth,
        _ => ErrorKind::Internal,
    }
}

impl From<Error> for Seen {
    fn from(error: Error) -> Self {
        let seen = Self::new(error.kind(), error.to_string()).status_is(error.status());
        match error {
            Error::NoQueue(queue) => seen.on(&queue),
            _ => seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(code: &str, detail: &str) -> (ErrorKind, Status) {
        let error = Error::Server {
            url: "redis://h".to_owned(),
            code: code.to_owned(),
            detail: detail.to_owned(),
        };
        let seen = Seen::from(error);
        (seen.kind(), seen.status())
    }

    #[test]
    fn what_the_server_says_becomes_what_the_caller_should_do() {
        use ErrorKind::{Auth, Full, Internal, Throttled, Unavailable, Unsupported};
        for (code, detail, kind, status) in [
            ("READONLY", "", Unavailable, Status::NotApplied),
            ("LOADING", "", Unavailable, Status::NotApplied),
            ("MASTERDOWN", "", Unavailable, Status::NotApplied),
            ("OOM", "", Full, Status::NotApplied),
            ("NOAUTH", "", Auth, Status::Permanent),
            ("WRONGPASS", "", Auth, Status::Permanent),
            ("NOPERM", "", Auth, Status::Permanent),
            (
                "ERR",
                "The user executing the script can't run this command",
                Auth,
                Status::MayBeApplied,
            ),
            (
                "NOPERM",
                "ACL failure in script: no permissions",
                Auth,
                Status::MayBeApplied,
            ),
            ("MOVED", "1 h:2", Unavailable, Status::NotApplied),
            ("CROSSSLOT", "", Unsupported, Status::Permanent),
            (
                "ERR",
                "max number of clients reached",
                Throttled,
                Status::NotApplied,
            ),
            ("ERR", "what?", Internal, Status::MayBeApplied),
        ] {
            assert_eq!(seen(code, detail), (kind, status), "{code} {detail}");
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
        let kind = ErrorKind::Unreachable;
        let unsent = Seen::from(Error::NotSent { url, why, kind });
        assert_eq!(unsent.status(), Status::NotApplied);
    }
}
