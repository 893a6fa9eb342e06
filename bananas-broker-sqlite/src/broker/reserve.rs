//! Taking messages under a lease.

use std::time::Duration;

use bananas_core::{OwnerId, QueueName, RawMessage, Result, Timestamp};
use rusqlite::Connection;

use super::message::{self, message_columns};
use super::queues;
use super::receipt::Claimed;
use crate::boot_clock::{Moment, micros};
use crate::columns::{Columns, limit};
use crate::error::Error;
use crate::transaction::Transaction;

const LOOK: &str = "SELECT
    EXISTS (SELECT 1 FROM messages WHERE state = 'ready' AND queue = ?1),
    (SELECT min(due_at) FROM messages WHERE state = 'delayed' AND queue = ?1),
    (SELECT min(lease_until) FROM messages WHERE state = 'leased' AND queue = ?1)";
const HELD: &str = "SELECT count(*) FROM messages WHERE state = 'leased' AND consumer = ?1";
const PROMOTE: &str = "UPDATE messages SET state = 'ready', due_at = NULL WHERE seq IN
    (SELECT seq FROM messages WHERE state = 'delayed' AND queue = ?1 AND due_at <= ?2 ORDER BY due_at LIMIT ?3)";
/// The token goes, so that the old receipt is told that its lease was lost.
const REVIVE: &str =
    "UPDATE messages SET state = 'ready', token = NULL, consumer = NULL WHERE seq IN
    (SELECT seq FROM messages WHERE state = 'leased' AND queue = ?1 AND lease_until <= ?2)";
/// Reads all leases of a queue; run once per consumer, for leases of an earlier boot.
const REVIVE_OTHER_BOOTS: &str =
    "UPDATE messages SET state = 'ready', token = NULL, consumer = NULL
    WHERE seq IN (SELECT seq FROM messages WHERE state = 'leased' AND queue = ?1
    AND (lease_boot <> ?2 OR lease_until - lease_us > ?3))";
const READY: &str = concat!(
    "SELECT seq, deliveries, ",
    message_columns!(),
    " FROM messages WHERE state = 'ready' AND queue = ?1 ORDER BY priority DESC, seq LIMIT ?2"
);
const LEASE: &str =
    "UPDATE messages SET state = 'leased', deliveries = ?2, token = ?3, consumer = ?4,
    lease_boot = ?5, lease_until = ?6, lease_us = ?7 WHERE seq = ?1";
const UNLEASE: &str = "UPDATE messages SET state = 'ready', deliveries = deliveries - 1, token = NULL, consumer = NULL
    WHERE seq = ?1 AND token = ?2 AND state = 'leased'";

/// How many due messages one look makes ready at least, so that the most urgent of them comes first.
const PROMOTED: usize = 100;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) queue: QueueName,
    pub(super) consumer: OwnerId,
    pub(super) lease: Duration,
    pub(super) credit: u32,
    pub(super) max: usize,
}

/// What a look at a queue found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Something to take.
    Ready,
    /// Nothing; a message is due then, or a lease ends after so long.
    Nothing {
        due: Option<Timestamp>,
        lease_ends: Option<Duration>,
    },
}

/// A message that was taken.
#[derive(Clone, Debug)]
pub(super) struct Reserved {
    pub(super) claimed: Claimed,
    pub(super) message: RawMessage,
    pub(super) deliveries: u32,
}

/// Checks the queue for a new consumer, and frees what was leased before the machine started.
pub(super) fn open(
    tx: &mut Transaction<'_>,
    queue: &QueueName,
) -> std::result::Result<Result<()>, Error> {
    if let Err(refused) = queues::check(tx.connection(), queue)? {
        return Ok(Err(refused));
    }
    tx.sql(REVIVE_OTHER_BOOTS)?
        .execute((queue.as_str(), &*tx.moment.boot, tx.moment.micros))?;
    Ok(Ok(()))
}

/// Looks, without a lock, whether there is something to take.
pub(super) fn look(
    connection: &Connection,
    wish: &Wish,
    now: Timestamp,
    moment: &Moment,
) -> std::result::Result<Result<Found>, Error> {
    if let Err(refused) = queues::check(connection, &wish.queue)? {
        return Ok(Err(refused));
    }
    let (ready, due, lease_until) =
        connection
            .prepare_cached(LOOK)?
            .query_row([wish.queue.as_str()], |row| {
                let mut columns = Columns::new(row);
                let ready = columns.number::<i64>()? != 0;
                Ok((ready, columns.time()?, columns.optional_number()?))
            })?;
    let lease_ends = lease_until
        .map(|until| Duration::from_micros(u64::try_from(until - moment.micros).unwrap_or(0)));
    let lapsed = lease_ends.is_some_and(|left| left.is_zero());
    let has_room = lapsed || room(connection, wish)? > 0;
    if lapsed || (has_room && (ready || due.is_some_and(|at| at <= now))) {
        return Ok(Ok(Found::Ready));
    }
    // Without room only the end of a lease, or a settlement, changes anything.
    let due = due.filter(|_| has_room);
    Ok(Ok(Found::Nothing { due, lease_ends }))
}

/// Takes what is ready, as far as the credit goes.
pub(super) fn reserve(
    tx: &mut Transaction<'_>,
    wish: &Wish,
) -> std::result::Result<Result<Vec<Reserved>>, Error> {
    if let Err(refused) = queues::check(tx.connection(), &wish.queue)? {
        return Ok(Err(refused));
    }
    let queue = wish.queue.as_str();
    refresh(tx, &wish.queue, wish.max.max(PROMOTED))?;
    let max = room(tx.connection(), wish)?.min(wish.max);
    let mut reserved = tx
        .sql(READY)?
        .query_map((queue, limit(max)), |row| {
            let mut columns = Columns::new(row);
            let seq = columns.number()?;
            let deliveries: u32 = columns.number()?;
            Ok(Reserved {
                claimed: Claimed { seq, token: 0 },
                deliveries: deliveries.saturating_add(1),
                message: message::read(&mut columns)?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut lease = tx.sql(LEASE)?;
    for item in &mut reserved {
        item.claimed.token = i64::from_be_bytes(tx.env.random().to_be_bytes());
        lease.execute((
            item.claimed.seq,
            item.deliveries,
            item.claimed.token,
            wish.consumer.as_bytes(),
            &*tx.moment.boot,
            tx.moment.after(wish.lease),
            micros(wish.lease),
        ))?;
    }
    Ok(Ok(reserved))
}

/// Makes ready whose lease has ended, and at most `max` that are due.
pub(super) fn refresh(
    tx: &mut Transaction<'_>,
    queue: &QueueName,
    max: usize,
) -> std::result::Result<(), Error> {
    let name = queue.as_str();
    let revived = tx.sql(REVIVE)?.execute((name, tx.moment.micros))?;
    let promoted = tx
        .sql(PROMOTE)?
        .execute((name, tx.now.as_micros(), limit(max)))?;
    if revived + promoted > 0 {
        tx.touched(queue);
    }
    Ok(())
}

/// Gives back what was taken and never handed out: as if it had not been delivered.
pub(super) fn unreserve(
    tx: &mut Transaction<'_>,
    queue: &QueueName,
    claimed: &[Claimed],
) -> std::result::Result<(), Error> {
    let mut unlease = tx.sql(UNLEASE)?;
    for item in claimed {
        unlease.execute((item.seq, item.token))?;
    }
    tx.touched(queue);
    Ok(())
}

/// How many more the consumer may hold.
fn room(connection: &Connection, wish: &Wish) -> std::result::Result<usize, Error> {
    let held: u32 = connection
        .prepare_cached(HELD)?
        .query_row([wish.consumer.as_bytes()], |row| Columns::new(row).number())?;
    Ok(usize::try_from(wish.credit.saturating_sub(held)).unwrap_or(0))
}

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 8] = [
    LOOK,
    HELD,
    PROMOTE,
    REVIVE,
    REVIVE_OTHER_BOOTS,
    READY,
    LEASE,
    UNLEASE,
];
