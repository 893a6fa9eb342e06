//! Following a job that was enqueued.

use std::marker::PhantomData;
use std::time::Duration;

use crate::{
    Accepted, Alteration, Altered, Client, Error, ErrorKind, JobId, JobIndex, JobRecord, JobState,
    Result, Task,
};

/// A job that was enqueued.
#[derive(Debug)]
pub struct JobHandle<T> {
    client: Client,
    accepted: Accepted,
    task: PhantomData<fn() -> T>,
}

/// How long one wait for a change lasts before the record is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl<T: Task> JobHandle<T> {
    pub(super) fn new(client: Client, accepted: Accepted) -> Self {
        Self {
            client,
            accepted,
            task: PhantomData,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.accepted.id
    }

    /// Whether the enqueue found this job there already, by its id or unique key.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.accepted.duplicate
    }

    /// What the store knows of it.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no record: it is not tracked, or its record was pruned.
    pub async fn record(&self) -> Result<JobRecord> {
        let found = self.index()?.get(&[self.id()]).await?;
        found
            .into_iter()
            .next()
            .flatten()
            .ok_or_else(|| self.no_record())
    }

    /// Waits, at most for `wait`, until it has ended, and answers with its result.
    ///
    /// # Errors
    ///
    /// `Timeout` when it has not ended in time; `Conflict` with its last error when it ended in another way
    /// than well; `NotFound` when there is no record of it.
    pub async fn result(&self, wait: Duration) -> Result<T::Output> {
        let env = self.client.env();
        let deadline = env.monotonic() + wait;
        let record = loop {
            let record = self.record().await?;
            if record.standing.state.is_terminal() {
                break record;
            }
            let left = deadline.since(env.monotonic());
            if left.is_zero() {
                let message = format!(
                    "job {} is still {} after {wait:?}",
                    self.id(),
                    record.standing.state
                );
                return Err(Error::new(ErrorKind::Timeout, message).during("result"));
            }
            self.index()?.watch(left.min(LOOK_AGAIN)).await?;
        };
        if record.standing.state != JobState::Succeeded {
            let last = record
                .errors
                .last()
                .map_or(String::new(), |e| format!(": {}", e.message));
            let message = format!("job {} is {}{last}", self.id(), record.standing.state);
            return Err(Error::new(ErrorKind::Conflict, message).during("result"));
        }
        let result = record.result.as_deref().unwrap_or(b"null");
        serde_json::from_slice(result).map_err(|e| {
            let message = format!("result of job {} has another type", self.id());
            Error::new(ErrorKind::Corrupt, message).because(e)
        })
    }

    /// Asks that it not run, or not go on.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn cancel(&self) -> Result<Altered> {
        let altered = self
            .index()?
            .alter(&[self.id()], Alteration::Cancel)
            .await?;
        Ok(altered.into_iter().next().unwrap_or(Altered::Missing))
    }

    fn index(&self) -> Result<&dyn JobIndex> {
        self.client.jobs().ok_or_else(|| self.no_record())
    }

    fn no_record(&self) -> Error {
        let message = format!(
            "there is no record of job {}: it is not tracked, or it ended so long ago that it was pruned",
            self.id()
        );
        Error::new(ErrorKind::NotFound, message)
    }
}
