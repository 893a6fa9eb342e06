//! Owners and their leases. The truth about a lease is one row in the hash of all owners of the namespace, on the
//! server's clock. A queue besides knows which owners may take jobs there and which were declared dead, so that
//! the scripts of that queue need no other key.
//!
//! An owner is enlisted in a queue after its name is in the set of queues, and asked for again in the row after
//! that; whoever declares it dead writes the row first and then marks every queue of the set. So whichever comes
//! first, the other sees it.

use std::collections::HashMap;
use std::time::Duration;

use bananas_core::{JobId, Owner, OwnerId, OwnerRow, QueueName, Renewed};
use futures::future::{join_all, try_join_all};
use redis::Value;

use super::table::{self, Depth, GONE, LAPSED, UNKNOWN};
use super::{queues, record};
use crate::engine::Shared;
use crate::error::Error;
use crate::keys::{self, Part};
use crate::question::Call;
use crate::reply;
use crate::script::Script;

/// How long an owner that is gone is remembered, so that a process that slept for hours learns its fate.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// How owners are declared dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// All that are named.
    All,
    /// Those of them whose lease has ended.
    Lapsed,
    /// All owners whose lease has ended.
    Sweep,
    /// Nothing is left of those named.
    Done,
}

/// The row of an owner.
#[derive(Clone, Debug)]
struct Lease {
    alive: bool,
    ends: i64,
    known: Option<Owner>,
}

async fn run(shared: &Shared, script: Script, args: Vec<Vec<u8>>) -> Result<Value, Error> {
    let call = Call {
        script,
        keys: vec![keys::owners(&shared.namespace)],
        args,
    };
    shared.wire().run(&call).await.map(|(answer, _)| answer)
}

/// Enlists an owner or renews its lease.
pub(super) async fn renew(
    shared: &Shared,
    owner: &Owner,
    lease: Duration,
) -> Result<Renewed, Error> {
    // An owner always has a JSON form.
    let known = serde_json::to_vec(owner).unwrap_or_default();
    let args = vec![
        owner.id.as_bytes().to_vec(),
        lease.as_micros().to_string().into_bytes(),
        known,
    ];
    let answer = run(shared, Script::Renew, args).await?;
    let ends = shared.read(reply::integer(&answer))?;
    if ends < 0 {
        shared.known.forget_owner(owner.id);
        return Ok(Renewed::Lost);
    }
    shared.known.renewed(owner.id, ends);
    Ok(Renewed::Held { lease })
}

/// When the lease of an owner ends that is to take jobs of a queue, where it is enlisted now.
pub(super) async fn enlist(
    shared: &Shared,
    owner: OwnerId,
    queue: &QueueName,
) -> Result<i64, Error> {
    if let (Some(ends), true) = shared.known.lease(owner, queue) {
        return Ok(ends);
    }
    ask(shared, owner, queue).await
}

/// The same, asked anew.
pub(super) async fn ask(shared: &Shared, owner: OwnerId, queue: &QueueName) -> Result<i64, Error> {
    queues::register(shared, queue).await?;
    let mut command = redis::cmd("HSETNX");
    command
        .arg(shared.keys(queue).key(Part::Owners))
        .arg(owner.as_bytes())
        .arg("1");
    shared.wire().command(&command).await?;
    match look(shared, owner, &[]).await {
        Ok((ends, _)) => {
            shared.known.renewed(owner, ends);
            shared.known.enlisted(owner, queue);
            Ok(ends)
        }
        Err(e) => {
            shared.known.forget_owner(owner);
            if matches!(e, Error::Owner(_, GONE)) {
                mark(shared, queue, &[owner]).await?;
            }
            Err(e)
        }
    }
}

/// When the lease of this owner ends, which must be valid, and which of the others hold theirs.
pub(super) async fn look(
    shared: &Shared,
    owner: OwnerId,
    others: &[OwnerId],
) -> Result<(i64, HashMap<OwnerId, bool>), Error> {
    let all: Vec<OwnerId> = std::iter::once(owner)
        .chain(others.iter().copied())
        .collect();
    let (now, rows) = leases(shared, &all).await?;
    let ends = match rows.get(&owner) {
        None => return Err(Error::Owner(owner, UNKNOWN)),
        Some(lease) if !lease.alive => return Err(Error::Owner(owner, GONE)),
        Some(lease) if lease.ends <= now => return Err(Error::Owner(owner, LAPSED)),
        Some(lease) => lease.ends,
    };
    let holds = |owner: &OwnerId| {
        rows.get(owner)
            .is_some_and(|lease| lease.alive && now < lease.ends)
    };
    let holds = others.iter().map(|owner| (*owner, holds(owner)));
    Ok((ends, holds.collect()))
}

/// Those of whom there is no row.
pub(super) async fn unknown(shared: &Shared, owners: &[OwnerId]) -> Result<Vec<OwnerId>, Error> {
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let (_, rows) = leases(shared, owners).await?;
    let unknown = owners.iter().filter(|owner| !rows.contains_key(owner));
    Ok(unknown.copied().collect())
}

async fn leases(
    shared: &Shared,
    owners: &[OwnerId],
) -> Result<(i64, HashMap<OwnerId, Lease>), Error> {
    let args = owners.iter().map(|owner| owner.as_bytes().to_vec());
    let answer = run(shared, Script::Owners, args.collect()).await?;
    shared.read(read_leases(answer))
}

fn read_leases(answer: Value) -> Option<(i64, HashMap<OwnerId, Lease>)> {
    let [now, rows] = <[Value; 2]>::try_from(reply::list(answer)?).ok()?;
    let mut rows = reply::list(rows)?.into_iter();
    let mut leases = HashMap::new();
    while let (Some(owner), Some(row)) = (rows.next(), rows.next()) {
        let owner = OwnerId::from_slice(&reply::bytes(owner)?)?;
        let row = reply::bytes(row)?;
        if row.is_empty() {
            continue;
        }
        let ends = std::str::from_utf8(row.get(1..17)?).ok()?.parse().ok()?;
        let lease = Lease {
            alive: row.first() == Some(&b'a'),
            ends,
            known: serde_json::from_slice(row.get(17..)?).ok(),
        };
        leases.insert(owner, lease);
    }
    Some((reply::integer(&now)?, leases))
}

/// Declares owners dead in the row, and answers those that are and of which something may be left.
pub(super) async fn declare(
    shared: &Shared,
    how: Death,
    owners: &[OwnerId],
) -> Result<Vec<OwnerId>, Error> {
    let word = match how {
        Death::All => "all",
        Death::Lapsed => "lapsed",
        Death::Sweep => "sweep",
        Death::Done => "done",
    };
    let mut args = vec![word.into(), REMEMBERED.as_micros().to_string().into()];
    args.extend(owners.iter().map(|owner| owner.as_bytes().to_vec()));
    let answer = run(shared, Script::Retire, args).await?;
    let dead = reply::list(answer).and_then(|dead| {
        let id = |value| OwnerId::from_slice(&reply::bytes(value)?);
        dead.into_iter().map(id).collect::<Option<Vec<_>>>()
    });
    let dead = shared.read(dead)?;
    dead.iter()
        .for_each(|owner| shared.known.forget_owner(*owner));
    Ok(dead)
}

/// Declares owners dead everywhere.
pub(super) async fn retire(shared: &Shared, how: Death, owners: &[OwnerId]) -> Result<(), Error> {
    if owners.is_empty() {
        return Ok(());
    }
    let dead = declare(shared, how, owners).await?;
    let queues = queues::all(shared).await?;
    let marks = queues.iter().map(|queue| mark(shared, queue, &dead));
    try_join_all(marks).await.map(drop)
}

async fn mark(shared: &Shared, queue: &QueueName, dead: &[OwnerId]) -> Result<(), Error> {
    if dead.is_empty() {
        return Ok(());
    }
    let mut command = redis::cmd("HSET");
    command.arg(shared.keys(queue).key(Part::Owners));
    for owner in dead {
        command.arg(owner.as_bytes()).arg("x");
    }
    shared.wire().command(&command).await.map(drop)
}

/// The owners, but for those that are gone and run nothing, and the running jobs of `cancels_of` that somebody
/// asked to cancel.
pub(super) async fn list(
    shared: &Shared,
    cancels_of: Option<OwnerId>,
) -> Result<(Vec<OwnerRow>, Vec<JobId>), Error> {
    let (now, leases) = leases(shared, &[]).await?;
    let queues = queues::all(shared).await?;
    let mut running: HashMap<OwnerId, u64> = HashMap::new();
    for found in join_all(queues.iter().map(|queue| owners_of_runs(shared, queue))).await {
        for owner in found? {
            *running.entry(owner).or_default() += 1;
        }
    }
    let mut rows: Vec<OwnerRow> = leases
        .into_iter()
        .filter_map(|(id, lease)| {
            let running = running.get(&id).copied().unwrap_or(0);
            let left = if lease.alive { lease.ends - now } else { 0 };
            let owner = lease.known.unwrap_or_else(|| record::nameless(id));
            let row = OwnerRow {
                owner,
                left: Duration::from_micros(u64::try_from(left).unwrap_or(0)),
                running,
            };
            (lease.alive || running > 0).then_some(row)
        })
        .collect();
    rows.sort_by_key(|row| row.owner.id);
    let mut cancels = Vec::new();
    if let Some(owner) = cancels_of {
        for found in join_all(queues.iter().map(|queue| cancels_in(shared, queue, owner))).await {
            cancels.extend(found?);
        }
    }
    Ok((rows, cancels))
}

async fn owners_of_runs(shared: &Shared, queue: &QueueName) -> Result<Vec<OwnerId>, Error> {
    let mut command = redis::cmd("HVALS");
    command.arg(shared.keys(queue).key(Part::Running));
    let values = reply::list(shared.wire().command(&command).await?);
    let owners = values.and_then(|values| {
        let owner = |value| OwnerId::from_slice(reply::bytes(value)?.get(..16)?);
        values.into_iter().map(owner).collect()
    });
    shared.read(owners)
}

async fn cancels_in(
    shared: &Shared,
    queue: &QueueName,
    owner: OwnerId,
) -> Result<Vec<JobId>, Error> {
    let mut command = redis::cmd("SMEMBERS");
    command.arg(shared.keys(queue).key(Part::Cancels));
    let ids = shared.wire().command(&command).await?;
    let ids = shared.read(read_ids(ids))?;
    let mut cancels = Vec::new();
    for piece in table::pieces(&ids) {
        let rows = table::read(shared, queue, piece, Depth::Standing).await?;
        let its = rows.into_iter().flatten().filter(|row| {
            let standing = &row.record.standing;
            standing.owner == Some(owner) && standing.cancel_requested
        });
        cancels.extend(its.map(|row| row.record.id));
    }
    Ok(cancels)
}

/// A list of ids.
pub(super) fn read_ids(answer: Value) -> Option<Vec<JobId>> {
    let id = |value| JobId::from_slice(&reply::bytes(value)?);
    reply::list(answer)?.into_iter().map(id).collect()
}
