//! Rows of `jobs` that cannot be read: something else than we has written into them, or the disk has.
//!
//! Such a row must hold up no other. It becomes a dead job that keeps its body, and whose error says what was
//! found; the jobs around it go on.

use std::fmt;

use bananas_core::{
    AttemptError, DeadReason, ErrorCause, Finding, FindingKind, JobId, JobRecord, JobState,
    NewRecord, QueueName, Standing, TaskName, Timestamp, Track,
};
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Row};

use super::dated;
use super::row::{self, record_columns};
use crate::columns::{Columns, limit, signed};
use crate::error::Error;
use crate::transaction::Transaction;

const ROW: &str = concat!("SELECT ", record_columns!(), " FROM jobs WHERE seq = ?1");
const ROWS: &str = concat!(
    "SELECT ",
    record_columns!(),
    " FROM jobs WHERE seq >= ?1 ORDER BY seq LIMIT ?2"
);
const PUT: &str =
    "UPDATE jobs SET queue = ?2, task = ?3, state = 'dead', priority = ?4, track = ?5,
    epoch = ?6, failed_attempts = ?7, crashes = ?8, copy = ?9, owner = NULL, claimed_copy = 0,
    claimed_delivery = 0, run_at = NULL, expires_at = NULL, cancel_requested = 0, created_at = ?10,
    started_at = NULL, finished_at = ?11, reason = ?12, batch = NULL, note = NULL, errors = ?13,
    result = ?14, tags = ?15, dated = ?16 WHERE seq = ?1";

/// How many rows one look for damage reads: where one is damaged, its neighbours may be.
pub(super) const PAGE: usize = 1_000;

/// How much of a value an error shows.
const SHOWN: usize = 80;

/// What stands for a name that cannot be read.
const NAMELESS: &str = "damaged";

/// Says that a row cannot be read; travels through SQLite's own error.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) seq: i64,
    pub(crate) why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, why } = self;
        write!(
            f,
            "the record of a job (row {seq} of table jobs) cannot be read: {why}"
        )
    }
}

impl std::error::Error for Unreadable {}

/// Reads the rest of a row whose number is known; what is wrong in it is told as [`Unreadable`].
pub(super) fn of_row<T>(
    seq: i64,
    read: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    read().map_err(|error| match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => {
            let why = error.to_string();
            let unreadable = Unreadable { seq, why };
            rusqlite::Error::FromSqlConversionFailure(0, Type::Null, Box::new(unreadable))
        }
        error => error,
    })
}

/// The record of a job, or what can be read of it as a dead one.
pub(super) fn readable(
    connection: &Connection,
    seq: i64,
    now: Timestamp,
) -> Result<JobRecord, Error> {
    let mut statement = connection.prepare_cached(ROW)?;
    Ok(statement.query_row([seq], |row| match row::record(row) {
        Ok(record) => Ok(record),
        Err(error) => mended(row, now).map(|mended| mended.record).ok_or(error),
    })?)
}

/// Sets aside the rows from this one on that cannot be read, and says how many.
pub(crate) fn set_aside(tx: &mut Transaction<'_>, from: i64) -> Result<usize, Error> {
    let found = look(tx.connection(), from, PAGE, tx.now)?.damaged;
    for mended in &found {
        put(tx, mended)?;
    }
    Ok(found.len())
}

/// A page of rows.
struct Looked {
    rows: u64,
    last: Option<i64>,
    damaged: Vec<Mended>,
}

/// A row that cannot be read, as the dead job that it becomes.
struct Mended {
    seq: i64,
    /// Where it was counted, as far as can be read.
    counted: Option<(QueueName, JobState)>,
    record: JobRecord,
}

fn look(connection: &Connection, from: i64, rows: usize, now: Timestamp) -> Result<Looked, Error> {
    let mut looked = Looked {
        rows: 0,
        last: None,
        damaged: Vec::new(),
    };
    let mut statement = connection.prepare_cached(ROWS)?;
    let mut rows = statement.query((from, limit(rows)))?;
    while let Some(row) = rows.next()? {
        looked.rows += 1;
        looked.last = Some(row.get(0)?);
        if row::record(row).is_err() {
            looked.damaged.extend(mended(row, now));
        }
    }
    Ok(looked)
}

/// Reads column by column what can be read; `None` without an id.
fn mended(row: &Row<'_>, now: Timestamp) -> Option<Mended> {
    let mut cells = Cells {
        row,
        complaints: Vec::new(),
    };
    let seq = row.get(0).ok()?;
    let id = cells.read("id", |columns| columns.some_id(JobId::from_slice))?;
    let queue = cells.read("queue", Columns::word::<QueueName>);
    let task = cells.read("task", Columns::word::<TaskName>);
    let priority = cells.read("priority", row::priority);
    let track = cells.read("track", Columns::word::<Track>);
    let body = cells.read("body", Columns::bytes);
    let created_at = cells.read("created_at", Columns::number::<i64>);
    let state = cells.read("state", Columns::word::<JobState>);
    let epoch = cells.read("epoch", Columns::number::<u64>);
    let failed_attempts = cells.read("failed_attempts", Columns::number::<u32>);
    let crashes = cells.read("crashes", Columns::number::<u32>);
    let copy = cells.read("copy", Columns::number::<u32>);
    let result = cells.read("result", Columns::optional_bytes);
    let tags = cells.read("tags", row::tags);
    let mut errors = cells
        .read("errors", |columns| {
            columns.parsed(|text| serde_json::from_str::<Vec<AttemptError>>(text))
        })
        .unwrap_or_default();
    for rest in [
        "owner",
        "claimed_copy",
        "claimed_delivery",
        "run_at",
        "expires_at",
    ] {
        cells.check(rest);
    }
    cells.read("reason", Columns::optional_word::<DeadReason>);
    let counted = queue.clone().zip(state);
    let attempt = failed_attempts.unwrap_or(0).saturating_add(1);
    let message = format!("the record was damaged: {}", cells.complaints.join("; "));
    let error = AttemptError::new(attempt, now, ErrorCause::Failed, message);
    errors.truncate(bananas_core::MAX_ERRORS_KEPT - 1);
    errors.push(error);
    let mut standing = Standing::new(now, None, None);
    standing.state = JobState::Dead;
    // Whoever runs it has lost it.
    standing.epoch = epoch.unwrap_or(0).saturating_add(1);
    standing.failed_attempts = failed_attempts.unwrap_or(0);
    standing.crashes = crashes.unwrap_or(0);
    standing.copy = copy.unwrap_or(0);
    standing.finished_at = Some(now);
    standing.reason = Some(DeadReason::Undecodable);
    let nameless = || NAMELESS.parse().ok();
    let new = NewRecord {
        id,
        queue: queue.or_else(nameless)?,
        task: task.or_else(|| TaskName::new(NAMELESS).ok())?,
        priority: priority.unwrap_or_default(),
        track: track.unwrap_or(Track::Full),
        tags: tags.unwrap_or_default(),
        body: body.unwrap_or_default(),
        created_at: created_at.map_or(now, Timestamp::from_micros),
        standing,
        unique: None,
        errors,
        result: result.flatten(),
    };
    Some(Mended {
        seq,
        counted,
        record: new.into_record(),
    })
}

/// The cells of a row, each read for itself.
struct Cells<'r, 's> {
    row: &'r Row<'s>,
    complaints: Vec<String>,
}

impl<'r, 's> Cells<'r, 's> {
    fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Columns<'r, 's>) -> rusqlite::Result<T>,
    ) -> Option<T> {
        let index = self.row.as_ref().column_index(name).ok()?;
        match read(&mut Columns::at(self.row, index)) {
            Ok(value) => Some(value),
            Err(error) => {
                let found = self
                    .row
                    .get_ref(index)
                    .map_or_else(|_| String::new(), shown);
                self.complaints.push(format!("{name} is {found} ({error})"));
                None
            }
        }
    }

    /// A cell of which nothing is kept.
    fn check(&mut self, name: &str) {
        match name {
            "owner" => drop(self.read(name, |columns| {
                columns.id(bananas_core::OwnerId::from_slice)
            })),
            "claimed_copy" | "claimed_delivery" => drop(self.read(name, Columns::number::<u32>)),
            _ => drop(self.read(name, Columns::time)),
        }
    }
}

/// A value for people.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let cut: String = text.chars().take(SHOWN).collect();
            let more = if cut.len() < text.len() { "…" } else { "" };
            format!("{cut:?}{more}")
        }
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

fn put(tx: &mut Transaction<'_>, mended: &Mended) -> Result<(), Error> {
    let (job, standing) = (&mended.record, &mended.record.standing);
    tracing::error!(
        job = %job.id, queue = %job.queue,
        "a damaged record was set aside as a dead job"
    );
    tx.sql(PUT)?.execute(rusqlite::params![
        mended.seq,
        job.queue.as_str(),
        job.task.as_str(),
        job.priority.get(),
        job.track.as_str(),
        signed(standing.epoch),
        standing.failed_attempts,
        standing.crashes,
        standing.copy,
        job.created_at.as_micros(),
        standing.finished_at.map(Timestamp::as_micros),
        standing.reason.map(DeadReason::as_str),
        row::errors_json(&job.errors),
        job.result.as_deref(),
        row::tags_json(&job.tags),
        dated::is_dated(job.id, job.created_at),
    ])?;
    match &mended.counted {
        Some((queue, state)) => {
            tx.moved(queue, Some(*state), None);
            tx.moved(&job.queue, None, Some(JobState::Dead));
        }
        None => tx.moved(&job.queue, None, Some(JobState::Dead)),
    }
    Ok(())
}

/// The rows from this one on that cannot be read, how many were looked at, and the last of them.
pub(super) fn find(
    connection: &Connection,
    from: i64,
    now: Timestamp,
) -> Result<(Vec<Finding>, u64, Option<i64>), Error> {
    let looked = look(connection, from, PAGE, now)?;
    let finding = |mended: Mended| {
        let error = mended.record.errors.last();
        Finding {
            kind: FindingKind::Unreadable,
            job: Some(mended.record.id),
            queue: mended.counted.map(|(queue, _)| queue),
            detail: error.map_or_else(String::new, |error| error.message.clone()),
            repaired: false,
        }
    };
    let findings = looked.damaged.into_iter().map(finding).collect();
    Ok((findings, looked.rows, looked.last))
}
