//! The one error that callers of Bananas see.
//!
//! It says what kind of trouble it is, and what became of the operation: surely not applied, never
//! possible, or perhaps applied. Backends keep their own error types private and convert in one place.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::QueueName;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble, and what the caller should do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing answers at the address. Try again later, or check the URL.
    Unreachable,
    /// The deadline passed. Look at [`Error::status`] before trying again.
    Timeout,
    /// The server asks to slow down. Wait [`Error::retry_after`].
    Throttled,
    /// The server is there but cannot serve now (starting, read-only, failing over). Try again later.
    Unavailable,
    /// No room: the queue is at its bound or the disk is full. Free room, or wait.
    Full,
    /// Credentials are wrong or not enough. Do not try again; fix them.
    Auth,
    /// The named thing does not exist.
    NotFound,
    /// The thing exists with other properties, or is in another state.
    Conflict,
    /// Larger than a limit; the message names both numbers. Make it smaller.
    TooLarge,
    /// The argument is wrong in itself. Fix the caller.
    InvalidArgument,
    /// This backend cannot do it; its capabilities say so.
    Unsupported,
    /// What was read is not what was written. The bytes were kept.
    Corrupt,
    /// The object was closed. Open a new one.
    Closed,
    /// A mistake in Bananas or in the server. Please report it.
    Internal,
}

/// What became of the operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It was surely not applied; trying again may help.
    NotApplied,
    /// It was surely not applied, and trying again unchanged cannot help.
    Permanent,
    /// It may have been applied. Trying again is safe only with the same id.
    MayBeApplied,
}

/// Why something did not work, with the operation, the queue and the cause.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    status: Status,
    message: String,
    operation: Option<&'static str>,
    queue: Option<QueueName>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with the usual status of its kind.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            status: kind.usual_status(),
            message: message.into(),
            operation: None,
            queue: None,
            retry_after: None,
            source: None,
        }))
    }

    /// Says what became of the operation, where it is not the usual for the kind.
    #[must_use]
    pub fn status_is(mut self, status: Status) -> Self {
        self.0.status = status;
        self
    }

    /// Names the operation that failed; the innermost name stays.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Names the queue it happened on; the innermost name stays.
    #[must_use]
    pub fn on(mut self, queue: &QueueName) -> Self {
        self.0.queue.get_or_insert_with(|| queue.clone());
        self
    }

    /// What happened on a part of a queue happened on the queue.
    #[must_use]
    pub(crate) fn of_queue(mut self, queue: &QueueName) -> Self {
        self.0.queue = Some(queue.clone());
        self
    }

    /// Says how long to wait before trying again.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of trouble it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What became of the operation.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.status != Status::Permanent
    }

    /// How long the server asks to wait, if it says.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// Where, if it concerns one queue.
    #[must_use]
    pub fn queue(&self) -> Option<&QueueName> {
        self.0.queue.as_ref()
    }

    /// The same error for another item of a batch; the cause becomes text.
    #[must_use]
    pub fn repeat(&self) -> Self {
        let inner = &self.0;
        Self(Box::new(Inner {
            kind: inner.kind,
            status: inner.status,
            message: inner.message.clone(),
            operation: inner.operation,
            queue: inner.queue.clone(),
            retry_after: inner.retry_after,
            source: inner
                .source
                .as_ref()
                .map(|source| source.to_string().into()),
        }))
    }
}

impl ErrorKind {
    const fn usual_status(self) -> Status {
        match self {
            Self::Unreachable | Self::Throttled | Self::Unavailable | Self::Full => {
                Status::NotApplied
            }
            Self::Timeout | Self::Internal => Status::MayBeApplied,
            Self::Auth
            | Self::NotFound
            | Self::Conflict
            | Self::TooLarge
            | Self::InvalidArgument
            | Self::Unsupported
            | Self::Corrupt
            | Self::Closed => Status::Permanent,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = self.0.operation {
            write!(f, "{operation}: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(queue) = &self.0.queue {
            write!(f, " (queue {queue:?})")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} [{:?}, {:?}]", self.0.kind, self.0.status)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The text of the source is part of `Display`; what is left for a chain is what lies below it.
        self.0.source.as_ref().and_then(|source| source.source())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_one_sentence() {
        let error = Error::new(
            ErrorKind::TooLarge,
            "payload of 300 KiB exceeds the 256 KiB limit",
        )
        .during("enqueue")
        .on(&QueueName::new("mail").unwrap());
        let text = "enqueue: payload of 300 KiB exceeds the 256 KiB limit (queue \"mail\")";
        assert_eq!(error.to_string(), text);
        assert!(!error.is_retryable());
    }

    #[test]
    fn a_timeout_may_have_been_applied() {
        let error = Error::new(ErrorKind::Timeout, "no answer in 10s");
        assert_eq!(error.status(), Status::MayBeApplied);
        assert_eq!(error.repeat().to_string(), error.to_string());
    }
}
