//! Ten to a request: what is asked for at about the same time travels together, whoever asked.
//!
//! Ten items of one kind for one queue leave at once; fewer wait a moment for others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bananas_core::QueueName;
use tokio::sync::{Semaphore, oneshot};

use crate::batch::{self, Entry};
use crate::error::Error;
use crate::held::lock;
use crate::names::Place;
use crate::requests::Operation;
use crate::shared::Shared;

/// The most items of one request.
pub(crate) const BATCH: usize = 10;

/// How long an item waits for others, which is little beside the way to the server.
const LINGER: Duration = Duration::from_millis(2);

/// How many requests of this kind are under way at once.
const UNDER_WAY: usize = 16;

/// What can travel together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub(crate) queue: QueueName,
    pub(crate) place: Place,
    pub(crate) operation: Operation,
}

/// The answer to one item.
pub(crate) type Answer = Result<(), Error>;

#[derive(Debug)]
struct Waiting {
    entry: Entry,
    sender: oneshot::Sender<Answer>,
}

/// One request in the making.
#[derive(Debug, Default)]
struct Making {
    waiting: Vec<Waiting>,
    bytes: usize,
    /// Which request it is, so that a timer sends no later one.
    number: u64,
    /// Ends with the request before it, where the order matters.
    before: Option<oneshot::Receiver<()>>,
}

/// What waits for company.
#[derive(Debug)]
pub(crate) struct Gather {
    lanes: Mutex<HashMap<Lane, Making>>,
    permits: Semaphore,
}

impl Gather {
    pub(crate) fn new() -> Self {
        Self {
            lanes: Mutex::default(),
            permits: Semaphore::new(UNDER_WAY),
        }
    }
}

/// Adds an item to the next request of its lane. It is sent whether or not anybody waits for the answer.
pub(crate) fn submit(shared: &Arc<Shared>, lane: &Lane, entry: Entry) -> oneshot::Receiver<Answer> {
    let (sender, receiver) = oneshot::channel();
    let mut lanes = lock(&shared.gather.lanes);
    let making = lanes.entry(lane.clone()).or_default();
    let bytes = entry.bytes();
    if !making.waiting.is_empty() && making.bytes + bytes > shared.max_bytes {
        send(shared, lane, making);
    }
    making.waiting.push(Waiting { entry, sender });
    making.bytes += bytes;
    if making.waiting.len() == BATCH {
        send(shared, lane, making);
    } else if making.waiting.len() == 1 {
        send_later(shared, lane.clone(), making.number);
    }
    receiver
}

/// Waits for the answer to an item.
pub(crate) async fn answer(receiver: oneshot::Receiver<Answer>) -> Answer {
    // The task that sends is gone with its runtime only.
    receiver.await.unwrap_or(Err(Error::Closed { sent: true }))
}

fn send_later(shared: &Arc<Shared>, lane: Lane, number: u64) {
    let task_shared = Arc::clone(shared);
    let later = async move {
        task_shared.env.sleep(LINGER).await;
        let mut lanes = lock(&task_shared.gather.lanes);
        if let Some(making) = lanes.get_mut(&lane)
            && making.number == number
        {
            send(&task_shared, &lane, making);
        }
        let is_idle = |making: &Making| making.waiting.is_empty() && making.before.is_none();
        if lanes.get(&lane).is_some_and(is_idle) {
            lanes.remove(&lane);
        }
    };
    shared.env.spawn_isolated("sqs-linger", Box::pin(later));
}

/// Sends what there is and begins a new request.
fn send(shared: &Arc<Shared>, lane: &Lane, making: &mut Making) {
    let waiting = std::mem::take(&mut making.waiting);
    making.bytes = 0;
    making.number += 1;
    let in_order = shared.is_fifo() && lane.operation == Operation::Send;
    let before = making.before.take();
    let (done, after) = oneshot::channel();
    if in_order {
        making.before = Some(after);
    }
    let (shared, lane) = (Arc::clone(shared), lane.clone());
    let env = Arc::clone(&shared.env);
    let request = async move {
        if let Some(before) = before {
            // Sent or gone, it is this one's turn.
            before.await.unwrap_or_default();
        }
        // It is never closed.
        let permit = shared.gather.permits.acquire().await;
        let (entries, senders): (Vec<Entry>, Vec<_>) = waiting
            .into_iter()
            .map(|waiting| (waiting.entry, waiting.sender))
            .unzip();
        let answers = batch::request(&shared, &lane, &entries).await;
        drop((permit, done));
        for (answer, sender) in answers.into_iter().zip(senders) {
            // Nobody may wait any more.
            drop(sender.send(answer));
        }
    };
    env.spawn_isolated("sqs-request", Box::pin(request));
}
