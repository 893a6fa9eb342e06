//! A reader: a thread with a connection that only reads.
//!
//! An engine has two, one for quick looks and one for queries that may take long, so that no long query
//! holds up a worker that looks for jobs.

use std::sync::Arc;

use rusqlite::Connection;

use crate::connection::Connector;
use crate::error::Error;
use crate::lane::{CloseOnExit, Lane};

/// A request to read; it answers its caller itself. The error is that of opening the connection.
pub(crate) type ReadRequest = Box<dyn FnOnce(Result<&Connection, Error>) + Send>;

/// Requests on their way to a reader.
pub(crate) type ReadLane = Lane<ReadRequest>;

/// Serves requests until the lane is closed and empty.
pub(crate) fn run(lane: &Arc<ReadLane>, connector: &Connector) {
    let _closer = CloseOnExit(&**lane);
    let mut connection = None;
    while let Some(request) = lane.pop() {
        if connection.is_none() {
            match connector.reader() {
                Ok(opened) => connection = Some(opened),
                Err(e) => {
                    request(Err(e));
                    continue;
                }
            }
        }
        if let Some(connection) = &connection {
            request(Ok(connection));
        }
    }
}
