//! Taking ready jobs straight from the table, where the record is the message.

use bananas_core::{JobId, OwnerId, Priority, QueueName, Result, Standing, Taken, Timestamp};
use bytes::Bytes;
use rusqlite::{Connection, Row};

use super::row::{self, Moving, standing, standing_columns};
use super::{damage, due, owners};
use crate::boot_clock::Moment;
use crate::columns::{Columns, limit, signed};
use crate::error::Error;
use crate::transaction::Transaction;

const LOOK: &str = "SELECT
    EXISTS (SELECT 1 FROM jobs WHERE state = 'ready' AND crashes = 0 AND queue = ?1),
    EXISTS (SELECT 1 FROM jobs WHERE state = 'ready' AND crashes > 0 AND queue = ?1),
    (SELECT min(run_at) FROM jobs WHERE (state = 'scheduled' OR state = 'retrying') AND queue = ?1)";
const READY: &str = concat!(
    "SELECT seq, track, id, priority, body, ",
    standing_columns!(),
    " FROM jobs WHERE state = 'ready' AND crashes = 0 AND queue = ?1 ORDER BY priority DESC, seq LIMIT ?2"
);
const SUSPECTS: &str = concat!(
    "SELECT seq, track, id, priority, body, ",
    standing_columns!(),
    " FROM jobs WHERE state = 'ready' AND crashes > 0 AND queue = ?1 ORDER BY priority DESC, seq LIMIT ?2"
);
const START: &str = "UPDATE jobs SET state = 'running', epoch = ?2, owner = ?3, claimed_copy = ?4,
    claimed_delivery = ?5, run_at = NULL, started_at = ?6 WHERE seq = ?1";

/// How many pages of jobs that have expired are passed over in one transaction.
const EXPIRED_PAGES: usize = 8;

/// How many due jobs one look makes ready at least, so that the most urgent of them comes first, and one that
/// has expired or is a suspect does not stand in the way of the others.
const PROMOTED: usize = 100;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) queue: QueueName,
    pub(super) owner: OwnerId,
    pub(super) max: usize,
    pub(super) suspects: usize,
}

/// What a look at a queue found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Something to take.
    Ready,
    /// Nothing; the next job is due then.
    Nothing { next: Option<Timestamp> },
}

/// Looks, without a lock, whether there is something to take.
pub(super) fn look(
    connection: &Connection,
    wish: &Wish,
    now: Timestamp,
    moment: &Moment,
) -> std::result::Result<Result<Found>, Error> {
    if let Err(refused) = owners::check(connection, wish.owner, moment)? {
        return Ok(Err(refused.on(&wish.queue)));
    }
    let (ready, suspect, next) =
        connection
            .prepare_cached(LOOK)?
            .query_row([wish.queue.as_str()], |row| {
                let mut columns = Columns::new(row);
                let (ready, suspect) = (columns.number::<i64>()?, columns.number::<i64>()?);
                Ok((ready != 0, suspect != 0, columns.time()?))
            })?;
    let is_due = next.is_some_and(|at| at <= now);
    if ready || is_due || (suspect && wish.suspects > 0) {
        return Ok(Ok(Found::Ready));
    }
    Ok(Ok(Found::Nothing { next }))
}

/// Starts what is ready, due jobs included.
pub(super) fn take(
    tx: &mut Transaction<'_>,
    wish: &Wish,
) -> std::result::Result<Result<Vec<Taken>>, Error> {
    if let Err(refused) = owners::check(tx.connection(), wish.owner, &tx.moment)? {
        return Ok(Err(refused.on(&wish.queue)));
    }
    due::promote(tx, &wish.queue, wish.max.max(PROMOTED))?;
    let mut taken = Vec::new();
    for _ in 0..EXPIRED_PAGES {
        let candidates = candidates(tx, wish)?;
        let none = candidates.is_empty();
        for candidate in candidates {
            taken.extend(start(tx, candidate, wish.owner)?);
        }
        if none || !taken.is_empty() {
            break;
        }
    }
    Ok(Ok(taken))
}

/// Checks which jobs a commit of unknown outcome has started after all.
pub(super) fn started(
    tx: &Transaction<'_>,
    wish: &Wish,
    doubtful: &[Taken],
) -> std::result::Result<Vec<Taken>, Error> {
    let mut started = Vec::new();
    for taken in doubtful {
        let job = super::settle::load(tx.connection(), taken.id, &wish.queue)?;
        let is_ours = job.is_some_and(|job| {
            job.standing.owner == Some(wish.owner) && job.standing.epoch == taken.epoch
        });
        if is_ours {
            started.push(taken.clone());
        }
    }
    Ok(started)
}

struct Candidate {
    job: Moving,
    id: JobId,
    priority: Priority,
    body: Bytes,
}

/// Ready jobs and suspects, in order, no more than wished of either.
fn candidates(tx: &Transaction<'_>, wish: &Wish) -> std::result::Result<Vec<Candidate>, Error> {
    let select = |sql: &str, max: usize| -> std::result::Result<Vec<Candidate>, Error> {
        let mut statement = tx.sql(sql)?;
        let rows = statement.query_map((wish.queue.as_str(), limit(max)), |row| {
            candidate(row, &wish.queue)
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    };
    let mut candidates = select(READY, wish.max)?;
    if wish.suspects > 0 {
        let suspects = select(SUSPECTS, wish.suspects.min(wish.max))?;
        if !suspects.is_empty() {
            candidates.extend(suspects);
            candidates.sort_by_key(|c| (std::cmp::Reverse(c.priority), c.job.seq));
            candidates.truncate(wish.max);
        }
    }
    Ok(candidates)
}

fn candidate(row: &Row<'_>, queue: &QueueName) -> rusqlite::Result<Candidate> {
    let mut columns = Columns::new(row);
    let seq = columns.number()?;
    damage::of_row(seq, || rest_of_candidate(seq, &mut columns, queue))
}

fn rest_of_candidate(
    seq: i64,
    columns: &mut Columns<'_, '_>,
    queue: &QueueName,
) -> rusqlite::Result<Candidate> {
    let track = columns.word()?;
    let id = columns.some_id(JobId::from_slice)?;
    let priority = row::priority(columns)?;
    let body = columns.bytes()?;
    Ok(Candidate {
        job: Moving {
            seq,
            queue: queue.clone(),
            track,
            standing: standing(columns)?,
        },
        id,
        priority,
        body,
    })
}

/// Starts a job; none when its time has passed.
fn start(
    tx: &mut Transaction<'_>,
    candidate: Candidate,
    owner: OwnerId,
) -> std::result::Result<Option<Taken>, Error> {
    let mut job = candidate.job;
    let before = job.standing.state;
    let copy = job.standing.copy;
    if !job.standing.start(owner, (copy, 1), tx.now) {
        row::put(tx, &job, before)?;
        return Ok(None);
    }
    let Standing {
        epoch,
        claimed_with,
        failed_attempts,
        crashes,
        state,
        ..
    } = job.standing;
    tx.sql(START)?.execute((
        job.seq,
        signed(epoch),
        owner.as_bytes(),
        claimed_with.0,
        claimed_with.1,
        tx.now.as_micros(),
    ))?;
    tx.moved(&job.queue, Some(before), Some(state));
    Ok(Some(Taken {
        id: candidate.id,
        body: candidate.body,
        priority: candidate.priority,
        epoch,
        attempt: failed_attempts + 1,
        crashes,
    }))
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 4] = [LOOK, READY, SUSPECTS, START];
