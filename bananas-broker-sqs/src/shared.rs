//! What the parts of one client share.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bananas_core::{BrokerInfo, Env, QueueName};

use crate::config::QueueKind;
use crate::connection::Wire;
use crate::error::Error;
use crate::gate::Gate;
use crate::gather::Gather;
use crate::held::{Deliveries, lock};
use crate::names::{Names, Place};
use crate::requests::Operation;

/// What the parts of one client share.
pub(crate) struct Shared {
    pub(crate) info: BrokerInfo,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) wire: Wire,
    pub(crate) gate: Gate,
    pub(crate) gather: Gather,
    pub(crate) deliveries: Deliveries,
    pub(crate) names: Names,
    pub(crate) kind: QueueKind,
    /// Tells the receipts of this client from those of others.
    pub(crate) number: u64,
    pub(crate) max_bytes: usize,
    pub(crate) handover: Duration,
    /// Where queues are, by their names on the server.
    pub(crate) urls: Mutex<HashMap<String, String>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("url", &self.info.url)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn is_fifo(&self) -> bool {
        self.kind == QueueKind::Fifo
    }

    /// Where a queue is on the server; asked once.
    pub(crate) async fn url(&self, queue: &QueueName, place: Place) -> Result<String, Error> {
        let name = self.names.of(queue, place)?;
        if let Some(url) = lock(&self.urls).get(&name) {
            return Ok(url.clone());
        }
        let ask = self.wire.client().get_queue_url().queue_name(&name);
        let answer = self
            .wire
            .call(Operation::Other, 0, Box::pin(ask.send()))
            .await;
        let answer = answer.map_err(|error| self.told(queue, place, error))?;
        let url = answer.queue_url.ok_or_else(|| self.wire.wrong_answer())?;
        lock(&self.urls).insert(name, url.clone());
        Ok(url)
    }

    /// An error as it concerns a queue; one that is gone is looked for again next time.
    pub(crate) fn told(&self, queue: &QueueName, place: Place, error: Error) -> Error {
        if !error.is_no_queue() {
            return error;
        }
        if let Ok(name) = self.names.of(queue, place) {
            lock(&self.urls).remove(&name);
        }
        Error::NoQueue(queue.clone())
    }
}

/// Whole seconds, as the server takes them, and never fewer than asked for.
pub(crate) fn seconds(duration: Duration) -> i32 {
    let up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(up).unwrap_or(i32::MAX)
}
