//! The watcher: one thread that notices commits of other processes while somebody here waits for them.
//!
//! SQLite has no notifications across processes. `PRAGMA data_version` is the cheapest thing to ask: it looks
//! at a counter in shared memory, some microseconds each time.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use crate::bell::Bell;
use crate::connection::Connector;
use crate::error::Error;

/// Between two looks, plus up to as much again at random, so that processes do not look in step.
const PAUSE: Duration = Duration::from_millis(10);

/// Watches until the bell is closed.
pub(crate) fn run(bell: &Arc<Bell>, connector: &Connector) {
    let mut connection = None;
    // Kept while nobody listens: what was committed in between then rings once too often, not too seldom.
    let mut seen = None;
    while bell.occupied_for(pause(connector)) {
        match look(&mut connection, connector) {
            Ok(version) => {
                if seen.replace(version) != Some(version) {
                    bell.ring_all();
                }
            }
            Err(e) => {
                tracing::warn!(error = %e, "cannot watch the database for changes");
                // Whoever waits looks for himself and meets the error.
                connection = None;
                bell.ring_all();
            }
        }
    }
}

fn look(connection: &mut Option<Connection>, connector: &Connector) -> Result<i64, Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connector.reader()?),
    };
    let mut statement = connection.prepare_cached("PRAGMA data_version")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

fn pause(connector: &Connector) -> Duration {
    let spread = u64::try_from(PAUSE.as_micros()).unwrap_or(1);
    PAUSE + Duration::from_micros(connector.env.random() % spread)
}
