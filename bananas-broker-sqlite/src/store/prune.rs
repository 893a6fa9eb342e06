//! Forgetting what has ended long ago.

use bananas_core::{JobState, Prune, QueueName, Timestamp};
use rusqlite::Connection;

use super::row::FORGET;
use super::{damage, owners};
use crate::columns::{Columns, limit};
use crate::error::Error;
use crate::transaction::Transaction;

const FINISHED: &str = "SELECT seq, queue, state FROM jobs
    WHERE (state = 'succeeded' OR state = 'cancelled' OR state = 'expired') AND finished_at < ?1 ORDER BY finished_at LIMIT ?2";
const DEAD: &str = "SELECT seq, queue, state FROM jobs
    WHERE state = 'dead' AND finished_at < ?1 ORDER BY finished_at LIMIT ?2";
const KEYS: &str = "DELETE FROM unique_keys WHERE (queue, key) IN
    (SELECT queue, key FROM unique_keys WHERE expires_at <= ?1 LIMIT ?2)";

/// Forgets a page of finished records, expired unique keys and owners long gone; says how many records.
pub(super) fn prune(tx: &mut Transaction<'_>, prune: &Prune) -> Result<u64, Error> {
    let mut jobs = select(tx.connection(), FINISHED, prune.finished_before, prune.max)?;
    let left = prune.max.saturating_sub(jobs.len());
    jobs.extend(select(tx.connection(), DEAD, prune.dead_before, left)?);
    let mut forgotten = 0;
    for (seq, queue, state) in jobs {
        tx.sql(FORGET)?.execute([seq])?;
        tx.moved(&queue, Some(state), None);
        forgotten += 1;
    }
    tx.sql(KEYS)?
        .execute((tx.now.as_micros(), limit(prune.max)))?;
    owners::forget(tx, prune.max)?;
    Ok(forgotten)
}

fn select(
    connection: &Connection,
    sql: &str,
    before: Timestamp,
    max: usize,
) -> Result<Vec<(i64, QueueName, JobState)>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((before.as_micros(), limit(max)), |row| {
        let mut columns = Columns::new(row);
        let seq = columns.number()?;
        damage::of_row(seq, || Ok((seq, columns.word()?, columns.word()?)))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 3] = [FINISHED, DEAD, KEYS];
