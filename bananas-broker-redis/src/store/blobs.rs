//! Large bodies, each under a key of its own, so that a cluster spreads them; their names are in one sorted set.
//!
//! A name is written before its body and removed after it, so no body is without a name.

use async_trait::async_trait;
use bananas_core::{Blob, BlobId, BlobStore, Result, Timestamp};
use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use redis::Value;

use super::RedisStore;
use super::jobs::during;
use super::record::check_size;
use crate::engine::Shared;
use crate::error::Error;
use crate::keys;
use crate::question::Call;
use crate::reply;
use crate::script::Script;

/// How many names are looked at for one request.
const PAGE: usize = 1_000;

#[async_trait]
impl BlobStore for RedisStore {
    async fn put(&self, blobs: Vec<Blob>) -> Vec<Result<()>> {
        let put = async |blob| put(&self.shared, blob).await.map_err(during("put"));
        join_all(blobs.into_iter().map(put)).await
    }

    async fn get(&self, ids: &[BlobId]) -> Vec<Result<Option<Bytes>>> {
        let get = async |id: &BlobId| get(&self.shared, *id).await.map_err(during("get"));
        join_all(ids.iter().map(get)).await
    }

    async fn delete(&self, ids: &[BlobId]) -> Result<()> {
        self.shared.wire().check_open()?;
        delete(&self.shared, ids).await.map_err(during("delete"))
    }

    async fn list(
        &self,
        made_before: Timestamp,
        after: Option<BlobId>,
        max: usize,
    ) -> Result<Vec<BlobId>> {
        let before = BlobId::first_made_at(made_before);
        let listed = list(&self.shared, &before, after, max).await;
        listed.map_err(during("list"))
    }
}

async fn put(shared: &Shared, blob: Blob) -> Result<(), Error> {
    check_size(blob.body.len())?;
    let mut name = redis::cmd("ZADD");
    name.arg(keys::blobs(&shared.namespace))
        .arg(0)
        .arg(blob.id.to_string());
    shared.wire().command(&name).await?;
    let call = Call {
        script: Script::Keep,
        keys: vec![keys::blob(&shared.namespace, blob.id)],
        args: vec![blob.body.into()],
    };
    shared.wire().run(&call).await.map(drop)
}

async fn get(shared: &Shared, id: BlobId) -> Result<Option<Bytes>, Error> {
    let mut command = redis::cmd("GET");
    command.arg(keys::blob(&shared.namespace, id));
    match shared.wire().command(&command).await? {
        Value::Nil => Ok(None),
        body => shared
            .read(reply::bytes(body))
            .map(|body| Some(body.into())),
    }
}

async fn delete(shared: &Shared, ids: &[BlobId]) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let unlink = async |id: &BlobId| {
        let mut command = redis::cmd("UNLINK");
        command.arg(keys::blob(&shared.namespace, *id));
        shared.wire().command(&command).await
    };
    try_join_all(ids.iter().map(unlink)).await?;
    let mut names = redis::cmd("ZREM");
    names.arg(keys::blobs(&shared.namespace));
    for id in ids {
        names.arg(id.to_string());
    }
    shared.wire().command(&names).await.map(drop)
}

async fn list(
    shared: &Shared,
    before: &str,
    after: Option<BlobId>,
    max: usize,
) -> Result<Vec<BlobId>, Error> {
    if max == 0 {
        return shared.wire().check_open().map(|()| Vec::new());
    }
    let after = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
    let mut command = redis::cmd("ZRANGE");
    command
        .arg(keys::blobs(&shared.namespace))
        .arg(after)
        .arg(format!("({before}"))
        .arg("BYLEX")
        .arg("LIMIT")
        .arg(0)
        .arg(max);
    let names = reply::list(shared.wire().command(&command).await?);
    let read = |name: Value| reply::text(name)?.parse().ok();
    shared.read(names.and_then(|names| names.into_iter().map(read).collect()))
}

/// Removes all of them.
pub(crate) async fn remove_all(shared: &Shared) -> Result<(), Error> {
    loop {
        // Behind every name.
        let names = list(shared, "g", None, PAGE).await?;
        delete(shared, &names).await?;
        if names.len() < PAGE {
            return Ok(());
        }
    }
}
