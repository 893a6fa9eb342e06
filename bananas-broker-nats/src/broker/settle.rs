//! Settling and extending deliveries.
//!
//! Each settlement runs to its end, even if nobody waits for it any more.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use bananas_core::{
    Error as Seen, Lease, RawMessage, Receipt, Result, Settle, Settled, Settlement,
};
use futures::channel::oneshot;
use futures::future::join_all;

use super::holds::{Held, Out, lease};
use super::publish::{check_delay, check_size, send};
use super::receipt::Claimed;
use super::{envelope, words};
use crate::engine::Shared;
use crate::error::Error;
use crate::jetstream::{self, tell};

/// Settles deliveries, all of them at once.
pub(super) async fn settle(shared: &Arc<Shared>, batch: Vec<Settle>) -> Vec<Result<Settled>> {
    let asked = batch.len();
    let (sender, receiver) = oneshot::channel();
    let own = Arc::clone(shared);
    let task = async move {
        let answers = batch.into_iter().map(|one| settle_one(&own, one));
        drop(sender.send(join_all(answers).await));
    };
    shared.env.spawn_isolated("nats-settle", Box::pin(task));
    let answers = receiver.await.unwrap_or_else(|_| {
        let ended = || Err(Error::Closed { sent: true });
        (0..asked).map(|_| ended()).collect()
    });
    answers
        .into_iter()
        .map(|answer| answer.map_err(|e| Seen::from(e).during("settle")))
        .collect()
}

async fn settle_one(shared: &Shared, settle: Settle) -> std::result::Result<Settled, Error> {
    let wire = shared.wire();
    let _under_way = wire.begin()?;
    let claimed = Claimed::read(&settle.receipt, &shared.namespace)?;
    let Some((out, held)) = begin(shared, claimed) else {
        return Ok(Settled::LeaseLost);
    };
    match apply(shared, &held, settle.settlement).await {
        Ok(()) => {
            out.end(claimed.key);
            Ok(Settled::Done)
        }
        // The consumer is gone, and with it what it had out, or the server has forgotten it.
        Err(Error::NoResponders(_) | Error::LeaseLost) => {
            out.end(claimed.key);
            Ok(Settled::LeaseLost)
        }
        Err(e) => {
            out.give_up(claimed.key);
            Err(e)
        }
    }
}

fn begin(shared: &Shared, claimed: Claimed) -> Option<(Arc<Out>, Held)> {
    let out = shared.holds.of(claimed.consumer)?;
    let held = out.begin(claimed.key, shared.env.monotonic())?;
    Some((out, held))
}

async fn apply(
    shared: &Shared,
    held: &Held,
    settlement: Settlement,
) -> std::result::Result<(), Error> {
    let wire = shared.wire();
    let words = match settlement {
        Settlement::Ack => words::ack(),
        Settlement::Release { delay } => {
            // A server without schedules could do it, but one that can wait for this alone would be an exception to
            // what its capabilities say. Whoever wants that extends the lease.
            check_delay(shared, delay)?;
            words::release_after(delay)
        }
        // Even the same message is published again: what is given back goes on being counted.
        Settlement::Retry { delay, message } => {
            replace(shared, held, delay, &message).await?;
            words::ack()
        }
        Settlement::DeadLetter { reason, message } => {
            let message = message.as_deref().unwrap_or(&held.message);
            bury(shared, held, message, &reason).await?;
            words::ack()
        }
    };
    tell(wire, &held.reply, words, wire.deadline()).await?;
    Ok(())
}

/// Publishes what is delivered instead.
async fn replace(
    shared: &Shared,
    held: &Held,
    delay: Duration,
    message: &RawMessage,
) -> std::result::Result<(), Error> {
    check_delay(shared, delay)?;
    let after = (!delay.is_zero()).then(|| shared.server_now() + delay);
    let due = after.max(message.not_before);
    send(shared, &held.queue, message, due, shared.wire().deadline()).await
}

/// Publishes a copy for the dead.
async fn bury(
    shared: &Shared,
    held: &Held,
    message: &RawMessage,
    reason: &str,
) -> std::result::Result<(), Error> {
    check_size(shared, message)?;
    let subject = held.names.dead(held.sequence);
    // A second attempt at the same makes no second copy.
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", held.sequence.to_string());
    let payload = envelope::encode_dead(message, reason).into();
    let wire = shared.wire();
    match jetstream::publish(wire, subject, Some(headers), payload, wire.deadline()).await {
        Ok(_) => Ok(()),
        Err(Error::NoResponders(_)) => Err(shared.nobody_answers(&held.queue).await),
        Err(e) => Err(e),
    }
}

/// Makes leases last `lease` from now, all of them at once.
pub(super) async fn extend(
    shared: &Shared,
    receipts: &[Receipt],
    lasts: Duration,
) -> Vec<Result<Lease>> {
    let extended = receipts.iter().map(async |receipt| {
        let extended = extend_one(shared, receipt, lasts).await;
        extended.map_err(|e| Seen::from(e).during("extend"))
    });
    join_all(extended).await
}

async fn extend_one(
    shared: &Shared,
    receipt: &Receipt,
    lasts: Duration,
) -> std::result::Result<Lease, Error> {
    let wire = shared.wire();
    let _under_way = wire.begin()?;
    let claimed = Claimed::read(receipt, &shared.namespace)?;
    let out = shared.holds.of(claimed.consumer).ok_or(Error::LeaseLost)?;
    let reply = out
        .reply(claimed.key, shared.env.monotonic())
        .ok_or(Error::LeaseLost)?;
    let words = words::extend(lasts);
    let sent = match tell(wire, &reply, words, wire.deadline()).await {
        Err(Error::NoResponders(_)) => return Err(Error::LeaseLost),
        sent => sent?,
    };
    let lease = lease(sent, lasts);
    out.extend(claimed.key, lease);
    Ok(lease)
}
