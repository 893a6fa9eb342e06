//! Publishing messages.

use std::collections::BTreeMap;

use bananas_core::{Publish, Published, QueueName, Result};

use super::{message, queues};
use crate::error::Error;
use crate::transaction::Transaction;

/// Publishes messages; each has its own answer.
pub(super) fn publish(
    tx: &mut Transaction<'_>,
    batch: &[Publish],
) -> std::result::Result<Vec<Result<Published>>, Error> {
    let mut known: BTreeMap<&QueueName, Result<()>> = BTreeMap::new();
    let mut answers = Vec::with_capacity(batch.len());
    for Publish { queue, message } in batch {
        if !known.contains_key(queue) {
            known.insert(queue, queues::check(tx.connection(), queue)?);
        }
        let refused = match known.get(queue) {
            Some(Err(e)) => Some(e.repeat()),
            _ => message::check_size(message).err().map(|e| e.on(queue)),
        };
        if let Some(e) = refused {
            answers.push(Err(e));
            continue;
        }
        message::insert(tx, queue.as_str(), message, message.not_before)?;
        tx.touched(queue);
        answers.push(Ok(Published {
            id: message.id,
            duplicate: false,
        }));
    }
    Ok(answers)
}
