//! The names of all queues that have or had jobs.

use bananas_core::QueueName;

use crate::engine::Shared;
use crate::error::Error;
use crate::keys;
use crate::namespace::queues_in;

/// Sees to it that the queue's name is in the set, before anything of it is written.
pub(super) async fn register(shared: &Shared, queue: &QueueName) -> Result<(), Error> {
    if shared.known.has_queue(queue) {
        return Ok(());
    }
    register_again(shared, queue).await
}

/// The same, although the name has been there: the server may have lost its data.
pub(super) async fn register_again(shared: &Shared, queue: &QueueName) -> Result<(), Error> {
    let mut command = redis::cmd("SADD");
    command
        .arg(keys::job_queues(&shared.namespace))
        .arg(queue.as_str());
    shared.wire().command(&command).await?;
    shared.known.add_queue(queue);
    Ok(())
}

/// All queues, by name.
pub(crate) async fn all(shared: &Shared) -> Result<Vec<QueueName>, Error> {
    queues_in(shared, &keys::job_queues(&shared.namespace)).await
}
