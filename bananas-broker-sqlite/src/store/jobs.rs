//! The life of jobs: hands each operation to the writer, or to a reader where a look is enough.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    BatchId, ClaimAnswer, ClaimRequest, Due, DuePage, Error as CoreError, JobId, JobSettle,
    JobSettled, JobStore, Lost, NewRecord, Owner, OwnerId, OwnerRow, Publication, Recorded,
    Renewed, Result,
};

use super::{SqliteStore, claim, due, lost, owners, record, settle};
use crate::engine::{Pace, Side};

/// How many jobs go into one request; more would hold up the other requests.
const CHUNK: usize = 5_000;

#[async_trait]
impl JobStore for SqliteStore {
    async fn record(
        &self,
        jobs: Vec<NewRecord>,
        publication: Option<Publication>,
    ) -> Vec<Result<Recorded>> {
        let publication = Arc::new(publication);
        let mut answers = Vec::with_capacity(jobs.len());
        for chunk in chunks(jobs) {
            let publication = Arc::clone(&publication);
            let size = chunk.len();
            let answer = self
                .write(size, move |tx| {
                    record::record(tx, &chunk, publication.as_ref().as_ref())
                })
                .await;
            extend(&mut answers, size, answer, "record");
        }
        answers
    }

    async fn confirm(&self, batches: &[BatchId]) -> Result<()> {
        let batches = batches.to_vec();
        self.write(batches.len(), move |tx| lost::confirm(tx, &batches))
            .await
            .map_err(|e| e.during("confirm"))
    }

    async fn claim(&self, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
        let size = request.claims.len();
        let answer = self.write(size, move |tx| claim::claim(tx, &request)).await;
        let mut answers = Vec::with_capacity(size);
        extend(&mut answers, size, answer, "claim");
        answers
    }

    async fn settle(&self, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
        let mut answers = Vec::with_capacity(batch.len());
        for chunk in chunks(batch) {
            let size = chunk.len();
            let answer = self.write(size, move |tx| settle::settle(tx, &chunk)).await;
            extend(&mut answers, size, answer, "settle");
        }
        answers
    }

    async fn due(&self, due: Due) -> Result<DuePage> {
        let (now, moment) = (due.now, self.shared.moment());
        let found = self
            .read(Pace::Quick, move |connection| {
                due::look(connection, now, &moment)
            })
            .await?;
        if !found.work {
            return Ok(DuePage {
                next: found.next,
                ..DuePage::default()
            });
        }
        self.write(due.max, move |tx| due::due(tx, &due))
            .await
            .map_err(|e| e.during("due"))
    }

    async fn lost(&self, lost: Lost) -> Result<DuePage> {
        let lost = Arc::new(lost);
        let asked = Arc::clone(&lost);
        let found = self
            .read(Pace::Quick, move |connection| {
                lost::look(connection, &asked)
            })
            .await?;
        if !found {
            return Ok(DuePage::default());
        }
        self.write(lost.max, move |tx| lost::lost(tx, &lost))
            .await
            .map_err(|e| e.during("lost"))
    }

    async fn open_batches(&self) -> Result<Vec<Publication>> {
        self.read(Pace::Quick, lost::open_batches).await
    }

    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed> {
        let owner = owner.clone();
        self.write(1, move |tx| owners::renew(tx, &owner, lease))
            .await
            .map_err(|e| e.during("renew"))
    }

    async fn owners(&self, cancels_of: Option<OwnerId>) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        let moment = self.shared.moment();
        self.read(Pace::Quick, move |connection| {
            owners::list(connection, &moment, cancels_of)
        })
        .await
    }

    async fn retire(&self, owners: &[OwnerId]) -> Result<()> {
        let owners = owners.to_vec();
        self.write(owners.len(), move |tx| owners::retire(tx, &owners))
            .await
            .map_err(|e| e.during("retire"))
    }
}

impl SqliteStore {
    pub(super) async fn write<T, W>(&self, weight: usize, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut(
                &mut crate::transaction::Transaction<'_>,
            ) -> std::result::Result<T, crate::error::Error>
            + Send
            + 'static,
    {
        self.shared.check_open(Side::Store)?;
        self.shared.write(weight, work).await
    }

    pub(super) async fn read<T, R>(&self, pace: Pace, work: R) -> Result<T>
    where
        T: Send + 'static,
        R: FnOnce(&rusqlite::Connection) -> std::result::Result<T, crate::error::Error>
            + Send
            + 'static,
    {
        self.shared.check_open(Side::Store)?;
        self.shared.read(pace, work).await
    }
}

/// Splits a batch into pieces of at most [`CHUNK`].
pub(crate) fn chunks<T>(mut batch: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        if batch.is_empty() {
            return None;
        }
        let rest = batch.split_off(batch.len().min(CHUNK));
        Some(std::mem::replace(&mut batch, rest))
    })
}

/// Adds the answers to a piece; an error of the whole is the answer to each.
pub(crate) fn extend<T>(
    answers: &mut Vec<Result<T>>,
    size: usize,
    answer: Result<Vec<Result<T>>>,
    operation: &'static str,
) {
    match answer {
        Ok(piece) => answers.extend(piece),
        Err(e) => {
            let e: CoreError = e.during(operation);
            answers.extend((0..size).map(|_| Err(e.repeat())));
        }
    }
}
