//! Opening connections to the file, with the same settings each time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::Env;
use rusqlite::{Connection, OpenFlags};

use crate::busy::Patience;
use crate::config::Synchronous;
use crate::error::Error;
use crate::schema::{self, FileFacts};

/// How many prepared statements a connection keeps: more than there are in this crate.
const STATEMENTS: usize = 128;

/// After so many pages of 4 KiB in the log (16 MiB) a commit copies them into the file. Larger than SQLite's
/// 1000: the copying, with its two more syncs, is then spread over four times as many commits.
const CHECKPOINT_PAGES: u32 = 4_000;

/// Opens connections to one file.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    pub(crate) file: PathBuf,
    pub(crate) namespace: String,
    pub(crate) synchronous: Synchronous,
    pub(crate) busy_timeout: Duration,
    pub(crate) env: Arc<dyn Env>,
}

impl Connector {
    /// The connection that writes; makes and migrates the file.
    pub(crate) fn writer(&self) -> Result<(Connection, FileFacts), Error> {
        let opened = self.open_writer();
        opened.map_err(|e| e.in_file(&self.file))
    }

    /// A connection that only reads.
    pub(crate) fn reader(&self) -> Result<Connection, Error> {
        // Not opened read-only: a reader may have to recover the log of a process that died.
        let opened = self.open().and_then(|connection| {
            connection.pragma_update(None, "query_only", true)?;
            connection.pragma_update(None, "cache_size", -2_000)?;
            Ok(connection)
        });
        opened.map_err(|e| e.in_file(&self.file))
    }

    fn open_writer(&self) -> Result<(Connection, FileFacts), Error> {
        let mut connection = self.open()?;
        if connection.is_readonly("main")? {
            return Err(Error::ReadOnly);
        }
        self.use_log(&connection)?;
        connection.pragma_update(None, "synchronous", self.synchronous.pragma())?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        connection.pragma_update(None, "cache_size", -16_000)?;
        let facts = schema::migrate(&mut connection, &self.file, &self.namespace, &*self.env)?;
        Ok((connection, facts))
    }

    fn open(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.file, flags)?;
        let mut patience = self.patience();
        connection.busy_handler(Some(move |looks: i32| {
            patience.wait(u32::try_from(looks).unwrap_or(0))
        }))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Sorting and sub-journals stay in memory. No memory-mapped reads: a failing disk would then be a
        // fatal signal instead of an error.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    }

    /// Switches to the write-ahead log. While several processes do that at once, SQLite answers "locked"
    /// without asking the busy handler.
    fn use_log(&self, connection: &Connection) -> Result<(), Error> {
        let mut patience = self.patience();
        for looks in 0.. {
            let switched: Result<String, Error> = connection
                .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
                .map_err(Error::from);
            match switched {
                Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
                Ok(mode) => {
                    return Err(Error::Refused(bananas_core::Error::new(
                        bananas_core::ErrorKind::Unsupported,
                        format!(
                            "database file {:?} cannot use a write-ahead log here (SQLite stays in mode {mode}); \
                             use a local disk with shared memory",
                            self.file
                        ),
                    )));
                }
                Err(Error::Busy) if patience.wait(looks) => {}
                Err(e) => return Err(e),
            }
        }
        Err(Error::Busy)
    }

    fn patience(&self) -> Patience {
        Patience::new(self.busy_timeout, self.env.random())
    }
}
