//! Looking at jobs: by id, by filter, and in numbers.

use bananas_core::{
    Cursor, JobFilter, JobId, JobPage, JobRecord, JobState, QueueName, StateCount, TaskName,
};
use rusqlite::{Connection, OptionalExtension};

use super::row::{record, record_columns};
use crate::columns::{Columns, limit};
use crate::error::Error;

const GET: &str = concat!("SELECT ", record_columns!(), " FROM jobs WHERE id = ?1");
const COUNTS: &str = "SELECT queue, state, jobs FROM counts WHERE jobs > 0";

/// The records with these ids, in order.
pub(super) fn get(connection: &Connection, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>, Error> {
    let mut statement = connection.prepare_cached(GET)?;
    let read = |id: &JobId| statement.query_row([id.as_bytes()], record).optional();
    Ok(ids.iter().map(read).collect::<rusqlite::Result<_>>()?)
}

/// A page of records, the newest first.
pub(super) fn query(
    connection: &Connection,
    filter: &JobFilter,
    after: Option<Cursor>,
    max: usize,
) -> Result<JobPage, Error> {
    // One more than asked for tells whether there is a next page.
    let after = after.map(|Cursor(id)| id);
    let mut statement = connection.prepare_cached(&select(filter))?;
    let rows = statement.query_map(
        (
            after.as_ref().map(JobId::as_bytes),
            filter.queue.as_ref().map(QueueName::as_str),
            filter.task.as_ref().map(TaskName::as_str),
            limit(max.saturating_add(1)),
        ),
        record,
    )?;
    let mut jobs: Vec<JobRecord> = rows.collect::<rusqlite::Result<_>>()?;
    let more = jobs.len() > max;
    jobs.truncate(max);
    let next = jobs.last().filter(|_| more).map(|job| Cursor(job.id));
    Ok(JobPage { jobs, next })
}

/// The states are written out, not bound, so that SQLite can use the index of a state.
fn select(filter: &JobFilter) -> String {
    let mut sql = concat!(
        "SELECT ",
        record_columns!(),
        " FROM jobs WHERE (?1 IS NULL OR id < ?1)"
    )
    .to_owned();
    if !filter.states.is_empty() {
        let states: Vec<String> = filter
            .states
            .iter()
            .map(|state| format!("'{}'", state.as_str()))
            .collect();
        sql.push_str(" AND state IN (");
        sql.push_str(&states.join(", "));
        sql.push(')');
    }
    sql.push_str(
        " AND (?2 IS NULL OR queue = ?2) AND (?3 IS NULL OR task = ?3) ORDER BY id DESC LIMIT ?4",
    );
    sql
}

/// Counts by queue and state, in the order of names and of a job's life.
pub(super) fn counts(connection: &Connection) -> Result<Vec<StateCount>, Error> {
    let mut statement = connection.prepare_cached(COUNTS)?;
    let rows = statement.query_map([], |row| {
        let mut columns = Columns::new(row);
        Ok(StateCount {
            queue: columns.word()?,
            state: columns.word()?,
            jobs: columns.number()?,
        })
    })?;
    let mut counts: Vec<StateCount> = rows.collect::<rusqlite::Result<_>>()?;
    counts.sort_by(|a, b| (&a.queue, order(a.state)).cmp(&(&b.queue, order(b.state))));
    Ok(counts)
}

fn order(state: JobState) -> Option<usize> {
    JobState::ALL.iter().position(|known| *known == state)
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 1] = [GET];
