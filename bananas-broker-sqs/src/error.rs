//! What can go wrong inside, and the one place that decides what callers see of it.

use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use bananas_core::{Error as Seen, ErrorKind, QueueName, Status};

/// Trouble inside this crate.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the queue does not exist; ensure it first")]
    NoQueue(QueueName),
    #[error("the lease was lost before it was extended")]
    LeaseLost,
    #[error("the receipt is not of this client; settle it where it was reserved")]
    ForeignReceipt,
    #[error("message of {bytes} bytes exceeds the limit of {limit} bytes")]
    TooLarge { bytes: usize, limit: usize },
    #[error(
        "properties and key of a message make it {bytes} bytes, more than the {limit} of a request"
    )]
    Properties { bytes: usize, limit: usize },
    #[error("lease of {asked:?} is out of bounds; it lasts from {min:?} to {max:?}")]
    Lease {
        asked: Duration,
        min: Duration,
        max: Duration,
    },
    #[error(
        "lease of {asked:?} from now is more than the {limit:?} that SQS gives a delivery in all"
    )]
    TotalLease { asked: Duration, limit: Duration },
    #[error("delay of {asked:?} exceeds the {limit:?} of SQS")]
    Delay { asked: Duration, limit: Duration },
    #[error("FIFO queues have no delays, and {asked:?} were asked for")]
    NoDelay { asked: Duration },
    #[error("SQS cannot show {0} messages")]
    NotShown(&'static str),
    #[error("the name has {chars} characters on the server, which takes {limit}")]
    LongName {
        queue: QueueName,
        chars: usize,
        limit: usize,
    },
    #[error("the queue exists with {setting} = {found}, and {wanted} is needed")]
    Setting {
        queue: QueueName,
        setting: &'static str,
        found: String,
        wanted: String,
    },
    /// Said by the server.
    #[error("{url} answers {code}: {detail}")]
    Server {
        url: String,
        code: String,
        detail: String,
        http: u16,
    },
    /// One message of a request was refused, and the others were not.
    #[error("SQS refuses this message: {code}: {detail}")]
    Entry {
        code: String,
        detail: String,
        ours: bool,
    },
    /// Nothing was sent.
    #[error("no connection to {url}: {why}")]
    NotSent { url: String, why: String },
    /// Nothing was sent for want of keys.
    #[error("no keys for {url}: {why}")]
    NoKeys { url: String, why: String },
    /// It was sent, and the connection ended before an answer came.
    #[error("the connection to {url} ended before the answer: {why}")]
    Lost { url: String, why: String },
    /// It was sent, and no answer came in time.
    #[error("{url} did not answer within {waited:?}")]
    Silence { url: String, waited: Duration },
    /// The broker was closed; `sent` says whether the operation was under way.
    #[error("this client of SQS was closed; open a new one")]
    Closed { sent: bool },
    #[error("{0} answered something else than was asked for")]
    WrongAnswer(String),
}

impl Error {
    /// What became of a request, by the client library.
    pub(crate) fn of<E>(url: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let url = url.to_owned();
        let why = chain(error);
        match error {
            SdkError::ConstructionFailure(_) => Self::NotSent { url, why },
            SdkError::DispatchFailure(failure) => {
                let connector = failure.as_connector_error();
                let never_sent = connector.is_some_and(|error| is_of_connecting(error));
                if never_sent {
                    Self::NotSent { url, why }
                } else if failure.is_other() && why.contains("redential") {
                    // The library has no kind of its own for this.
                    Self::NoKeys { url, why }
                } else {
                    Self::Lost { url, why }
                }
            }
            SdkError::ServiceError(answer) => Self::Server {
                url,
                code: answer.err().code().unwrap_or("an error").to_owned(),
                detail: answer.err().message().unwrap_or_default().to_owned(),
                http: answer.raw().status().as_u16(),
            },
            SdkError::ResponseError(_) => Self::WrongAnswer(url),
            // There are more kinds than these; of none is it known that nothing was sent.
            _ => Self::Lost { url, why },
        }
    }

    /// Whether the queue on the server is gone.
    pub(crate) fn is_no_queue(&self) -> bool {
        matches!(self, Self::NoQueue(_))
            || matches!(self, Self::Server { code, .. } if code.contains("QueueDoesNotExist") || code.contains("NonExistentQueue"))
    }

    /// Whether the server says that the receipt is not worth anything any more.
    pub(crate) fn is_stale_receipt(&self) -> bool {
        let (Self::Server { code, detail, .. } | Self::Entry { code, detail, .. }) = self else {
            return matches!(self, Self::LeaseLost);
        };
        code.contains("ReceiptHandleIsInvalid")
            || code.contains("MessageNotInflight")
            || (code.contains("InvalidParameterValue") && detail.contains("expired"))
    }

    /// Whether it may pass, so that a look may be repeated.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::NotSent { .. } | Self::Lost { .. } | Self::Silence { .. } => true,
            Self::Server { .. } => matches!(
                self.kind(),
                ErrorKind::Unavailable | ErrorKind::Throttled | ErrorKind::Full
            ),
            _ => false,
        }
    }

    /// The same trouble with a request that only prepares another, which was not sent for it.
    pub(crate) fn before_sending(self) -> Self {
        match self {
            Self::Lost { url, why } => Self::NotSent { url, why },
            Self::Silence { url, waited } => Self::NotSent {
                why: format!("no answer within {waited:?}"),
                url,
            },
            Self::WrongAnswer(url) => Self::NotSent {
                url,
                why: "it answers in another language".to_owned(),
            },
            other => other,
        }
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NoQueue(_) => ErrorKind::NotFound,
            Self::LeaseLost | Self::Setting { .. } => ErrorKind::Conflict,
            Self::ForeignReceipt
            | Self::Lease { .. }
            | Self::LongName { .. }
            | Self::Properties { .. } => ErrorKind::InvalidArgument,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::TotalLease { .. }
            | Self::Delay { .. }
            | Self::NoDelay { .. }
            | Self::NotShown(_) => ErrorKind::Unsupported,
            Self::Server { code, http, .. } => server_kind(code, *http),
            Self::Entry { code, ours, .. } => entry_kind(code, *ours),
            Self::NotSent { .. } | Self::Lost { .. } => ErrorKind::Unreachable,
            Self::NoKeys { .. } => ErrorKind::Auth,
            Self::Silence { .. } => ErrorKind::Timeout,
            Self::Closed { .. } => ErrorKind::Closed,
            Self::WrongAnswer(_) => ErrorKind::Internal,
        }
    }

    fn status(&self) -> Status {
        match self {
            Self::Lost { .. } | Self::Silence { .. } | Self::WrongAnswer(_) => Status::MayBeApplied,
            Self::Closed { sent: true } => Status::MayBeApplied,
            Self::NotSent { .. } => Status::NotApplied,
            // Whoever breaks inside may have done it before.
            Self::Server { http, .. } if *http >= 500 && self.kind() != ErrorKind::Throttled => {
                Status::MayBeApplied
            }
            Self::Server { .. } | Self::Entry { .. } => match self.kind() {
                ErrorKind::Unavailable | ErrorKind::Full | ErrorKind::Throttled => {
                    Status::NotApplied
                }
                _ => Status::Permanent,
            },
            _ => Status::Permanent,
        }
    }

    /// How long the server wants to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        let Self::Server { code, .. } = self else {
            return None;
        };
        let minute = code.contains("PurgeQueueInProgress") || code.contains("QueueDeletedRecently");
        minute.then_some(Duration::from_mins(1))
    }
}

/// Whether no connection came about, so that nothing can have been sent.
fn is_of_connecting(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let hyper = error.downcast_ref::<hyper_util::client::legacy::Error>();
        if hyper.is_some_and(hyper_util::client::legacy::Error::is_connect) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The texts of an error and of its causes, none of them twice.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// What an error code of the server means.
fn server_kind(code: &str, http: u16) -> ErrorKind {
    let is_one_of = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
    if is_one_of(&["QueueDoesNotExist", "NonExistentQueue"]) {
        ErrorKind::NotFound
    } else if is_one_of(&[
        "Throttl",
        "OverLimit",
        "PurgeQueueInProgress",
        "TooManyRequests",
    ]) {
        ErrorKind::Throttled
    } else if is_one_of(&[
        "AccessDenied",
        "InvalidSecurity",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "OptInRequired",
        "NotAuthorized",
    ]) {
        ErrorKind::Auth
    } else if is_one_of(&[
        "QueueNameExists",
        "QueueAlreadyExists",
        "ReceiptHandleIsInvalid",
    ]) {
        ErrorKind::Conflict
    } else if http >= 500 || is_one_of(&["ServiceUnavailable", "QueueDeletedRecently"]) {
        ErrorKind::Unavailable
    } else if is_one_of(&["BatchRequestTooLong"]) {
        ErrorKind::TooLarge
    } else if is_one_of(&["UnsupportedOperation"]) {
        ErrorKind::Unsupported
    } else {
        ErrorKind::InvalidArgument
    }
}

/// What the refusal of one message of a request means; `ours` is the server's word for whose fault it is.
fn entry_kind(code: &str, ours: bool) -> ErrorKind {
    match server_kind(code, 0) {
        ErrorKind::InvalidArgument if !ours => ErrorKind::Unavailable,
        kind => kind,
    }
}

impl From<Error> for Seen {
    fn from(error: Error) -> Self {
        let mut seen = Self::new(error.kind(), error.to_string()).status_is(error.status());
        if let Some(wait) = error.retry_after() {
            seen = seen.after(wait);
        }
        match error {
            Error::NoQueue(queue)
            | Error::LongName { queue, .. }
            | Error::Setting { queue, .. } => seen.on(&queue),
            _ => seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_becomes_what_the_caller_should_do() {
        use ErrorKind::{Auth, InvalidArgument, NotFound, Throttled, Unavailable};
        use Status::{MayBeApplied, NotApplied, Permanent};
        for (code, http, kind, status) in [
            ("QueueDoesNotExist", 400, NotFound, Permanent),
            (
                "AWS.SimpleQueueService.NonExistentQueue",
                400,
                NotFound,
                Permanent,
            ),
            ("ThrottlingException", 400, Throttled, NotApplied),
            ("RequestThrottled", 503, Throttled, NotApplied),
            ("OverLimit", 403, Throttled, NotApplied),
            ("AccessDeniedException", 400, Auth, Permanent),
            ("InvalidClientTokenId", 403, Auth, Permanent),
            ("InternalFailure", 500, Unavailable, MayBeApplied),
            ("ServiceUnavailable", 503, Unavailable, MayBeApplied),
            ("QueueDeletedRecently", 400, Unavailable, NotApplied),
            ("InvalidMessageContents", 400, InvalidArgument, Permanent),
        ] {
            let seen = Seen::from(Error::Server {
                url: "sqs://h".to_owned(),
                code: code.to_owned(),
                detail: String::new(),
                http,
            });
            assert_eq!((seen.kind(), seen.status()), (kind, status), "{code}");
        }
    }

    #[test]
    fn one_message_is_refused_for_good_or_for_now_by_whose_fault_it_is() {
        for (code, ours, status) in [
            ("InternalError", false, Status::NotApplied),
            ("ThrottlingException", true, Status::NotApplied),
            ("InvalidMessageContents", true, Status::Permanent),
        ] {
            let entry = Error::Entry {
                code: code.to_owned(),
                detail: String::new(),
                ours,
            };
            assert_eq!(Seen::from(entry).status(), status, "{code}");
        }
    }

    #[test]
    fn only_what_was_sent_may_have_been_applied() {
        let (url, why) = ("sqs://h".to_owned(), "reset".to_owned());
        let lost = Error::Lost { url, why };
        assert_eq!(Seen::from(lost.clone()).status(), Status::MayBeApplied);
        let unsent = Seen::from(lost.before_sending());
        assert_eq!(unsent.status(), Status::NotApplied);
        assert_eq!(unsent.kind(), ErrorKind::Unreachable);
    }
}
