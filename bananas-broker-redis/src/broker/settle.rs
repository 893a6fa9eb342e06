//! Settling deliveries and extending their leases.

use std::time::Duration;

use bananas_core::broker::packed;
use bananas_core::{
    Error as Seen, Lease, RawMessage, Receipt, Result, Settle, Settled, Settlement, Timestamp,
};
use futures::future::join_all;

use super::batches::{Batch, Batches};
use super::publish;
use super::receipt::Claimed;
use crate::engine::Shared;
use crate::error::Error;
use crate::keys::Part;
use crate::question::Call;
use crate::reply;
use crate::script::Script;

const ACK: [Part; 3] = [Part::Leased, Part::Messages, Part::Counts];
pub(super) const SETTLE: [Part; 11] = [
    Part::Messages,
    Part::Normal,
    Part::High,
    Part::Low,
    Part::Delayed,
    Part::Leased,
    Part::Counts,
    Part::Numbers,
    Part::Dead,
    Part::Reasons,
    Part::Wake,
];
const EXTEND: [Part; 3] = [Part::Queue, Part::Leased, Part::Wake];

/// What is answered for an item whose answer did not come.
fn missing() -> Seen {
    Error::WrongAnswer("redis".to_owned()).into()
}

/// Settles deliveries: acks together, all else together, each by queue.
pub(super) async fn settle(shared: &Shared, all: Vec<Settle>) -> Vec<Result<Settled>> {
    let mut answers: Vec<Result<Settled>> = Vec::with_capacity(all.len());
    let (mut acks, mut others) = (Batches::new(), Batches::new());
    for (place, settle) in all.into_iter().enumerate() {
        match item(shared, &settle) {
            Ok((claimed, None)) => {
                let queue = claimed.queue.clone();
                acks.add(&queue, (place, (claimed, Vec::new())), 0);
            }
            Ok((claimed, Some(args))) => {
                let (queue, bytes) = (claimed.queue.clone(), args.iter().map(Vec::len).sum());
                others.add(&queue, (place, (claimed, args)), bytes);
            }
            Err(e) => {
                answers.push(Err(Seen::from(e).during("settle")));
                continue;
            }
        }
        answers.push(Err(missing()));
    }
    let acks = acks
        .into_vec()
        .into_iter()
        .map(|batch| (Script::Ack, batch));
    let others = others.into_vec().into_iter();
    let calls = acks.chain(others.map(|batch| (Script::Settle, batch)));
    let calls = calls.map(async |(script, batch)| {
        let settled = send(shared, script, &batch).await;
        (batch, settled)
    });
    for (batch, settled) in join_all(calls).await {
        for (n, (place, (claimed, _))) in batch.items.iter().enumerate() {
            let answer = match &settled {
                Ok(settled) => settled.get(n).copied().ok_or_else(missing),
                Err(e) => Err(Seen::from(e.clone()).on(&batch.queue).during("settle")),
            };
            if answer.is_ok() {
                shared.credits.settled(claimed);
            }
            if let Some(place) = answers.get_mut(*place) {
                *place = answer;
            }
        }
    }
    answers
}

/// A delivery, and the arguments of its settlement unless it is an ack.
type Item = (Claimed, Option<Vec<Vec<u8>>>);

fn item(shared: &Shared, settle: &Settle) -> std::result::Result<Item, Error> {
    let claimed = Claimed::read(&settle.receipt, &shared.namespace)?;
    let (kind, what, message): (&str, Vec<u8>, Option<&RawMessage>) = match &settle.settlement {
        Settlement::Ack => return Ok((claimed, None)),
        Settlement::Release { delay } => ("release", micros(*delay), None),
        Settlement::Retry { delay, message } => ("retry", micros(*delay), Some(&**message)),
        Settlement::DeadLetter { reason, message } => {
            ("dead", reason.clone().into_bytes(), message.as_deref())
        }
    };
    message.map_or(Ok(()), publish::check_size)?;
    let args = arguments(kind, claimed.held.clone(), what, message);
    Ok((claimed, Some(args)))
}

/// The arguments of one settlement, as the script takes them.
pub(super) fn arguments(
    kind: &str,
    held: Vec<u8>,
    what: Vec<u8>,
    message: Option<&RawMessage>,
) -> Vec<Vec<u8>> {
    let due = message.and_then(|message| message.not_before);
    let due = due.map_or(0, Timestamp::as_micros);
    let priority = message.map(|message| message.priority.get().to_string());
    vec![
        kind.into(),
        held,
        what,
        due.to_string().into(),
        priority.unwrap_or_default().into(),
        message.map(packed::pack).unwrap_or_default(),
    ]
}

async fn send(
    shared: &Shared,
    script: Script,
    batch: &Batch<(Claimed, Vec<Vec<u8>>)>,
) -> std::result::Result<Vec<Settled>, Error> {
    let items = batch.items.iter();
    let answer = if script == Script::Ack {
        let args = items.map(|(_, (claimed, _))| claimed.held.clone());
        shared
            .run(script, &batch.queue, &ACK, args.collect())
            .await?
    } else {
        let args = items.flat_map(|(_, (_, args))| args.iter().cloned());
        shared
            .run(script, &batch.queue, &SETTLE, args.collect())
            .await?
    };
    if reply::integer(&answer) == Some(0) {
        return Ok(vec![Settled::Done; batch.items.len()]);
    }
    let fates = reply::integers(answer).filter(|fates| fates.len() == batch.items.len());
    let fates = fates.and_then(|fates| fates.into_iter().map(fate).collect());
    shared.read(fates)
}

fn fate(number: i64) -> Option<Settled> {
    match number {
        0 => Some(Settled::Done),
        1 => Some(Settled::Already),
        2 => Some(Settled::LeaseLost),
        _ => None,
    }
}

/// Makes leases last `lease` from now; each has its own answer.
pub(super) async fn extend(
    shared: &Shared,
    receipts: &[Receipt],
    lease: Duration,
) -> Vec<Result<Lease>> {
    let mut answers: Vec<Result<Lease>> = Vec::with_capacity(receipts.len());
    let mut batches = Batches::new();
    for (place, receipt) in receipts.iter().enumerate() {
        answers.push(match Claimed::read(receipt, &shared.namespace) {
            Ok(claimed) => {
                let queue = claimed.queue.clone();
                batches.add(&queue, (place, claimed), 0);
                Err(missing())
            }
            Err(e) => Err(Seen::from(e).during("extend")),
        });
    }
    let calls = batches.into_vec().into_iter().map(async |batch| {
        let extended = send_extension(shared, &batch, lease).await;
        (batch, extended)
    });
    for (batch, extended) in join_all(calls).await {
        for (n, (place, claimed)) in batch.items.iter().enumerate() {
            let answer = match &extended {
                Ok(extended) => extended.get(n).copied().flatten().ok_or(Error::LeaseLost),
                Err(e) => Err(e.clone()),
            };
            match &answer {
                Ok(lease) => shared.credits.extended(claimed, lease.until),
                Err(Error::LeaseLost) => shared.credits.settled(claimed),
                Err(_) => {}
            }
            if let Some(place) = answers.get_mut(*place) {
                *place = answer.map_err(|e| Seen::from(e).on(&batch.queue).during("extend"));
            }
        }
    }
    answers
}

async fn send_extension(
    shared: &Shared,
    batch: &Batch<Claimed>,
    lease: Duration,
) -> std::result::Result<Vec<Option<Lease>>, Error> {
    let keys = shared.keys(&batch.queue);
    let held = batch.items.iter().map(|(_, claimed)| claimed.held.clone());
    let call = Call {
        script: Script::Extend,
        keys: EXTEND.iter().map(|part| keys.key(*part)).collect(),
        args: std::iter::once(micros(lease)).chain(held).collect(),
    };
    let (answer, sent) = shared.wire().run(&call).await?;
    // Counted from before the request, so that we never believe in a lease longer than it is.
    let lease = Lease {
        until: sent + lease,
        hard_limit: None,
    };
    let fates = reply::integers(answer).filter(|fates| fates.len() == batch.items.len());
    let extended = |fates: Vec<i64>| {
        let lease = |fate: i64| (fate == 0).then_some(lease);
        fates.into_iter().map(lease).collect()
    };
    shared.read(fates.map(extended))
}

/// A duration as the scripts take it.
pub(super) fn micros(duration: Duration) -> Vec<u8> {
    duration.as_micros().to_string().into_bytes()
}
