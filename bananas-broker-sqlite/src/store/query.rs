//! Looking at jobs: by id, by filter, and in numbers.

use bananas_core::{
    AttemptError, Cursor, JobFilter, JobId, JobPage, JobRecord, JobState, SearchText, Searched,
    StateCount, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::damage;
use super::row::tags;
use super::scan::{self, Scan};
use crate::columns::Columns;
use crate::error::Error;

const GET: &str = "SELECT seq FROM jobs WHERE id = ?1";
const SEARCHED: &str = "SELECT task, tags, errors, body FROM jobs WHERE seq = ?1";
const COUNTS: &str = "SELECT queue, state, jobs FROM counts WHERE jobs > 0";

/// How many jobs a page looks at before it ends, full or not: a tenth of a second.
const MAX_JOBS: u64 = 100_000;

/// How many bytes of bodies it searches, likewise.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The records with these ids, in order.
pub(super) fn get(
    connection: &Connection,
    ids: &[JobId],
    now: Timestamp,
) -> Result<Vec<Option<JobRecord>>, Error> {
    let mut statement = connection.prepare_cached(GET)?;
    let mut read = |id: &JobId| {
        let seq = statement.query_row([id.as_bytes()], |row| row.get(0));
        let seq: Option<i64> = seq.optional()?;
        seq.map(|seq| damage::readable(connection, seq, now))
            .transpose()
    };
    ids.iter().map(&mut read).collect()
}

/// A page of records, the newest first.
pub(super) fn query(
    connection: &Connection,
    filter: &JobFilter,
    (after, max): (Option<Cursor>, usize),
    now: Timestamp,
) -> Result<JobPage, Error> {
    let mut page = JobPage::default();
    let Some(walk) = scan::choose(connection, filter, &counts(connection)?)? else {
        return Ok(page);
    };
    let scan = Scan::new(filter, after.map(|Cursor(id)| id), walk);
    let mut statement = connection.prepare_cached(&scan.sql)?;
    let mut rows = statement.query(params_from_iter(scan.values))?;
    let mut search = connection.prepare_cached(SEARCHED)?;
    let (mut jobs, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        let mut columns = Columns::new(row);
        let id = columns.some_id(JobId::from_slice)?;
        let seq = columns.number()?;
        let mut passes = columns.number::<i64>()? != 0;
        if let Some(text) = filter.text.as_ref().filter(|_| passes) {
            let (found, size) = search.query_row([seq], |row| is_in(text, id, row))?;
            passes = found;
            bytes += size;
        }
        if passes {
            let record = damage::readable(connection, seq, now)?;
            // The core has the last word.
            if filter.matches(&record) {
                if page.jobs.len() >= max.max(1) {
                    page.next = page.jobs.last().map(|job| Cursor(job.id));
                    break;
                }
                page.jobs.push(record);
            }
        }
        jobs += 1;
        if jobs >= MAX_JOBS || bytes >= MAX_BYTES {
            page.next = Some(Cursor(id));
            break;
        }
    }
    Ok(page)
}

/// Whether a text is in the job of this row of [`SEARCHED`], and how many bytes had to be looked at.
fn is_in(text: &SearchText, id: JobId, row: &Row<'_>) -> rusqlite::Result<(bool, usize)> {
    let mut columns = Columns::new(row);
    let task = columns.text()?.unwrap_or_default();
    // What cannot be read has no text.
    let tags = tags(&mut columns).unwrap_or_default();
    let errors: Vec<AttemptError> = columns
        .parsed(|text| serde_json::from_str(text))
        .unwrap_or_default();
    let body = columns.raw()?.as_blob()?;
    let found = text.is_in(&Searched {
        id,
        task,
        tags: &tags,
        last_error: errors.last().map(|error| error.message.as_str()),
        body,
    });
    Ok((found, body.len()))
}

/// Counts by queue and state, in the order of names and of a job's life.
pub(super) fn counts(connection: &Connection) -> Result<Vec<StateCount>, Error> {
    let mut statement = connection.prepare_cached(COUNTS)?;
    let rows = statement.query_map([], |row| {
        let mut columns = Columns::new(row);
        let count = || {
            Ok::<_, rusqlite::Error>(StateCount {
                queue: columns.word()?,
                state: columns.word()?,
                jobs: columns.number()?,
            })
        };
        // No job of ours is counted under what is no name.
        Ok({ count }().ok())
    })?;
    let counts = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut counts: Vec<StateCount> = counts.into_iter().flatten().collect();
    counts.sort_by(|a, b| (&a.queue, order(a.state)).cmp(&(&b.queue, order(b.state))));
    Ok(counts)
}

fn order(state: JobState) -> Option<usize> {
    JobState::ALL.iter().position(|known| *known == state)
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 2] = [GET, SEARCHED];
