//! Rows of `jobs` as standings and records, and back.

use bananas_core::{
    AttemptError, DeadReason, JobId, JobRecord, JobState, NewRecord, OwnerId, Priority, QueueName,
    Standing, Tags, Timestamp, Track,
};
use rusqlite::Row;

use super::damage;
use crate::columns::{Columns, signed};
use crate::error::Error;
use crate::transaction::Transaction;

/// The columns of a standing, in the order in which [`standing`] reads them.
macro_rules! standing_columns {
    () => {
        "state, epoch, failed_attempts, crashes, copy, owner, claimed_copy, claimed_delivery, run_at, \
         expires_at, cancel_requested, finished_at, reason"
    };
}

/// The columns of a record, in the order in which [`record`] reads them.
macro_rules! record_columns {
    () => {
        concat!(
            "seq, id, queue, task, priority, track, body, created_at, started_at, errors, result, note, tags, ",
            crate::store::row::standing_columns!()
        )
    };
}

pub(super) use {record_columns, standing_columns};

/// A job on its way through a transaction: what every move needs, without its body.
#[derive(Clone, Debug)]
pub(super) struct Moving {
    pub(super) seq: i64,
    pub(super) queue: QueueName,
    pub(super) track: Track,
    pub(super) standing: Standing,
}

/// The columns that [`moving`] reads.
macro_rules! moving_columns {
    () => {
        concat!(
            "seq, queue, track, ",
            crate::store::row::standing_columns!()
        )
    };
}
pub(super) use moving_columns;

/// Reads a row of [`moving_columns`]; `expected` is the queue it most likely is on.
pub(super) fn moving(row: &Row<'_>, expected: &QueueName) -> rusqlite::Result<Moving> {
    let mut columns = Columns::new(row);
    let seq = columns.number()?;
    damage::of_row(seq, || {
        Ok(Moving {
            seq,
            queue: columns.queue(expected)?,
            track: columns.word()?,
            standing: standing(&mut columns)?,
        })
    })
}

/// Reads the next columns as a standing.
pub(super) fn standing(columns: &mut Columns<'_, '_>) -> rusqlite::Result<Standing> {
    Ok(Standing {
        state: columns.word()?,
        epoch: columns.number()?,
        failed_attempts: columns.number()?,
        crashes: columns.number()?,
        copy: columns.number()?,
        owner: columns.id(OwnerId::from_slice)?,
        claimed_with: (columns.number()?, columns.number()?),
        run_at: columns.time()?,
        expires_at: columns.time()?,
        cancel_requested: columns.number::<i64>()? != 0,
        finished_at: columns.time()?,
        reason: columns.optional_word::<DeadReason>()?,
    })
}

/// Reads a row of [`record_columns`].
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<JobRecord> {
    let mut columns = Columns::new(row);
    let seq = columns.number()?;
    damage::of_row(seq, || rest_of_record(&mut columns))
}

fn rest_of_record(columns: &mut Columns<'_, '_>) -> rusqlite::Result<JobRecord> {
    let id = columns.some_id(JobId::from_slice)?;
    let queue = columns.word()?;
    let task = columns.word()?;
    let priority = priority(columns)?;
    let track = columns.word()?;
    let body = columns.bytes()?;
    let created_at = Timestamp::from_micros(columns.number()?);
    let started_at = columns.time()?;
    let errors: Vec<AttemptError> = columns.parsed(|text| serde_json::from_str(text))?;
    let result = columns.optional_bytes()?;
    let note = columns.text()?.map(str::to_owned);
    let tags = tags(columns)?;
    let new = NewRecord {
        id,
        queue,
        task,
        priority,
        track,
        tags,
        body,
        created_at,
        standing: standing(columns)?,
        unique: None,
        errors,
        result,
    };
    let mut record = new.into_record();
    record.started_at = started_at;
    record.note = note;
    Ok(record)
}

/// Reads the next column as tags.
pub(super) fn tags(columns: &mut Columns<'_, '_>) -> rusqlite::Result<Tags> {
    columns.parsed(|text| serde_json::from_str(text))
}

/// Tags as JSON for people and for [`record`]; none is NULL.
pub(super) fn tags_json(tags: &Tags) -> Option<String> {
    if tags.is_empty() {
        return None;
    }
    // Text always has a JSON form.
    serde_json::to_string(tags).ok()
}

/// Reads the next column as a priority.
pub(crate) fn priority(columns: &mut Columns<'_, '_>) -> rusqlite::Result<Priority> {
    // The table's own check keeps the bounds.
    Ok(Priority::new(columns.number()?).unwrap_or_default())
}

const PUT: &str =
    "UPDATE jobs SET state = ?2, epoch = ?3, failed_attempts = ?4, crashes = ?5, copy = ?6,
    owner = ?7, claimed_copy = ?8, claimed_delivery = ?9, run_at = ?10, expires_at = ?11,
    cancel_requested = ?12, finished_at = ?13, reason = ?14 WHERE seq = ?1";
pub(super) const FORGET: &str = "DELETE FROM jobs WHERE seq = ?1";
const PUT_ERRORS: &str = "UPDATE jobs SET errors = ?2 WHERE seq = ?1";
const PUT_BATCH: &str = "UPDATE jobs SET batch = ?2 WHERE seq = ?1";

/// Writes a standing back after a move from the state `before`, or removes the row if nothing is kept of it.
pub(super) fn put(tx: &mut Transaction<'_>, job: &Moving, before: JobState) -> Result<(), Error> {
    let standing = &job.standing;
    if is_forgotten(job.track, standing.state) {
        tx.sql(FORGET)?.execute([job.seq])?;
        tx.moved(&job.queue, Some(before), None);
        return Ok(());
    }
    tx.sql(PUT)?.execute((
        job.seq,
        standing.state.as_str(),
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
        standing.finished_at.map(Timestamp::as_micros),
        standing.reason.map(DeadReason::as_str),
    ))?;
    tx.moved(&job.queue, Some(before), Some(standing.state));
    Ok(())
}

/// Writes the errors of a job.
pub(super) fn put_errors(
    tx: &Transaction<'_>,
    seq: i64,
    errors: &[AttemptError],
) -> Result<(), Error> {
    tx.sql(PUT_ERRORS)?.execute((seq, errors_json(errors)))?;
    Ok(())
}

/// Stamps a job with its publication batch.
pub(super) fn put_batch(
    tx: &Transaction<'_>,
    seq: i64,
    batch: bananas_core::BatchId,
) -> Result<(), Error> {
    tx.sql(PUT_BATCH)?.execute((seq, batch.as_bytes()))?;
    Ok(())
}

/// Errors as JSON for people and for [`record`]; none is NULL.
pub(super) fn errors_json(errors: &[AttemptError]) -> Option<String> {
    if errors.is_empty() {
        return None;
    }
    // Text, numbers and words always have a JSON form.
    serde_json::to_string(errors).ok()
}

/// [`JobRecord::is_forgotten`], without a whole record.
pub(super) fn is_forgotten(track: Track, state: JobState) -> bool {
    track == Track::None && state.is_terminal() && state != JobState::Dead
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 4] = [PUT, FORGET, PUT_ERRORS, PUT_BATCH];
