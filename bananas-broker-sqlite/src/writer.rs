//! The writer: one thread per engine that owns the writing connection.
//!
//! Whatever was asked while the last commit ran goes into the next transaction together (group commit), and
//! is answered after its commit. A request that fails takes no neighbour with it: the transaction is rolled
//! back and run again without it.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bananas_core::{Env, Result};
use rusqlite::Connection;

use crate::bell::{Bell, News};
use crate::boot_clock::BootClock;
use crate::connection::Connector;
use crate::error::Error;
use crate::lane::{CloseOnExit, Lane};
use crate::store::{self, Unreadable};
use crate::transaction::Transaction;

/// About so many jobs or messages go into one transaction, so that none holds the lock for long.
const TRANSACTION_WEIGHT: usize = 10_000;

/// A request to write. It may be run more than once, and answers once.
pub(crate) trait WriteRequest: Send {
    /// Does it, inside a transaction that may yet be rolled back.
    fn run(&mut self, tx: &mut Transaction<'_>) -> std::result::Result<(), Error>;

    /// Tells the caller.
    fn answer(self: Box<Self>, end: End<'_>);

    /// About how many rows it touches.
    fn weight(&self) -> usize;
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'e> {
    /// It holds.
    Committed,
    /// It does not hold.
    Failed(&'e bananas_core::Error),
    /// Nobody knows whether it holds.
    Doubtful(&'e bananas_core::Error),
}

/// What a caller hears.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// It holds.
    Done(T),
    /// It does not hold.
    Failed(bananas_core::Error),
    /// It may hold; this is what it would have done.
    Doubtful(T, bananas_core::Error),
}

impl<T> Answer<T> {
    /// Without what is doubtful.
    pub(crate) fn into_result(self) -> Result<T> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Failed(e) | Self::Doubtful(_, e) => Err(e),
        }
    }
}

/// A request made of a closure and somebody who waits for what it returns.
pub(crate) struct Request<T, W, A> {
    work: W,
    done: Option<T>,
    answer: A,
    weight: usize,
}

impl<T, W, A> Request<T, W, A> {
    pub(crate) fn new(weight: usize, work: W, answer: A) -> Self {
        Self {
            work,
            done: None,
            answer,
            weight,
        }
    }
}

impl<T, W, A> WriteRequest for Request<T, W, A>
where
    T: Send,
    W: FnMut(&mut Transaction<'_>) -> std::result::Result<T, Error> + Send,
    A: FnOnce(Answer<T>) + Send,
{
    fn run(&mut self, tx: &mut Transaction<'_>) -> std::result::Result<(), Error> {
        self.done = Some((self.work)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, end: End<'_>) {
        let answer = match (end, self.done) {
            (End::Committed, Some(done)) => Answer::Done(done),
            (End::Doubtful(e), Some(done)) => Answer::Doubtful(done, e.repeat()),
            (End::Failed(e) | End::Doubtful(e), _) => Answer::Failed(e.repeat()),
            // A commit without a run does not happen.
            (End::Committed, None) => return,
        };
        (self.answer)(answer);
    }

    fn weight(&self) -> usize {
        self.weight
    }
}

/// Requests on their way to the writer.
pub(crate) type WriteLane = Lane<Box<dyn WriteRequest>>;

/// The writer.
pub(crate) struct Writer {
    pub(crate) lane: Arc<WriteLane>,
    pub(crate) connector: Connector,
    /// None after trouble with the disk, until it is opened anew.
    pub(crate) connection: Option<Connection>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) boot_clock: Arc<dyn BootClock>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("file", &self.connector.file)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Serves requests until the lane is closed and empty.
    pub(crate) fn run(mut self) {
        let lane = Arc::clone(&self.lane);
        let _closer = CloseOnExit(&lane);
        loop {
            let mut requests = lane.drain();
            if requests.is_empty() {
                return;
            }
            while !requests.is_empty() {
                let batch = take_weight(&mut requests);
                self.serve(batch);
            }
        }
    }

    /// Runs a batch in one transaction, and again without the request that failed.
    fn serve(&mut self, mut batch: Vec<Box<dyn WriteRequest>>) {
        while !batch.is_empty() {
            let connection = match self.connected() {
                Ok(connection) => connection,
                Err(e) => return answer(batch, &self.named(e)),
            };
            let env = Arc::clone(&self.connector.env);
            let Failure { error, culprit } =
                match transact(&connection, &env, &*self.boot_clock, |tx| {
                    run_all(&mut batch, tx)
                }) {
                    Ok(((), news)) => {
                        self.connection = Some(connection);
                        self.bell.ring(&news);
                        for request in batch {
                            request.answer(End::Committed);
                        }
                        return;
                    }
                    Err(failure) => failure,
                };
            self.recover(connection, &error);
            if let Error::Unreadable(unreadable) = &error
                && self.set_aside(unreadable)
            {
                continue;
            }
            match culprit {
                Some(index) if !error.is_environment() => {
                    let request = batch.remove(index);
                    let error: bananas_core::Error = self.named(error);
                    request.answer(End::Failed(&error));
                }
                _ => return answer(batch, &self.named(error)),
            }
        }
    }

    /// Sets aside a record that cannot be read, and those of its neighbours that cannot either, so that what came
    /// across it can be done. Whether that changed anything.
    fn set_aside(&mut self, unreadable: &Unreadable) -> bool {
        let Ok(connection) = self.connected() else {
            return false;
        };
        let env = Arc::clone(&self.connector.env);
        let work = |tx: &mut Transaction<'_>| Ok(store::set_aside(tx, unreadable.seq)?);
        match transact(&connection, &env, &*self.boot_clock, work) {
            Ok((count, news)) => {
                self.connection = Some(connection);
                self.bell.ring(&news);
                count > 0
            }
            Err(Failure { error, .. }) => {
                self.recover(connection, &error);
                false
            }
        }
    }

    fn connected(&mut self) -> std::result::Result<Connection, Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.connector.writer().map(|(connection, _)| connection),
        }
    }

    /// Rolls back; a connection that the disk has failed is closed, and never asked whether a commit holds
    /// after all: what the system keeps in memory after a failed sync says nothing about the disk
    /// (<https://wiki.postgresql.org/wiki/Fsync_Errors>).
    fn recover(&mut self, connection: Connection, error: &Error) {
        let commit_failed = matches!(error, Error::Commit(inner) if inner.makes_suspect());
        let rolled_back =
            connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
        if rolled_back && !commit_failed && !error.makes_suspect() {
            self.connection = Some(connection);
            return;
        }
        tracing::error!(file = %self.connector.file.display(), %error, "closing the database connection after a failed write");
        drop(connection);
    }

    fn named(&self, error: Error) -> bananas_core::Error {
        error.in_file(Path::new(&self.connector.file)).into()
    }
}

struct Failure {
    error: Error,
    /// Which request, if it was one of them.
    culprit: Option<usize>,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            culprit: None,
        }
    }
}

fn transact<T>(
    connection: &Connection,
    env: &Arc<dyn Env>,
    boot_clock: &dyn BootClock,
    work: impl FnOnce(&mut Transaction<'_>) -> std::result::Result<T, Failure>,
) -> std::result::Result<(T, News), Failure> {
    let before = connection.total_changes();
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut tx = Transaction::new(connection, env, boot_clock);
    let done = work(&mut tx)?;
    let news = tx.finish(before)?;
    let committed = connection.prepare_cached("COMMIT")?.execute([]);
    committed.map_err(|e| Error::Commit(Box::new(e.into())))?;
    Ok((done, news))
}

fn run_all(
    batch: &mut [Box<dyn WriteRequest>],
    tx: &mut Transaction<'_>,
) -> std::result::Result<(), Failure> {
    for (index, request) in batch.iter_mut().enumerate() {
        request.run(tx).map_err(|error| Failure {
            error,
            culprit: Some(index),
        })?;
    }
    Ok(())
}

/// Takes from the front about as much as one transaction should hold, and at least one request.
fn take_weight(requests: &mut VecDeque<Box<dyn WriteRequest>>) -> Vec<Box<dyn WriteRequest>> {
    let mut batch = Vec::new();
    let mut weight = 0;
    while let Some(request) = requests.pop_front() {
        weight += request.weight();
        batch.push(request);
        if weight >= TRANSACTION_WEIGHT {
            break;
        }
    }
    batch
}

fn answer(batch: Vec<Box<dyn WriteRequest>>, error: &bananas_core::Error) {
    let doubtful = error.status() == bananas_core::Status::MayBeApplied;
    for request in batch {
        request.answer(if doubtful {
            End::Doubtful(error)
        } else {
            End::Failed(error)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use bananas_core::{ErrorKind, Status};

    use super::*;
    use crate::boot_clock::SystemBootClock;
    use crate::testing::Place;

    /// Serves these statements in one batch, and says what became of each.
    fn serve(writer: &mut Writer, statements: &[&'static str]) -> Vec<Answer<()>> {
        let (sender, receiver) = mpsc::channel();
        let requests = statements.iter().map(|sql| -> Box<dyn WriteRequest> {
            let (sql, sender) = (*sql, sender.clone());
            let work = move |tx: &mut Transaction<'_>| Ok(tx.sql(sql)?.execute([]).map(drop)?);
            Box::new(Request::new(1, work, move |answer| {
                sender.send((sql, answer)).unwrap();
            }))
        });
        let requests = requests.collect();
        writer.serve(requests);
        let mut answers: Vec<_> = receiver.try_iter().collect();
        let order = |sql: &str| statements.iter().position(|known| *known == sql);
        answers.sort_by_key(|(sql, _)| order(sql));
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    async fn writer(place: &Place) -> Writer {
        place.open().await;
        let file = Connection::open(place.config().path).unwrap();
        // A reference that is checked at the commit: the way to make a commit fail.
        let tables = "CREATE TABLE parent (id INTEGER PRIMARY KEY);
            CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)";
        file.execute_batch(tables).unwrap();
        let connector = Connector {
            file: place.config().path,
            namespace: place.config().namespace,
            synchronous: crate::Synchronous::Normal,
            busy_timeout: std::time::Duration::from_secs(10),
            env: Arc::<bananas_core::ManualEnv>::clone(&place.env),
        };
        let connection = connector.writer().unwrap().0;
        connection
            .pragma_update(None, "foreign_keys", true)
            .unwrap();
        Writer {
            lane: Arc::new(Lane::new()),
            connector,
            connection: Some(connection),
            bell: Bell::new(),
            boot_clock: Arc::new(SystemBootClock::new()),
        }
    }

    #[tokio::test]
    async fn a_request_that_fails_takes_no_neighbour_with_it() {
        let place = Place::new();
        let mut writer = writer(&place).await;
        let good = [
            "INSERT INTO parent VALUES (1)",
            "INSERT INTO parent VALUES (2)",
        ];
        let answers = serve(
            &mut writer,
            &[good[0], "INSERT INTO parent VALUES ('x')", good[1]],
        );
        assert!(matches!(answers[0], Answer::Done(())));
        assert!(matches!(answers[1], Answer::Failed(_)));
        assert!(matches!(answers[2], Answer::Done(())));
        let file = Connection::open(place.config().path).unwrap();
        let rows: i64 = file
            .query_row("SELECT count(*) FROM parent", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 2);
    }

    #[tokio::test]
    async fn after_a_failed_commit_nothing_is_called_done_and_the_connection_is_new() {
        let place = Place::new();
        let mut writer = writer(&place).await;
        let batch = [
            "INSERT INTO parent VALUES (1)",
            "INSERT INTO child VALUES (7)",
        ];
        for answer in serve(&mut writer, &batch) {
            let Answer::Doubtful((), error) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(
                (error.kind(), error.status()),
                (ErrorKind::Internal, Status::MayBeApplied)
            );
        }
        assert!(writer.connection.is_none(), "it is not trusted any more");
        let answers = serve(&mut writer, &["INSERT INTO parent VALUES (2)"]);
        assert!(matches!(answers[0], Answer::Done(())));
    }

    #[tokio::test]
    async fn a_lock_held_for_too_long_is_unavailable_and_nothing_was_applied() {
        let place = Place::new();
        let mut writer = writer(&place).await;
        writer.connector.busy_timeout = std::time::Duration::from_millis(5);
        writer.connection = None;
        let other = Connection::open(place.config().path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let answer = serve(&mut writer, &["INSERT INTO parent VALUES (1)"]).remove(0);
        let error = answer.into_result().unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (ErrorKind::Unavailable, Status::NotApplied)
        );
        other.execute_batch("ROLLBACK").unwrap();
        let answers = serve(&mut writer, &["INSERT INTO parent VALUES (1)"]);
        assert!(matches!(answers[0], Answer::Done(())));
    }
}
