//! Recording jobs.

use bananas_core::{BatchId, JobId, NewRecord, OwnerId, Publication, Recorded, Result, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::dated::is_dated;
use super::row::{errors_json, tags_json};
use crate::boot_clock::micros;
use crate::columns::{Columns, signed};
use crate::engine::MAX_VALUE;
use crate::error::Error;
use crate::transaction::Transaction;

const INSERT: &str = "INSERT INTO jobs (id, queue, task, state, priority, track, epoch, failed_attempts, crashes,
    copy, owner, claimed_copy, claimed_delivery, run_at, expires_at, cancel_requested, created_at, finished_at,
    reason, batch, errors, result, body, tags, dated)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
    ?22, ?23, ?24, ?25) ON CONFLICT (id) DO NOTHING";
/// A tag of a job that was deleted by somebody who does without triggers may be left behind.
const ADD_TAG: &str = "INSERT INTO job_tags (tag, id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const IS_KNOWN: &str = "SELECT 1 FROM jobs WHERE id = ?1";
const HOLDER: &str = "SELECT id FROM unique_keys WHERE queue = ?1 AND key = ?2 AND expires_at > ?3";
const RESERVE_KEY: &str =
    "INSERT INTO unique_keys (queue, key, id, expires_at) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT DO UPDATE SET id = excluded.id, expires_at = excluded.expires_at";
const OPEN_BATCH: &str =
    "INSERT INTO batches (id, owner, opened_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

/// Records jobs; each has its own answer.
pub(super) fn record(
    tx: &mut Transaction<'_>,
    jobs: &[NewRecord],
    publication: Option<&Publication>,
) -> std::result::Result<Vec<Result<Recorded>>, Error> {
    if let Some(publication) = publication.filter(|_| !jobs.is_empty()) {
        open_batch(tx, publication)?;
    }
    let batch = publication.map(|publication| publication.id);
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        answers.push(record_one(tx, job, batch)?);
    }
    Ok(answers)
}

/// Opens a publication batch.
pub(super) fn open_batch(
    tx: &Transaction<'_>,
    publication: &Publication,
) -> std::result::Result<(), Error> {
    let owner = serde_json::to_string(&publication.owner)
        .map_err(|e| Error::Corrupt(format!("owner has no JSON form: {e}")))?;
    tx.sql(OPEN_BATCH)?
        .execute((publication.id.as_bytes(), owner, tx.now.as_micros()))?;
    Ok(())
}

fn record_one(
    tx: &mut Transaction<'_>,
    job: &NewRecord,
    batch: Option<BatchId>,
) -> std::result::Result<Result<Recorded>, Error> {
    let size = job
        .body
        .len()
        .max(job.result.as_ref().map_or(0, |result| result.len()));
    if size > MAX_VALUE {
        let error: bananas_core::Error = Error::TooLarge(size, MAX_VALUE).into();
        return Ok(Err(error.on(&job.queue)));
    }
    if let Some(holder) = holder(tx, job)? {
        return Ok(Ok(Recorded::Duplicate(holder)));
    }
    if insert(tx, job, batch)? == 0 {
        return Ok(Ok(Recorded::Duplicate(job.id)));
    }
    if let Some(unique) = &job.unique {
        let expires_at = tx.now.as_micros().saturating_add(micros(unique.lasts));
        tx.sql(RESERVE_KEY)?.execute((
            job.queue.as_str(),
            &unique.key,
            job.id.as_bytes(),
            expires_at,
        ))?;
    }
    for tag in &job.tags {
        tx.sql(ADD_TAG)?
            .execute((tag.as_str(), job.id.as_bytes()))?;
    }
    tx.moved(&job.queue, None, Some(job.standing.state));
    Ok(Ok(Recorded::New))
}

/// The job that a job with a unique key is a duplicate of.
fn holder(tx: &Transaction<'_>, job: &NewRecord) -> std::result::Result<Option<JobId>, Error> {
    let Some(unique) = &job.unique else {
        return Ok(None);
    };
    let known = tx
        .sql(IS_KNOWN)?
        .query_row([job.id.as_bytes()], |_| Ok(job.id))
        .optional()?;
    if known.is_some() {
        return Ok(known);
    }
    Ok(tx
        .sql(HOLDER)?
        .query_row(
            (job.queue.as_str(), &unique.key, tx.now.as_micros()),
            |row| Columns::new(row).some_id(JobId::from_slice),
        )
        .optional()?)
}

fn insert(
    tx: &Transaction<'_>,
    job: &NewRecord,
    batch: Option<BatchId>,
) -> std::result::Result<usize, Error> {
    let standing = &job.standing;
    let inserted = tx.sql(INSERT)?.execute(params![
        job.id.as_bytes(),
        job.queue.as_str(),
        job.task.as_str(),
        standing.state.as_str(),
        job.priority.get(),
        job.track.as_str(),
        signed(standing.epoch),
        standing.failed_attempts,
        standing.crashes,
        standing.copy,
        standing.owner.as_ref().map(OwnerId::as_bytes),
        standing.claimed_with.0,
        standing.claimed_with.1,
        standing.run_at.map(Timestamp::as_micros),
        standing.expires_at.map(Timestamp::as_micros),
        standing.cancel_requested,
        job.created_at.as_micros(),
        standing.finished_at.map(Timestamp::as_micros),
        standing.reason.map(bananas_core::DeadReason::as_str),
        batch.as_ref().map(BatchId::as_bytes),
        errors_json(&job.errors),
        job.result.as_deref(),
        &*job.body,
        tags_json(&job.tags),
        is_dated(job.id, job.created_at),
    ])?;
    Ok(inserted)
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 6] =
    [INSERT, ADD_TAG, IS_KNOWN, HOLDER, RESERVE_KEY, OPEN_BATCH];
