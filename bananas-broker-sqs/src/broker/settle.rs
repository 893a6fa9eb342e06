//! Settling deliveries and extending their leases.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Error as Seen, Lease, QueueName, Receipt, Result, Settle, Settled, Settlement};
use futures::future::join_all;

use super::publish;
use crate::batch::{Entry, Outgoing};
use crate::error::Error;
use crate::gather::{self, Answer, Lane};
use crate::held::{Held, Known};
use crate::names::Place;
use crate::receipt;
use crate::requests::Operation;
use crate::shared::{Shared, seconds};

/// The most of a reason that is kept, in bytes, so that the message still fits.
const REASON: usize = 2 * 1024;

/// How much longer than its lease a delivery is hidden, for the way of a request to the server.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Settles deliveries, ten of a kind to a request.
pub(super) async fn settle(shared: &Arc<Shared>, all: Vec<Settle>) -> Vec<Result<Settled>> {
    let settled = all.into_iter().map(async |settle| {
        let settled = one(shared, settle).await;
        settled.map_err(|error| Seen::from(error).during("settle"))
    });
    join_all(settled).await
}

async fn one(shared: &Arc<Shared>, settle: Settle) -> std::result::Result<Settled, Error> {
    let number = receipt::read(&settle.receipt, shared.number)?;
    let held = match shared.deliveries.look(number, shared.env.monotonic()) {
        Known::Held(held) => held,
        Known::Settled => return Ok(Settled::Already),
        Known::Lost => return Ok(Settled::LeaseLost),
    };
    let settled = match settle.settlement {
        Settlement::Ack => delete(shared, &held).await,
        Settlement::Release { delay } => {
            publish::check_delay(shared, delay)?;
            hide(shared, &held.queue, held.handle, delay).await
        }
        Settlement::Retry { delay, message } => {
            let outgoing = || publish::prepare(shared, &message, delay);
            replace(shared, number, &held, (Place::Live, outgoing)).await
        }
        Settlement::DeadLetter { reason, message } => {
            let message = message.map_or_else(|| held.message.clone(), |message| *message);
            let message = message.dead_because(shortened(reason));
            let outgoing = || publish::prepare_dead(shared, &message);
            replace(shared, number, &held, (Place::Dead, outgoing)).await
        }
    };
    match settled {
        Ok(()) => {
            shared.deliveries.settled(number);
            Ok(Settled::Done)
        }
        Err(error) if error.is_stale_receipt() => {
            shared.deliveries.lost(number);
            Ok(Settled::LeaseLost)
        }
        Err(error) => Err(error),
    }
}

/// Sends what comes instead, and deletes then: at no time are there neither of the two. When this is asked for
/// again because the deletion failed, nothing is sent again.
async fn replace(
    shared: &Arc<Shared>,
    number: u64,
    held: &Held,
    (place, outgoing): (Place, impl FnOnce() -> std::result::Result<Outgoing, Error>),
) -> Answer {
    if !held.replaced {
        let outgoing = outgoing()?;
        gather::answer(publish::send(shared, &held.queue, place, outgoing)).await?;
        shared.deliveries.replaced(number);
    }
    delete(shared, held).await
}

async fn delete(shared: &Arc<Shared>, held: &Held) -> Answer {
    let lane = Lane {
        queue: held.queue.clone(),
        place: Place::Live,
        operation: Operation::Delete,
    };
    let handle = held.handle.clone();
    gather::answer(gather::submit(shared, &lane, Entry::Delete { handle })).await
}

/// Hides a delivery for so long from now; for no time is to give it back.
pub(super) async fn hide(
    shared: &Arc<Shared>,
    queue: &QueueName,
    handle: String,
    time: Duration,
) -> Answer {
    let lane = Lane {
        queue: queue.clone(),
        place: Place::Live,
        operation: Operation::ChangeVisibility,
    };
    let seconds = seconds(time);
    let entry = Entry::Hide { handle, seconds };
    gather::answer(gather::submit(shared, &lane, entry)).await
}

/// Makes leases last `lease` from now; each has its own answer.
pub(super) async fn extend(
    shared: &Arc<Shared>,
    receipts: Vec<Receipt>,
    lease: Duration,
) -> Vec<Result<Lease>> {
    let extended = receipts.into_iter().map(async |receipt| {
        let extended = extend_one(shared, &receipt, lease).await;
        extended.map_err(|error| Seen::from(error).during("extend"))
    });
    join_all(extended).await
}

async fn extend_one(
    shared: &Arc<Shared>,
    receipt: &Receipt,
    lease: Duration,
) -> std::result::Result<Lease, Error> {
    let number = receipt::read(receipt, shared.number)?;
    // Counted from before the request, so that we never believe in a lease longer than it is.
    let now = shared.env.monotonic();
    let Known::Held(held) = shared.deliveries.look(number, now) else {
        return Err(Error::LeaseLost);
    };
    let until = now + lease;
    if until > held.hard_limit {
        return Err(Error::TotalLease {
            asked: lease,
            limit: super::MAX_LEASE,
        });
    }
    let extended = hide(shared, &held.queue, held.handle, lease + GRACE).await;
    let answered = shared.env.monotonic();
    match extended {
        // An answer so late does not tell whether the server was asked in time.
        Ok(()) if answered < held.until + GRACE => {
            shared.deliveries.extended(number, until);
            Ok(Lease {
                until,
                hard_limit: Some(held.hard_limit),
            })
        }
        Err(error) if !error.is_stale_receipt() => Err(error),
        _ => {
            shared.deliveries.lost(number);
            Err(Error::LeaseLost)
        }
    }
}

fn shortened(mut reason: String) -> String {
    if reason.len() > REASON {
        let end = (0..=REASON).rev().find(|end| reason.is_char_boundary(*end));
        reason.truncate(end.unwrap_or(0));
        reason.push('…');
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        assert_eq!(shortened("bad".to_owned()), "bad");
        let long = shortened("ü".repeat(REASON) + "x");
        assert!(long.len() <= REASON + 3 && long.ends_with("ü…"), "{long}");
    }
}
