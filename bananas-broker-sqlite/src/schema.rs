//! The tables, made and changed by numbered files, each in one transaction.

use std::path::Path;

use bananas_core::{Env, ErrorKind};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::error::Error;

/// Step n brings a file from version n - 1 to version n.
pub(crate) const STEPS: [&str; 3] = [
    include_str!("migrations/0001_jobs.sql"),
    include_str!("migrations/0002_filters.sql"),
    include_str!("migrations/0003_blobs.sql"),
];

/// Marks our files for `file(1)` and for other programs: "Bnns".
const APPLICATION_ID: i32 = 0x426e_6e73;

/// What the file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFacts {
    /// Made with the file; tells receipts of different files apart.
    pub(crate) file_id: u64,
}

/// Brings the file to this program's version and checks that it is the one that was meant.
pub(crate) fn migrate(
    connection: &mut Connection,
    file: &Path,
    namespace: &str,
    env: &dyn Env,
) -> Result<FileFacts, Error> {
    let known = i32::try_from(STEPS.len()).unwrap_or(i32::MAX);
    let version = look(connection, file)?;
    if version > known {
        let message = format!(
            "database file {file:?} has schema version {version}, this program knows versions up to {known}; \
             use a newer program"
        );
        return Err(conflict(message));
    }
    if version < known {
        apply(connection, namespace, env)?;
    }
    facts(connection, file, namespace)
}

fn apply(connection: &mut Connection, namespace: &str, env: &dyn Env) -> Result<(), Error> {
    for (step, target) in STEPS.iter().zip(1_i32..) {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        if version(&tx)? >= target {
            continue;
        }
        tx.execute_batch(step)?;
        if target == 1 {
            tx.execute(
                "INSERT INTO meta (name, value) VALUES ('namespace', ?1), ('file_id', ?2), ('created_at', ?3)",
                (
                    namespace,
                    format!("{:016x}", env.random()),
                    env.now().as_micros().to_string(),
                ),
            )?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        tx.pragma_update(None, "user_version", target)?;
        tx.commit()?;
    }
    Ok(())
}

fn facts(connection: &Connection, file: &Path, namespace: &str) -> Result<FileFacts, Error> {
    let meta = |name: &str| -> Result<String, Error> {
        connection
            .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
                row.get(0)
            })
            .optional()?
            .ok_or_else(|| Error::Corrupt(format!("table meta has no row {name:?}")))
    };
    let recorded = meta("namespace")?;
    if recorded != namespace {
        let message = format!(
            "database file {file:?} belongs to namespace {recorded:?}, not {namespace:?}; \
             set broker.namespace to {recorded:?} or name another file"
        );
        return Err(conflict(message));
    }
    let file_id = u64::from_str_radix(&meta("file_id")?, 16)
        .map_err(|e| Error::Corrupt(format!("file_id in table meta: {e}")))?;
    Ok(FileFacts { file_id })
}

/// The version of the file, which is ours or new. One look sees one state of it: another process may make the file
/// at this moment, and half of that would look like the file of another program.
fn look(connection: &mut Connection, file: &Path) -> Result<i32, Error> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let version = version(&tx)?;
    check_application(&tx, file, version)?;
    tx.commit()?;
    Ok(version)
}

/// Refuses to add tables to the file of another program.
fn check_application(connection: &Connection, file: &Path, version: i32) -> Result<(), Error> {
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = application == 0 && version == 0 && tables == 0;
    if is_new || application == APPLICATION_ID {
        return Ok(());
    }
    let message = format!(
        "database file {file:?} belongs to another program (application id {application:#x}); \
         name a file of its own for Bananas"
    );
    Err(conflict(message))
}

fn version(connection: &Connection) -> Result<i32, Error> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn conflict(message: String) -> Error {
    Error::Refused(bananas_core::Error::new(ErrorKind::Conflict, message))
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use bananas_core::TokioEnv;

    use super::*;

    #[tokio::test]
    async fn a_file_that_another_process_makes_at_this_moment_is_not_taken_for_that_of_another_program()
     {
        let place = tempfile::tempdir().unwrap();
        let env = TokioEnv::current();
        for round in 0..100 {
            let file = place.path().join(format!("{round}.db"));
            let open = || {
                let connection = Connection::open(&file).unwrap();
                connection.busy_timeout(Duration::from_secs(60)).unwrap();
                connection
            };
            let mut maker = open();
            maker.pragma_update(None, "journal_mode", "wal").unwrap();
            let lookers = [open(), open(), open()];
            thread::scope(|scope| {
                for mut looker in lookers {
                    let file = &file;
                    // It looks again and again while the file is made.
                    scope.spawn(move || while look(&mut looker, file).unwrap() == 0 {});
                }
                migrate(&mut maker, &file, "bananas", &env).unwrap();
            });
        }
    }
}
