//! [`Handler`]: what the executor sees of a handler, whatever its types were.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::BoxFuture;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::JobContext;
use crate::TaskError;
use crate::runs::Stop;

/// How a handler's run ended: the result as JSON, or what went wrong.
pub(crate) type Ran = Result<Bytes, Failure>;

/// What went wrong, as far as the handler's side can tell.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The handler says so.
    Task(TaskError),
    /// The arguments do not fit it: no further attempt can help. The text may quote them.
    Arguments(String),
    /// Its answer cannot be used: no further attempt can help.
    Fatal(String),
    /// The run succeeded, but the result has more bytes than may be stored.
    Large(usize),
}

/// Where a handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the user's runtime.
    User,
    /// On the isolated thread: it runs no code of the user's in this process.
    Isolated,
}

/// A handler with its types erased.
pub(crate) trait Handler: Send + Sync {
    /// Decodes the arguments and runs. Nothing happens, and nothing panics, before the first poll. `permit`
    /// is what was acquired at the [`gate`](Self::gate).
    fn run(
        self: Arc<Self>,
        context: JobContext,
        permit: Option<OwnedSemaphorePermit>,
    ) -> BoxFuture<'static, Ran>;

    /// Where it runs.
    fn place(&self) -> Place {
        Place::User
    }

    /// What a run must acquire before its time begins to count.
    fn gate(&self) -> Option<&Arc<Semaphore>> {
        None
    }

    /// How long a run that was asked to stop may still take before its future is dropped; `None` leaves that
    /// to the shutdown.
    fn patience(&self, why: Stop) -> Option<Duration> {
        match why {
            Stop::No | Stop::Shutdown => None,
            Stop::TimedOut => Some(Duration::ZERO),
            Stop::Cancelled => Some(Duration::from_secs(10)),
            // Before the store lets others run the job.
            Stop::Fenced => Some(Duration::from_secs(1)),
        }
    }
}
