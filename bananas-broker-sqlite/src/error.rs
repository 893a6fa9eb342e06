//! What can go wrong inside, and the one place that decides what callers see of it.

use std::path::{Path, PathBuf};

use bananas_core::{ErrorKind, Status};
use rusqlite::ErrorCode;

use crate::store::Unreadable;

/// Trouble inside this crate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("database is locked by another process for longer than busy_timeout")]
    Busy,
    #[error("disk is full; free some space, nothing was lost")]
    Full,
    #[error(
        "database is damaged: {0}; restore a backup, or save what can be read with `sqlite3 FILE .dump`"
    )]
    Corrupt(String),
    #[error("{0}")]
    Unreadable(Unreadable),
    #[error("file is not an SQLite database; name another file, or move this one away")]
    NotADatabase,
    #[error("database is read-only; make the file and its directory writable for this user")]
    ReadOnly,
    #[error("database cannot be opened; check the permissions of the file and its directory")]
    CannotOpen,
    #[error("input/output error: {0}")]
    Io(String),
    #[error("value of {0} bytes exceeds the limit of {1} bytes")]
    TooLarge(usize, usize),
    #[error("unexpected answer of SQLite: {0}")]
    Other(#[source] rusqlite::Error),
    #[error("the database was closed")]
    Closed,
    #[error("no answer of the database within {0:?}")]
    Deadline(std::time::Duration),
    /// Of a commit: whether it holds is decided by what the disk kept.
    #[error("{0}")]
    Commit(Box<Self>),
    #[error("{error} (file {file:?})")]
    InFile { file: PathBuf, error: Box<Self> },
    #[error("{0}")]
    Refused(bananas_core::Error),
}

impl Error {
    /// Names the file.
    pub(crate) fn in_file(self, file: &Path) -> Self {
        match self {
            Self::Refused(_) | Self::InFile { .. } => self,
            _ => Self::InFile {
                file: file.to_owned(),
                error: Box::new(self),
            },
        }
    }

    /// Whether it concerns the file or the disk and would hit the next request just the same.
    pub(crate) fn is_environment(&self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::Full
                | Self::Corrupt(_)
                | Self::NotADatabase
                | Self::ReadOnly
                | Self::CannotOpen
                | Self::Io(_)
        )
    }

    /// Whether the connection should not be trusted any more.
    pub(crate) fn makes_suspect(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Corrupt(_) | Self::Other(_))
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy | Self::ReadOnly | Self::CannotOpen => ErrorKind::Unavailable,
            Self::Full => ErrorKind::Full,
            Self::Corrupt(_) | Self::Unreadable(_) | Self::NotADatabase => ErrorKind::Corrupt,
            Self::Io(_) | Self::Other(_) => ErrorKind::Internal,
            Self::TooLarge(..) => ErrorKind::TooLarge,
            Self::Closed => ErrorKind::Closed,
            Self::Deadline(_) => ErrorKind::Timeout,
            Self::Commit(inner) => inner.kind(),
            Self::InFile { error, .. } => error.kind(),
            Self::Refused(error) => error.kind(),
        }
    }

    fn status(&self) -> Status {
        match self {
            // A statement that failed was rolled back; only a commit leaves a doubt.
            Self::Busy | Self::Full | Self::Io(_) | Self::Other(_) => Status::NotApplied,
            Self::Corrupt(_)
            | Self::Unreadable(_)
            | Self::NotADatabase
            | Self::ReadOnly
            | Self::CannotOpen
            | Self::TooLarge(..)
            | Self::Closed => Status::Permanent,
            Self::Deadline(_) => Status::MayBeApplied,
            Self::Commit(inner) => match **inner {
                Self::Busy | Self::Full | Self::ReadOnly => inner.status(),
                _ => Status::MayBeApplied,
            },
            Self::InFile { error, .. } => error.status(),
            Self::Refused(error) => error.status(),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return match error {
                rusqlite::Error::FromSqlConversionFailure(index, kind, inner) => {
                    match inner.downcast::<Unreadable>() {
                        Ok(unreadable) => Self::Unreadable(*unreadable),
                        Err(inner) => {
                            let error =
                                rusqlite::Error::FromSqlConversionFailure(index, kind, inner);
                            Self::Corrupt(error.to_string())
                        }
                    }
                }
                rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..) => Self::Corrupt(error.to_string()),
                _ => Self::Other(error),
            };
        };
        match failure.code {
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed => Self::Busy,
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::DatabaseCorrupt => Self::Corrupt(error.to_string()),
            ErrorCode::NotADatabase => Self::NotADatabase,
            ErrorCode::ReadOnly => Self::ReadOnly,
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied => Self::CannotOpen,
            ErrorCode::SystemIoFailure => Self::Io(error.to_string()),
            _ => Self::Other(error),
        }
    }
}

impl From<bananas_core::Error> for Error {
    fn from(error: bananas_core::Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Error> for bananas_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(error) => error,
            error => Self::new(error.kind(), error.to_string()).status_is(error.status()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_commit_may_have_been_applied() {
        let statement: bananas_core::Error = Error::Io("disk".to_owned()).into();
        assert_eq!(statement.status(), Status::NotApplied);
        let commit: bananas_core::Error =
            Error::Commit(Box::new(Error::Io("disk".to_owned()))).into();
        assert_eq!(
            (commit.kind(), commit.status()),
            (ErrorKind::Internal, Status::MayBeApplied)
        );
        let full: bananas_core::Error = Error::Commit(Box::new(Error::Full)).into();
        assert_eq!(
            (full.kind(), full.status()),
            (ErrorKind::Full, Status::NotApplied)
        );
    }

    #[test]
    fn the_file_is_named() {
        let error: bananas_core::Error = Error::ReadOnly.in_file(Path::new("jobs.db")).into();
        assert!(error.to_string().contains("\"jobs.db\""), "{error}");
        assert_eq!(error.status(), Status::Permanent);
    }
}
