//! Looking after the broker's queues.

use async_trait::async_trait;
use bananas_core::{
    BrokerAdmin, Bucket, Count, Depth, JobId, QueueName, RawMessage, Result, Timestamp,
};
use rusqlite::{Connection, Row};

use super::message::{self, message_columns};
use super::{SqliteBroker, queues, reserve};
use crate::boot_clock::Moment;
use crate::columns::{Columns, limit};
use crate::engine::{Pace, Side};
use crate::error::Error;
use crate::transaction::Transaction;

/// Counts along the indexes of one queue; what is due or whose lease has ended counts as ready.
const DEPTH: &str = "SELECT
    (SELECT count(*) FROM messages WHERE state = 'ready' AND queue = ?1),
    (SELECT count(*) FROM messages WHERE state = 'leased' AND queue = ?1 AND lease_until <= ?3),
    (SELECT count(*) FROM messages WHERE state = 'leased' AND queue = ?1 AND lease_until > ?3),
    (SELECT count(*) FROM messages WHERE state = 'delayed' AND queue = ?1 AND due_at <= ?2),
    (SELECT count(*) FROM messages WHERE state = 'delayed' AND queue = ?1 AND due_at > ?2),
    (SELECT count(*) FROM messages WHERE state = 'dead' AND queue = ?1)";
/// What is due or whose lease has ended is as good as ready; sorting it is no work, unlike sorting the backlog.
const PEEK_READY: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM (
    SELECT * FROM (SELECT * FROM messages WHERE state = 'ready' AND queue = ?1
        ORDER BY priority DESC, seq LIMIT ?2)
    UNION ALL SELECT * FROM messages WHERE state = 'delayed' AND queue = ?1 AND due_at <= ?3
    UNION ALL SELECT * FROM messages WHERE state = 'leased' AND queue = ?1 AND lease_until <= ?4)
    ORDER BY priority DESC, seq LIMIT ?2"
);
const PEEK_DELAYED: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages WHERE state = 'delayed' AND queue = ?1 AND due_at > ?3 ORDER BY due_at LIMIT ?2"
);
const PEEK_DEAD: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", reason FROM messages WHERE state = 'dead' AND queue = ?1 ORDER BY seq LIMIT ?2"
);
const PURGE_READY: &str = "DELETE FROM messages WHERE state = 'ready' AND queue = ?1";
const PURGE_DELAYED: &str = "DELETE FROM messages WHERE state = 'delayed' AND queue = ?1";
const PURGE_DEAD: &str = "DELETE FROM messages WHERE state = 'dead' AND queue = ?1";
const REDRIVE: &str =
    "UPDATE messages SET state = 'ready', deliveries = 0, reason = NULL, token = NULL
    WHERE state = 'dead' AND queue = ?1";
const REDRIVE_ONE: &str =
    "UPDATE messages SET state = 'ready', deliveries = 0, reason = NULL, token = NULL
    WHERE state = 'dead' AND queue = ?1 AND id = ?2";

#[async_trait]
impl BrokerAdmin for SqliteBroker {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        let queues = queues.to_vec();
        let (now, moment) = (self.shared.now(), self.shared.moment());
        self.read(move |connection| {
            let mut depths = Vec::with_capacity(queues.len());
            for queue in &queues {
                depths.extend(depth(connection, queue, now, &moment)?);
            }
            Ok(depths)
        })
        .await
    }

    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>> {
        let view = View {
            queue: queue.clone(),
            now: self.shared.now(),
            moment: self.shared.moment(),
        };
        self.read(move |connection| peek(connection, &view, bucket, max))
            .await?
    }

    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        let queue = queue.clone();
        self.write(1, move |tx| {
            let sql = match bucket {
                Bucket::Ready => PURGE_READY,
                Bucket::Delayed => PURGE_DELAYED,
                Bucket::Dead => PURGE_DEAD,
            };
            change(tx, &queue, |tx| {
                reserve::refresh(tx, &queue, usize::MAX)?;
                Ok(tx.sql(sql)?.execute([queue.as_str()])?)
            })
        })
        .await?
    }

    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        let (queue, ids) = (queue.clone(), ids.map(<[JobId]>::to_vec));
        self.write(1, move |tx| {
            change(tx, &queue, |tx| redrive(tx, &queue, ids.as_deref()))
        })
        .await?
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        self.read(queues::list).await
    }

    async fn delete(&self, queue: &QueueName) -> Result<()> {
        let queue = queue.clone();
        self.write(1, move |tx| queues::delete(tx, &queue)).await
    }
}

impl SqliteBroker {
    async fn read<T, R>(&self, work: R) -> Result<T>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> std::result::Result<T, Error> + Send + 'static,
    {
        self.shared.check_open(Side::Broker)?;
        self.shared.read(Pace::Long, work).await
    }
}

/// A queue at one moment.
struct View {
    queue: QueueName,
    now: Timestamp,
    moment: Moment,
}

fn depth(
    connection: &Connection,
    queue: &QueueName,
    now: Timestamp,
    moment: &Moment,
) -> std::result::Result<Option<Depth>, Error> {
    let Some(incarnation) = queues::incarnation(connection, queue)? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(DEPTH)?;
    let depth = statement.query_row((queue.as_str(), now.as_micros(), moment.micros), |row| {
        let mut columns = Columns::new(row);
        let (ready, lapsed): (u64, u64) = (columns.number()?, columns.number()?);
        let (leased, due): (u64, u64) = (columns.number()?, columns.number()?);
        Ok(Depth {
            queue: queue.clone(),
            ready: Count::Exact(ready + lapsed + due),
            in_flight: Count::Exact(leased),
            delayed: Count::Exact(columns.number()?),
            dead: Count::Exact(columns.number()?),
            incarnation: Some(incarnation.clone()),
        })
    })?;
    Ok(Some(depth))
}

fn peek(
    connection: &Connection,
    view: &View,
    bucket: Bucket,
    max: usize,
) -> std::result::Result<Result<Vec<RawMessage>>, Error> {
    if let Err(refused) = queues::check(connection, &view.queue)? {
        return Ok(Err(refused));
    }
    let (queue, max) = (view.queue.as_str(), limit(max));
    let (now, moment) = (view.now.as_micros(), view.moment.micros);
    let mut statement = connection.prepare_cached(match bucket {
        Bucket::Ready => PEEK_READY,
        Bucket::Delayed => PEEK_DELAYED,
        Bucket::Dead => PEEK_DEAD,
    })?;
    let shown = |row: &Row<'_>| shown(row, bucket);
    let messages = match bucket {
        Bucket::Ready => statement.query_map((queue, max, now, moment), shown)?,
        Bucket::Delayed => statement.query_map((queue, max, now), shown)?,
        Bucket::Dead => statement.query_map((queue, max), shown)?,
    };
    Ok(Ok(messages.collect::<rusqlite::Result<_>>()?))
}

/// A message as people see it; a dead one with its reason.
fn shown(row: &Row<'_>, bucket: Bucket) -> rusqlite::Result<RawMessage> {
    let mut columns = Columns::new(row);
    let mut message = message::read(&mut columns)?;
    if bucket == Bucket::Dead
        && let Some(reason) = columns.text()?
    {
        message = message.dead_because(reason.to_owned());
    }
    Ok(message)
}

fn redrive(
    tx: &Transaction<'_>,
    queue: &QueueName,
    ids: Option<&[JobId]>,
) -> std::result::Result<usize, Error> {
    let Some(ids) = ids else {
        return Ok(tx.sql(REDRIVE)?.execute([queue.as_str()])?);
    };
    let mut statement = tx.sql(REDRIVE_ONE)?;
    let mut redriven = 0;
    for id in ids {
        redriven += statement.execute((queue.as_str(), id.as_bytes()))?;
    }
    Ok(redriven)
}

/// Changes a queue that must exist, and says how many messages it concerned.
fn change(
    tx: &mut Transaction<'_>,
    queue: &QueueName,
    work: impl FnOnce(&mut Transaction<'_>) -> std::result::Result<usize, Error>,
) -> std::result::Result<Result<u64>, Error> {
    if let Err(refused) = queues::check(tx.connection(), queue)? {
        return Ok(Err(refused));
    }
    let changed = work(tx)?;
    tx.touched(queue);
    Ok(Ok(u64::try_from(changed).unwrap_or(u64::MAX)))
}

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 8] = [
    DEPTH,
    PEEK_READY,
    PEEK_DELAYED,
    PEEK_DEAD,
    PURGE_READY,
    PURGE_DEAD,
    REDRIVE,
    REDRIVE_ONE,
];
