//! Making jobs ready whose time has come, and those of owners that are gone.

use bananas_core::{BatchId, Due, DuePage, JobId, OwnerId, QueueName, Republish, Timestamp};
use rusqlite::Connection;

use super::record::open_batch;
use super::row::{self, Moving, moving, moving_columns};
use super::{damage, owners, settle};
use crate::boot_clock::Moment;
use crate::columns::{Columns, limit};
use crate::error::Error;
use crate::transaction::Transaction;

/// Reads the table of counts, a few rows per queue.
const WAITING_QUEUES: &str =
    "SELECT DISTINCT queue FROM counts WHERE state IN ('scheduled', 'retrying') AND jobs > 0";
const NEXT: &str =
    "SELECT min(run_at) FROM jobs WHERE (state = 'scheduled' OR state = 'retrying') AND queue = ?1";
const DUE: &str = concat!(
    "SELECT ",
    moving_columns!(),
    " FROM jobs WHERE (state = 'scheduled' OR state = 'retrying') AND queue = ?1 AND run_at <= ?2 ORDER BY run_at LIMIT ?3"
);
/// Reads the table of owners, a row per worker process of the last day.
const BEREFT: &str = "SELECT id FROM owners WHERE gone = 1
    AND EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND owner = owners.id)";
const RUNNING: &str = concat!(
    "SELECT ",
    moving_columns!(),
    " FROM jobs WHERE state = 'running' AND owner = ?1 LIMIT ?2"
);
const MESSAGE: &str = "SELECT id, priority, body FROM jobs WHERE seq = ?1";

/// What a look at the tables found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether there is something to move.
    pub(super) work: bool,
    /// When the next job is due.
    pub(super) next: Option<Timestamp>,
}

/// Looks whether there is something to move, so that an idle scheduler takes no lock.
pub(super) fn look(
    connection: &Connection,
    now: Timestamp,
    moment: &Moment,
) -> Result<Found, Error> {
    let next = waiting(connection)?.first().map(|(at, _)| *at);
    let work = next.is_some_and(|at| at <= now)
        || !owners::lapsed(connection, moment)?.is_empty()
        || !bereft(connection)?.is_empty();
    Ok(Found { work, next })
}

/// Moves at most a page of jobs.
pub(super) fn due(tx: &mut Transaction<'_>, due: &Due) -> Result<DuePage, Error> {
    let mut page = Page {
        batch: due.publication.as_ref().map(|publication| publication.id),
        jobs: Vec::new(),
        moved: 0,
        left: due.max,
    };
    let lapsed = owners::lapsed(tx.connection(), &tx.moment)?;
    owners::retire(tx, &lapsed)?;
    for owner in bereft(tx.connection())? {
        page.reap(tx, owner)?;
    }
    for (_, queue) in waiting(tx.connection())? {
        page.promote(tx, &queue, due.now)?;
    }
    if let Some(publication) = due.publication.as_ref().filter(|_| !page.jobs.is_empty()) {
        open_batch(tx, publication)?;
    }
    Ok(DuePage {
        next: waiting(tx.connection())?.first().map(|(at, _)| *at),
        more: page.left == 0 && due.max > 0,
        moved: page.moved,
        jobs: page.jobs,
    })
}

/// Makes due jobs of one queue ready, at most `max`, where the record is the message.
pub(super) fn promote(
    tx: &mut Transaction<'_>,
    queue: &QueueName,
    max: usize,
) -> Result<(), Error> {
    let mut page = Page {
        batch: None,
        jobs: Vec::new(),
        moved: 0,
        left: max,
    };
    let now = tx.now;
    page.promote(tx, queue, now)
}

struct Page {
    batch: Option<BatchId>,
    jobs: Vec<Republish>,
    moved: u64,
    left: usize,
}

impl Page {
    fn promote(
        &mut self,
        tx: &mut Transaction<'_>,
        queue: &QueueName,
        now: Timestamp,
    ) -> Result<(), Error> {
        if self.left == 0 {
            return Ok(());
        }
        let jobs: Vec<Moving> = tx
            .sql(DUE)?
            .query_map((queue.as_str(), now.as_micros(), limit(self.left)), |row| {
                moving(row, queue)
            })?
            .collect::<rusqlite::Result<_>>()?;
        for mut job in jobs {
            let before = job.standing.state;
            let publish = job.standing.due(now);
            row::put(tx, &job, before)?;
            self.count(tx, &job, publish)?;
        }
        Ok(())
    }

    fn reap(&mut self, tx: &mut Transaction<'_>, owner: OwnerId) -> Result<(), Error> {
        if self.left == 0 {
            return Ok(());
        }
        let expected = QueueName::default_queue();
        let jobs: Vec<Moving> = tx
            .sql(RUNNING)?
            .query_map((owner.as_bytes(), limit(self.left)), |row| {
                moving(row, &expected)
            })?
            .collect::<rusqlite::Result<_>>()?;
        for mut job in jobs {
            let mut record = settle::load_record(tx.connection(), job.seq)?;
            let before = job.standing.state;
            let publish = record.reap(tx.now);
            job.standing = record.standing;
            row::put_errors(tx, job.seq, &record.errors)?;
            row::put(tx, &job, before)?;
            self.count(tx, &job, publish)?;
        }
        Ok(())
    }

    fn count(&mut self, tx: &Transaction<'_>, job: &Moving, publish: bool) -> Result<(), Error> {
        self.left -= 1;
        self.moved += 1;
        if let Some(batch) = self.batch.filter(|_| publish) {
            row::put_batch(tx, job.seq, batch)?;
            self.jobs.push(message(tx, job)?);
        }
        Ok(())
    }
}

/// The message of a job that is there.
pub(super) fn message(tx: &Transaction<'_>, job: &Moving) -> Result<Republish, Error> {
    let read = tx.sql(MESSAGE)?.query_row([job.seq], |row| {
        let mut columns = Columns::new(row);
        damage::of_row(job.seq, || {
            Ok(Republish {
                job: bananas_core::JobRef {
                    queue: job.queue.clone(),
                    id: columns.some_id(JobId::from_slice)?,
                },
                priority: row::priority(&mut columns)?,
                body: columns.bytes()?,
                copy: job.standing.copy,
            })
        })
    });
    Ok(read?)
}

/// The queues in which jobs wait for their time, the one with the first due job first.
fn waiting(connection: &Connection) -> Result<Vec<(Timestamp, QueueName)>, Error> {
    let mut statement = connection.prepare_cached(WAITING_QUEUES)?;
    // What is no name is no queue of ours.
    let queues = statement.query_map([], |row| Ok(Columns::new(row).word::<QueueName>().ok()))?;
    let mut next = connection.prepare_cached(NEXT)?;
    let mut waiting = Vec::new();
    for queue in queues {
        let Some(queue) = queue? else {
            continue;
        };
        let at = next.query_row([queue.as_str()], |row| Columns::new(row).time())?;
        waiting.extend(at.map(|at| (at, queue)));
    }
    waiting.sort();
    Ok(waiting)
}

/// The owners that are gone and still have running jobs.
fn bereft(connection: &Connection) -> Result<Vec<OwnerId>, Error> {
    let mut statement = connection.prepare_cached(BEREFT)?;
    let owners = statement.query_map([], |row| Columns::new(row).some_id(OwnerId::from_slice))?;
    Ok(owners.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 4] = [NEXT, DUE, RUNNING, MESSAGE];
