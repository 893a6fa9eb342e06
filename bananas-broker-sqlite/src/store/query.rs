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
    let mut statement = connection.prepare_cached(&select(filter, after))?;
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

/// Conditions are written only where they restrict, so that SQLite finds its way: along the ids, or along the
/// index of what is rare.
fn select(filter: &JobFilter, after: Option<JobId>) -> String {
    let mut sql = concat!("SELECT ", record_columns!(), " FROM jobs").to_owned();
    sql.push_str(match filter.states.as_slice() {
        // These are few among many; the others are found soon by going through the newest.
        [JobState::Dead] => " INDEXED BY jobs_dead",
        [JobState::Running] => " INDEXED BY jobs_running",
        _ => "",
    });
    let mut conditions = Vec::new();
    if after.is_some() {
        conditions.push("id < ?1".to_owned());
    }
    if !filter.states.is_empty() {
        let states = filter
            .states
            .iter()
            .map(|state| format!("state = '{state}'"));
        conditions.push(format!("({})", states.collect::<Vec<_>>().join(" OR ")));
    }
    if filter.queue.is_some() {
        conditions.push("queue = ?2".to_owned());
    }
    if filter.task.is_some() {
        conditions.push("task = ?3".to_owned());
    }
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    sql.push_str(" ORDER BY id DESC LIMIT ?4");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_page_starts_where_the_former_ended() {
        let place = Connection::open_in_memory().unwrap();
        place
            .execute_batch(include_str!("../migrations/0001_jobs.sql"))
            .unwrap();
        let id = JobId::from_slice(&[1; 16]);
        for (states, step) in [
            (vec![], "(id<?)"),
            (vec![JobState::Ready, JobState::Dead], "(id<?)"),
            (vec![JobState::Dead], "jobs_dead"),
            (vec![JobState::Running], "jobs_running"),
        ] {
            let mut filter = JobFilter::default();
            filter.states = states;
            filter.queue = Some(QueueName::default_queue());
            let sql = format!("EXPLAIN QUERY PLAN {}", select(&filter, id));
            let plan: String = place.query_row(&sql, [0; 4], |row| row.get(3)).unwrap();
            assert!(plan.contains(step), "{sql}\n{plan}");
        }
    }
}
