//! The queues of a namespace by name, and removing a namespace with all that is in it.

use bananas_core::{QueueName, Result};
use futures::future::try_join_all;

use crate::engine::{RedisEngine, Shared};
use crate::error::Error;
use crate::keys;
use crate::reply;
use crate::store::remove_blobs;

impl RedisEngine {
    /// Removes the namespace: its queues with all messages, its jobs with all records, its large bodies, its owners. For what was
    /// made for a while only, such as a test or a demonstration; whoever still uses it makes parts of it anew.
    ///
    /// # Errors
    ///
    /// What the server answers; then a part may be left, and calling it again removes that, too.
    pub async fn remove_namespace(&self) -> Result<()> {
        let shared = self.shared();
        let removed = remove(shared).await;
        removed.map_err(|e| bananas_core::Error::from(e).during("remove the namespace"))
    }
}

async fn remove(shared: &Shared) -> std::result::Result<(), Error> {
    let namespace = &shared.namespace;
    let named = [keys::names(namespace), keys::job_queues(namespace)];
    let queues = try_join_all(named.each_ref().map(|key| queues_in(shared, key))).await?;
    let unlinks = queues.iter().flatten().map(|queue| {
        let keys = shared.keys(queue);
        unlink(
            shared,
            keys.all().into_iter().chain(keys.all_of_store()).collect(),
        )
    });
    try_join_all(unlinks).await?;
    remove_blobs(shared).await?;
    // The names last: with them what is left after an error is found again.
    let [broker, store] = named;
    for key in [keys::owners(namespace), broker, store] {
        unlink(shared, vec![key]).await?;
    }
    Ok(())
}

/// The queues whose names are in a set, in the order of their names.
pub(crate) async fn queues_in(
    shared: &Shared,
    key: &str,
) -> std::result::Result<Vec<QueueName>, Error> {
    let mut command = redis::cmd("SMEMBERS");
    command.arg(key);
    let names = reply::list(shared.wire().command(&command).await?);
    let names = names.map(|names| names.into_iter().filter_map(reply::text));
    let names = shared.read(names)?;
    let mut queues: Vec<QueueName> = names.filter_map(|name| QueueName::new(name).ok()).collect();
    queues.sort();
    Ok(queues)
}

async fn unlink(shared: &Shared, keys: Vec<String>) -> std::result::Result<(), Error> {
    let mut command = redis::cmd("UNLINK");
    command.arg(keys);
    shared.wire().command(&command).await.map(drop)
}
