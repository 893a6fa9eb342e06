//! What the parts of one client share.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bananas_core::{BrokerInfo, ConsumerSpec, Env, QueueName, RawMessage, Receipt};
use bytes::Bytes;

use crate::connection::Link;
use crate::desk::Desk;
use crate::envelope::Envelope;
use crate::error::Error;
use crate::names::{LONGEST, Names, Route};
use crate::publisher::{Letter, Publisher};
use crate::receipt::Token;
use crate::topology::Topologist;

/// The frames of a server that was not told otherwise.
const FRAME_MAX: usize = 131_072;

/// What the parts of one client share.
pub(crate) struct Shared {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) info: BrokerInfo,
    /// A number of chance, in all receipts.
    pub(crate) client: u64,
    /// For consumers and all that is made and looked at. Nothing is published over it, so that an alarm of the
    /// server, which stops those who publish, does not stop acknowledgements.
    pub(crate) link: Arc<Link>,
    /// For publishing alone.
    pub(crate) publishing: Arc<Link>,
    pub(crate) publisher: Publisher,
    pub(crate) topologist: Topologist,
    book: Mutex<Book>,
}

/// What is known at present.
#[derive(Default)]
struct Book {
    desks: HashMap<u64, Arc<Desk>>,
    next_desk: u64,
    /// Queues that are there; a delayed message to one that is not would be lost when it is due.
    queues: HashSet<QueueName>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("url", &self.info.url)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        env: &Arc<dyn Env>,
        info: BrokerInfo,
        (link, publishing): (Arc<Link>, Arc<Link>),
        topologist: Topologist,
    ) -> Self {
        Self {
            env: Arc::clone(env),
            info,
            client: env.random(),
            publisher: Publisher::start(&publishing),
            link,
            publishing,
            topologist,
            book: Mutex::default(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.topologist.names
    }

    /// Nothing is done any more once it was closed.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.link.is_closed() || self.publishing.is_closed() {
            return Err(Error::Closed { sent: false });
        }
        Ok(())
    }

    /// How long a delivery may be out in all.
    pub(crate) fn total(&self) -> Duration {
        let lease = self.info.capabilities.lease;
        lease.max_total.unwrap_or(lease.max)
    }

    /// A desk for a new consumer.
    pub(crate) fn new_desk(&self, spec: ConsumerSpec) -> Arc<Desk> {
        let mut book = self.book();
        let id = book.next_desk;
        book.next_desk += 1;
        let desk = Desk::new(spec, &self.env, (self.client, id), self.total());
        let desk = Arc::new(desk);
        book.desks.insert(id, Arc::clone(&desk));
        desk
    }

    pub(crate) fn forget_desk(&self, id: u64) {
        self.book().desks.remove(&id);
    }

    pub(crate) fn desks(&self) -> Vec<Arc<Desk>> {
        self.book().desks.values().cloned().collect()
    }

    /// The desk that a receipt is of, and the number there; `None` when nothing of that desk is out any more.
    pub(crate) fn desk(&self, receipt: &Receipt) -> Result<Option<(Arc<Desk>, u64)>, Error> {
        let token = Token::of(receipt, self.client)?;
        let desk = self.book().desks.get(&token.consumer).cloned();
        Ok(desk.map(|desk| (desk, token.number)))
    }

    pub(crate) fn is_there(&self, queue: &QueueName) {
        self.book().queues.insert(queue.clone());
    }

    pub(crate) fn is_gone(&self, queue: &QueueName) {
        self.book().queues.remove(queue);
    }

    /// A message on its way to a queue, after a delay.
    pub(crate) async fn letter(
        &self,
        queue: &QueueName,
        message: &RawMessage,
        delay: Duration,
    ) -> Result<Letter, Error> {
        if delay > LONGEST {
            return Err(Error::Delay {
                asked: delay,
                max: LONGEST,
            });
        }
        let envelope = self.envelope(message)?;
        if !delay.is_zero() && !self.book().queues.contains(queue) {
            self.topologist.find(queue).await?;
            self.is_there(queue);
        }
        Ok(Letter {
            queue: queue.clone(),
            route: self.names().route(queue, delay),
            envelope,
        })
    }

    /// A message that comes back, for no queue can have that name.
    pub(crate) fn letter_to_nobody(&self) -> Result<Letter, Error> {
        let queue = QueueName::new("nobody").map_err(|e| Error::Refused(e.to_string()))?;
        let key = format!("{}#nobody", self.names().queue(&queue));
        Ok(Letter {
            queue,
            route: Route {
                exchange: String::new(),
                key,
            },
            envelope: self.envelope(&RawMessage::new(self.env.job_id(), Bytes::new()))?,
        })
    }

    pub(crate) fn envelope(&self, message: &RawMessage) -> Result<Envelope, Error> {
        let topologist = &self.topologist;
        Envelope::encode(message, topologist.topology, topologist.dialect, FRAME_MAX)
    }

    /// Straight into a dead queue.
    pub(crate) fn dead_route(&self, queue: &QueueName) -> Route {
        Route {
            exchange: String::new(),
            key: self.names().dead(queue),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.link.abandon();
        self.publishing.abandon();
    }
}
