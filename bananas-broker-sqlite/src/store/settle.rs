//! Recording how runs ended.

use std::collections::HashMap;

use bananas_core::{JobId, JobSettle, JobSettled, JobState, Outcome, OwnerId, QueueName, Result};
use rusqlite::{Connection, OptionalExtension};

use super::owners;
use super::row::{self, Moving, moving, moving_columns, record_columns};
use crate::engine::MAX_VALUE;
use crate::error::Error;
use crate::transaction::Transaction;

const LOAD: &str = concat!("SELECT ", moving_columns!(), " FROM jobs WHERE id = ?1");
const LOAD_RECORD: &str = concat!("SELECT ", record_columns!(), " FROM jobs WHERE seq = ?1");
const SUCCEEDED: &str =
    "UPDATE jobs SET state = 'succeeded', owner = NULL, run_at = NULL, cancel_requested = 0,
    finished_at = ?2, result = ?3, note = NULL WHERE seq = ?1";
const PUT_NOTE: &str = "UPDATE jobs SET note = ?2 WHERE seq = ?1 AND note IS NOT ?2";

/// Records outcomes; each has its own answer.
pub(super) fn settle(
    tx: &mut Transaction<'_>,
    batch: &[JobSettle],
) -> std::result::Result<Vec<Result<JobSettled>>, Error> {
    let mut answers = Vec::with_capacity(batch.len());
    let mut known = HashMap::new();
    for settle in batch {
        let Some(job) = load(tx.connection(), settle.job.id, &settle.job.queue)? else {
            answers.push(Ok(JobSettled::Missing));
            continue;
        };
        let answer = if is_of_the_gone(tx, &job, &mut known)? {
            let epoch = job.standing.epoch;
            Ok(JobSettled::Stale { epoch })
        } else {
            settle_one(tx, job, settle)?
        };
        answers.push(answer);
    }
    Ok(answers)
}

/// The job with this id, if there is one; `expected` is the queue it most likely is on.
pub(super) fn load(
    connection: &Connection,
    id: JobId,
    expected: &QueueName,
) -> std::result::Result<Option<Moving>, Error> {
    let mut statement = connection.prepare_cached(LOAD)?;
    Ok(statement
        .query_row([id.as_bytes()], |row| moving(row, expected))
        .optional()?)
}

/// The whole record of a row that is there.
pub(super) fn load_record(
    connection: &Connection,
    seq: i64,
) -> std::result::Result<bananas_core::JobRecord, Error> {
    let mut statement = connection.prepare_cached(LOAD_RECORD)?;
    Ok(statement.query_row([seq], row::record)?)
}

/// Whether the owner that runs the job was declared dead. It has been told, or will be, that it may settle
/// nothing; the next look for due jobs takes the job away. `known` spares a look at the table for each job.
fn is_of_the_gone(
    tx: &Transaction<'_>,
    job: &Moving,
    known: &mut HashMap<OwnerId, bool>,
) -> std::result::Result<bool, Error> {
    let Some(owner) = job.standing.owner else {
        return Ok(false);
    };
    if let Some(gone) = known.get(&owner) {
        return Ok(*gone);
    }
    let gone = owners::is_gone(tx, owner)?;
    known.insert(owner, gone);
    Ok(gone)
}

fn settle_one(
    tx: &mut Transaction<'_>,
    mut job: Moving,
    settle: &JobSettle,
) -> std::result::Result<Result<JobSettled>, Error> {
    let before = job.standing.state;
    if let Outcome::Succeeded { result } = &settle.outcome {
        if result.len() > MAX_VALUE {
            let error: bananas_core::Error = Error::TooLarge(result.len(), MAX_VALUE).into();
            return Ok(Err(error.on(&settle.job.queue)));
        }
        // The common case: no error to append, so no need for the whole record.
        let settled = job.standing.settle(settle.epoch, &settle.outcome, tx.now);
        if settled == JobSettled::Settled(JobState::Succeeded) {
            succeed(tx, &job, before, result)?;
        }
        return Ok(Ok(settled));
    }
    let mut record = load_record(tx.connection(), job.seq)?;
    let errors = record.errors.len();
    let last = record.errors.last().cloned();
    let settled = record.settle(settle.epoch, settle.outcome.clone(), tx.now);
    if matches!(settled, JobSettled::Settled(_)) {
        if record.errors.len() != errors || record.errors.last() != last.as_ref() {
            row::put_errors(tx, job.seq, &record.errors)?;
        }
        tx.sql(PUT_NOTE)?.execute((job.seq, &record.note))?;
        job.standing = record.standing;
        row::put(tx, &job, before)?;
    }
    Ok(Ok(settled))
}

fn succeed(
    tx: &mut Transaction<'_>,
    job: &Moving,
    before: JobState,
    result: &[u8],
) -> std::result::Result<(), Error> {
    if row::is_forgotten(job.track, job.standing.state) {
        return row::put(tx, job, before);
    }
    let finished_at = job.standing.finished_at.unwrap_or(tx.now).as_micros();
    tx.sql(SUCCEEDED)?.execute((job.seq, finished_at, result))?;
    tx.moved(&job.queue, Some(before), Some(JobState::Succeeded));
    Ok(())
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 4] = [LOAD, LOAD_RECORD, SUCCEEDED, PUT_NOTE];
