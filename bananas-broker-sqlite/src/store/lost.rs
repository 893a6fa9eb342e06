//! Finding ready jobs that the broker has lost or never got, without looking at the backlog.

use bananas_core::{BatchId, DuePage, Lost, Owner, Publication, QueueName};
use rusqlite::Connection;

use super::due;
use super::record::open_batch;
use super::row::{self, Moving, moving, moving_columns};
use crate::columns::{Columns, limit};
use crate::error::Error;
use crate::transaction::Transaction;

/// Reads the table of open batches, a row per batch that is being published.
const OPEN: &str = "SELECT id, owner, opened_at FROM batches ORDER BY id";
/// Reads the table of counts, a few rows per queue.
const READY_QUEUES: &str = "SELECT queue FROM counts WHERE state = 'ready' AND jobs > 0";
const OF_BATCH: &str = concat!(
    "SELECT ",
    moving_columns!(),
    " FROM jobs WHERE state = 'ready' AND batch IS NOT NULL AND queue = ?1 AND batch = ?2 LIMIT ?3"
);
/// In the order of batches: what was republished has the newest and comes last.
const OF_QUEUE: &str = concat!(
    "SELECT ",
    moving_columns!(),
    " FROM jobs WHERE state = 'ready' AND batch IS NOT NULL AND queue = ?1 AND batch <> ?2
      AND batch NOT IN (SELECT id FROM batches) ORDER BY batch LIMIT ?3"
);
/// Of this queue, what was never published: records made from messages, or while there was no broker but this
/// file. Goes through the queue's ready jobs, so it comes last, once everything else is published.
const UNSTAMPED: &str = concat!(
    "SELECT ",
    moving_columns!(),
    " FROM jobs WHERE state = 'ready' AND crashes = 0 AND queue = ?1 AND batch IS NULL LIMIT ?2"
);
/// The same for suspects.
const UNSTAMPED_SUSPECTS: &str = concat!(
    "SELECT ",
    moving_columns!(),
    " FROM jobs WHERE state = 'ready' AND crashes > 0 AND queue = ?1 AND batch IS NULL LIMIT ?2"
);
const CLOSE: &str = "DELETE FROM batches WHERE id = ?1";

/// Whether there may be something to find.
pub(super) fn look(connection: &Connection, lost: &Lost) -> Result<bool, Error> {
    Ok(!lost.evidence.is_empty() || !suspicious(connection, lost)?.is_empty())
}

/// Restamps at most a page of lost jobs and returns them.
pub(super) fn lost(tx: &mut Transaction<'_>, lost: &Lost) -> Result<DuePage, Error> {
    let mut page = DuePage::default();
    let mut left = lost.max;
    let ready = ready_queues(tx.connection())?;
    for batch in suspicious(tx.connection(), lost)? {
        for queue in &ready {
            let found = of_batch(tx, queue, batch, left)?;
            left -= found.len();
            restamp(tx, found, lost, &mut page)?;
        }
        if left == 0 {
            break;
        }
        // None of its jobs waits any more.
        tx.sql(CLOSE)?.execute([batch.as_bytes()])?;
    }
    for queue in &lost.evidence {
        let found = tx
            .sql(OF_QUEUE)?
            .query_map(
                (queue.as_str(), lost.publication.id.as_bytes(), limit(left)),
                |row| moving(row, queue),
            )?
            .collect::<rusqlite::Result<Vec<Moving>>>()?;
        left -= found.len();
        restamp(tx, found, lost, &mut page)?;
        for sql in [UNSTAMPED, UNSTAMPED_SUSPECTS] {
            let found = unstamped(tx, sql, queue, left)?;
            left -= found.len();
            restamp(tx, found, lost, &mut page)?;
        }
    }
    if !page.jobs.is_empty() {
        open_batch(tx, &lost.publication)?;
    }
    page.more = left == 0 && lost.max > 0;
    Ok(page)
}

/// Closes batches.
pub(super) fn confirm(tx: &Transaction<'_>, batches: &[BatchId]) -> Result<(), Error> {
    let mut close = tx.sql(CLOSE)?;
    for batch in batches {
        close.execute([batch.as_bytes()])?;
    }
    Ok(())
}

/// The batches that are open.
pub(super) fn open_batches(connection: &Connection) -> Result<Vec<Publication>, Error> {
    Ok(open(connection)?
        .into_iter()
        .map(|(publication, _)| publication)
        .collect())
}

fn open(connection: &Connection) -> Result<Vec<(Publication, i64)>, Error> {
    let mut statement = connection.prepare_cached(OPEN)?;
    let rows = statement.query_map([], |row| {
        let mut columns = Columns::new(row);
        let id = columns.some_id(BatchId::from_slice)?;
        let owner: Option<Owner> = columns.parsed(|text| serde_json::from_str(text).map(Some))?;
        Ok((id, owner, columns.number::<i64>()?))
    })?;
    let mut batches = Vec::new();
    for row in rows {
        let (id, owner, opened_at) = row?;
        batches.extend(owner.map(|owner| (Publication { id, owner }, opened_at)));
    }
    Ok(batches)
}

/// Open batches that were open for long, or whose publisher is gone.
fn suspicious(connection: &Connection, lost: &Lost) -> Result<Vec<BatchId>, Error> {
    let opened_before = (lost.now - lost.open_for).as_micros();
    Ok(open(connection)?
        .into_iter()
        .filter(|(publication, opened_at)| {
            *opened_at <= opened_before || lost.gone.contains(&publication.id)
        })
        .map(|(publication, _)| publication.id)
        .collect())
}

fn ready_queues(connection: &Connection) -> Result<Vec<QueueName>, Error> {
    let mut statement = connection.prepare_cached(READY_QUEUES)?;
    let queues = statement.query_map([], |row| Columns::new(row).word())?;
    Ok(queues.collect::<rusqlite::Result<_>>()?)
}

fn of_batch(
    tx: &Transaction<'_>,
    queue: &QueueName,
    batch: BatchId,
    max: usize,
) -> Result<Vec<Moving>, Error> {
    let mut statement = tx.sql(OF_BATCH)?;
    let rows = statement.query_map((queue.as_str(), batch.as_bytes(), limit(max)), |row| {
        moving(row, queue)
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn unstamped(
    tx: &Transaction<'_>,
    sql: &'static str,
    queue: &QueueName,
    max: usize,
) -> Result<Vec<Moving>, Error> {
    if max == 0 {
        return Ok(Vec::new());
    }
    let mut statement = tx.sql(sql)?;
    let rows = statement.query_map((queue.as_str(), limit(max)), |row| moving(row, queue))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn restamp(
    tx: &mut Transaction<'_>,
    jobs: Vec<Moving>,
    lost: &Lost,
    page: &mut DuePage,
) -> Result<(), Error> {
    for mut job in jobs {
        let state = job.standing.state;
        job.standing.copy += 1;
        row::put(tx, &job, state)?;
        row::put_batch(tx, job.seq, lost.publication.id)?;
        page.jobs.push(due::message(tx, &job)?);
        page.moved += 1;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 5] = [OF_BATCH, OF_QUEUE, UNSTAMPED, UNSTAMPED_SUSPECTS, CLOSE];
