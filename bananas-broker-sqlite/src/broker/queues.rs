//! Queues of the broker: made, listed, removed.

use bananas_core::{Error as CoreError, ErrorKind, QueueName, Result};
use rusqlite::{Connection, OptionalExtension};

use crate::columns::Columns;
use crate::error::Error;
use crate::transaction::Transaction;

const ENSURE: &str =
    "INSERT INTO queues (name, incarnation, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
const INCARNATION: &str = "SELECT incarnation FROM queues WHERE name = ?1";
const LIST: &str = "SELECT name FROM queues ORDER BY name";
const DELETE: &str = "DELETE FROM queues WHERE name = ?1";
const DELETE_MESSAGES: &str = "DELETE FROM messages WHERE queue = ?1";

/// Makes the queues that do not exist.
pub(super) fn ensure(
    tx: &mut Transaction<'_>,
    names: &[QueueName],
) -> std::result::Result<(), Error> {
    for name in names {
        let incarnation = format!("{:016x}", tx.env.random());
        tx.sql(ENSURE)?
            .execute((name.as_str(), incarnation, tx.now.as_micros()))?;
        tx.touched(name);
    }
    Ok(())
}

/// The incarnation of a queue, if it exists.
pub(super) fn incarnation(
    connection: &Connection,
    name: &QueueName,
) -> std::result::Result<Option<String>, Error> {
    let mut statement = connection.prepare_cached(INCARNATION)?;
    Ok(statement
        .query_row([name.as_str()], |row| row.get(0))
        .optional()?)
}

/// `NotFound` for a queue that was never ensured.
pub(super) fn check(
    connection: &Connection,
    name: &QueueName,
) -> std::result::Result<Result<()>, Error> {
    if incarnation(connection, name)?.is_some() {
        return Ok(Ok(()));
    }
    let error = CoreError::new(
        ErrorKind::NotFound,
        "the queue does not exist; ensure it first",
    );
    Ok(Err(error.on(name)))
}

/// The names of all queues.
pub(super) fn list(connection: &Connection) -> std::result::Result<Vec<QueueName>, Error> {
    let mut statement = connection.prepare_cached(LIST)?;
    let names = statement.query_map([], |row| Columns::new(row).word())?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

/// Removes a queue with everything in it.
pub(super) fn delete(tx: &mut Transaction<'_>, name: &QueueName) -> std::result::Result<(), Error> {
    tx.sql(DELETE)?.execute([name.as_str()])?;
    tx.sql(DELETE_MESSAGES)?.execute([name.as_str()])?;
    tx.touched(name);
    Ok(())
}

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 4] = [ENSURE, INCARNATION, LIST, DELETE];
