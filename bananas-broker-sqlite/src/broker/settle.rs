//! Settling deliveries and extending their leases.

use std::time::Duration;

use bananas_core::{
    Error as CoreError, ErrorKind, JobId, QueueName, RawMessage, Receipt, Result, Settle, Settled,
    Settlement, Timestamp,
};
use rusqlite::{OptionalExtension, params};

use super::message::{self, properties_json};
use super::receipt::Claimed;
use crate::boot_clock::micros;
use crate::columns::Columns;
use crate::error::Error;
use crate::transaction::Transaction;

const LOAD: &str = "SELECT queue, state = 'leased', token, lease_boot, lease_until, lease_us FROM messages WHERE seq = ?1";
const DELETE: &str = "DELETE FROM messages WHERE seq = ?1";
/// The token stays, so that a second settlement is told that it came twice.
const RELEASE: &str = "UPDATE messages SET state = ?2, due_at = ?3, consumer = NULL WHERE seq = ?1";
const BURY: &str =
    "UPDATE messages SET state = 'dead', reason = ?2, consumer = NULL WHERE seq = ?1";
const REPLACE: &str = "UPDATE messages SET id = ?2, priority = ?3, not_before = ?4, key = ?5, properties = ?6, body = ?7 WHERE seq = ?1";
const EXTEND: &str = "UPDATE messages SET lease_until = ?2, lease_us = ?3 WHERE seq = ?1";

/// Settles deliveries; each has its own answer.
pub(super) fn settle(
    tx: &mut Transaction<'_>,
    file_id: u64,
    batch: &[Settle],
) -> std::result::Result<Vec<Result<Settled>>, Error> {
    let mut answers = Vec::with_capacity(batch.len());
    for settle in batch {
        answers.push(match Claimed::read(&settle.receipt, file_id) {
            Ok(claimed) => settle_one(tx, claimed, &settle.settlement)?,
            Err(e) => Err(e),
        });
    }
    Ok(answers)
}

/// Makes leases last `lease` from now; each has its own answer.
pub(super) fn extend(
    tx: &mut Transaction<'_>,
    file_id: u64,
    receipts: &[Receipt],
    lease: Duration,
) -> std::result::Result<Vec<Result<()>>, Error> {
    let mut answers = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        let claimed = match Claimed::read(receipt, file_id) {
            Ok(claimed) => claimed,
            Err(e) => {
                answers.push(Err(e));
                continue;
            }
        };
        answers.push(match held(tx, claimed)? {
            Held::Ours(_) => {
                tx.sql(EXTEND)?
                    .execute((claimed.seq, tx.moment.after(lease), micros(lease)))?;
                Ok(())
            }
            Held::Settled | Held::Lost => Err(CoreError::new(
                ErrorKind::Conflict,
                "the lease was lost before it was extended",
            )),
        });
    }
    Ok(answers)
}

/// What became of a delivery.
enum Held {
    /// Its lease holds, on this queue.
    Ours(QueueName),
    /// It was settled.
    Settled,
    /// Its lease has ended.
    Lost,
}

fn held(tx: &Transaction<'_>, claimed: Claimed) -> std::result::Result<Held, Error> {
    let held = tx
        .sql(LOAD)?
        .query_row([claimed.seq], |row| {
            let mut columns = Columns::new(row);
            let queue = columns.word()?;
            let leased = columns.number::<i64>()? != 0;
            if columns.optional_number()? != Some(claimed.token) {
                return Ok(Held::Lost);
            }
            if !leased {
                return Ok(Held::Settled);
            }
            let boot = columns.text()?.unwrap_or_default();
            let holds = tx.moment.holds(boot, columns.number()?, columns.number()?);
            Ok(if holds { Held::Ours(queue) } else { Held::Lost })
        })
        .optional()?;
    Ok(held.unwrap_or(Held::Settled))
}

fn settle_one(
    tx: &mut Transaction<'_>,
    claimed: Claimed,
    settlement: &Settlement,
) -> std::result::Result<Result<Settled>, Error> {
    let queue = match held(tx, claimed)? {
        Held::Ours(queue) => queue,
        Held::Settled => return Ok(Ok(Settled::Already)),
        Held::Lost => return Ok(Ok(Settled::LeaseLost)),
    };
    let replacement = match settlement {
        Settlement::Retry { message, .. } => Some(message),
        Settlement::DeadLetter { message, .. } => message.as_ref(),
        Settlement::Ack | Settlement::Release { .. } => None,
    };
    if let Some(Err(e)) = replacement.map(|message| message::check_size(message)) {
        return Ok(Err(e.on(&queue)));
    }
    match settlement {
        Settlement::Ack => {
            tx.sql(DELETE)?.execute([claimed.seq])?;
        }
        Settlement::Retry { delay, message } => {
            let due_at = later(tx.now, *delay).max(message.not_before);
            tx.sql(DELETE)?.execute([claimed.seq])?;
            message::insert(tx, queue.as_str(), message, due_at)?;
        }
        Settlement::Release { delay } => {
            let due_at = later(tx.now, *delay);
            let state = if due_at.is_some() { "delayed" } else { "ready" };
            tx.sql(RELEASE)?
                .execute((claimed.seq, state, due_at.map(Timestamp::as_micros)))?;
        }
        Settlement::DeadLetter { reason, message } => {
            if let Some(message) = message {
                replace(tx, claimed.seq, message)?;
            }
            tx.sql(BURY)?.execute((claimed.seq, reason))?;
        }
    }
    tx.touched(&queue);
    Ok(Ok(Settled::Done))
}

fn replace(tx: &Transaction<'_>, seq: i64, message: &RawMessage) -> std::result::Result<(), Error> {
    tx.sql(REPLACE)?.execute(params![
        seq,
        message.id.as_ref().map(JobId::as_bytes),
        message.priority.get(),
        message.not_before.map(Timestamp::as_micros),
        message.key,
        properties_json(&message.properties),
        &*message.body,
    ])?;
    Ok(())
}

fn later(now: Timestamp, delay: Duration) -> Option<Timestamp> {
    (!delay.is_zero()).then(|| now + delay)
}

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 6] = [LOAD, DELETE, RELEASE, BURY, REPLACE, EXTEND];
