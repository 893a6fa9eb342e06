//! Large bodies, in a table of their own.

use async_trait::async_trait;
use bananas_core::{Blob, BlobId, BlobStore, Error as Seen, Result, Timestamp};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use super::SqliteStore;
use crate::columns::{Columns, limit};
use crate::engine::{MAX_VALUE, Pace};
use crate::error::Error;
use crate::transaction::Transaction;

const PUT: &str = "INSERT INTO blobs (id, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const GET: &str = "SELECT body FROM blobs WHERE id = ?1";
const DELETE: &str = "DELETE FROM blobs WHERE id = ?1";
const LIST: &str = "SELECT id FROM blobs WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3";

#[async_trait]
impl BlobStore for SqliteStore {
    async fn put(&self, blobs: Vec<Blob>) -> Vec<Result<()>> {
        let mut answers = Vec::with_capacity(blobs.len());
        // One by one, so that no large batch holds up the other writes.
        for Blob { id, body } in blobs {
            let answer = if body.len() > MAX_VALUE {
                Err(Error::TooLarge(body.len(), MAX_VALUE).into())
            } else {
                self.write(1, move |tx| put(tx, id, &body)).await
            };
            answers.push(answer.map_err(|e: Seen| e.during("put")));
        }
        answers
    }

    async fn get(&self, ids: &[BlobId]) -> Vec<Result<Option<Bytes>>> {
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            let id = *id;
            let answer = self.read(Pace::Long, move |connection| get(connection, id));
            answers.push(answer.await.map_err(|e| e.during("get")));
        }
        answers
    }

    async fn delete(&self, ids: &[BlobId]) -> Result<()> {
        let ids = ids.to_vec();
        self.write(ids.len(), move |tx| delete(tx, &ids))
            .await
            .map_err(|e| e.during("delete"))
    }

    async fn list(
        &self,
        made_before: Timestamp,
        after: Option<BlobId>,
        max: usize,
    ) -> Result<Vec<BlobId>> {
        let before = BlobId::first_made_at(made_before);
        self.read(Pace::Long, move |connection| {
            list(connection, &before, after, max)
        })
        .await
        .map_err(|e| e.during("list"))
    }
}

fn put(tx: &mut Transaction<'_>, id: BlobId, body: &Bytes) -> Result<(), Error> {
    tx.sql(PUT)?.execute((id.to_string(), body.as_ref()))?;
    Ok(())
}

fn get(connection: &Connection, id: BlobId) -> Result<Option<Bytes>, Error> {
    let mut statement = connection.prepare_cached(GET)?;
    let body = statement.query_row([id.to_string()], |row| Columns::new(row).bytes());
    Ok(body.optional()?)
}

fn delete(tx: &mut Transaction<'_>, ids: &[BlobId]) -> Result<(), Error> {
    for id in ids {
        tx.sql(DELETE)?.execute([id.to_string()])?;
    }
    Ok(())
}

fn list(
    connection: &Connection,
    before: &str,
    after: Option<BlobId>,
    max: usize,
) -> Result<Vec<BlobId>, Error> {
    let after = after.map_or_else(String::new, |id| id.to_string());
    let mut statement = connection.prepare_cached(LIST)?;
    let rows = statement.query_map((after, before, limit(max)), |row| Columns::new(row).word())?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 4] = [PUT, GET, DELETE, LIST];
