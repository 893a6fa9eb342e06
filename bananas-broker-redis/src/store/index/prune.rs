//! Forgetting what has ended long ago.

use bananas_core::{JobId, JobState, OwnerId, Prune, QueueName, Timestamp};
use redis::Value;

use super::alter;
use crate::engine::Shared;
use crate::error::Error;
use crate::keys::Part;
use crate::reply;
use crate::store::{owners, queues};

/// How many unique keys are forgotten at once.
const KEYS: usize = 500;

/// How many looks at a set one page takes; the next goes on.
const ROUNDS: usize = 50;

/// Forgets a page of finished records, expired unique keys and owners long gone; says how many records.
pub(super) async fn prune(shared: &Shared, prune: &Prune) -> Result<u64, Error> {
    let mut forgotten = 0;
    for queue in queues::all(shared).await? {
        for (part, before) in [
            (Part::Ended, prune.finished_before),
            (Part::DeadJobs, prune.dead_before),
        ] {
            let left = prune.max
                - usize::try_from(forgotten)
                    .unwrap_or(prune.max)
                    .min(prune.max);
            forgotten += prune_set(shared, &queue, (part, before), left).await?;
        }
        forget_keys(shared, &queue).await?;
        forget_owners(shared, &queue).await?;
    }
    Ok(forgotten)
}

/// Forgets jobs of a set that ended before. Others may be at the same jobs, so it looks again until it has forgotten
/// all that it found.
async fn prune_set(
    shared: &Shared,
    queue: &QueueName,
    (part, before): (Part, Timestamp),
    max: usize,
) -> Result<u64, Error> {
    let mut forgotten = 0;
    for _ in 0..ROUNDS {
        let left = max - usize::try_from(forgotten).unwrap_or(max).min(max);
        let ids = ended_before(shared, queue, part, before, left).await?;
        let gone = alter::forget(shared, queue, &ids, |standing| {
            let is_dead = standing.state == JobState::Dead;
            standing.state.is_terminal()
                && is_dead == (part == Part::DeadJobs)
                && standing.finished_at.is_none_or(|at| at < before)
        });
        let gone = gone.await?;
        forgotten += gone;
        if usize::try_from(gone) == Ok(ids.len()) {
            break;
        }
    }
    Ok(forgotten)
}

async fn ended_before(
    shared: &Shared,
    queue: &QueueName,
    part: Part,
    before: Timestamp,
    max: usize,
) -> Result<Vec<JobId>, Error> {
    if max == 0 {
        return Ok(Vec::new());
    }
    let mut command = redis::cmd("ZRANGE");
    command
        .arg(shared.keys(queue).key(part))
        .arg("-inf")
        .arg(format!("({}", before.as_micros()))
        .arg("BYSCORE")
        .arg("LIMIT")
        .arg(0)
        .arg(max);
    let ids = shared.wire().command(&command).await?;
    shared.read(owners::read_ids(ids))
}

async fn forget_keys(shared: &Shared, queue: &QueueName) -> Result<(), Error> {
    let keys = shared.keys(queue);
    let now = shared.env.now().as_micros();
    let mut look = redis::cmd("ZRANGE");
    look.arg(keys.key(Part::UniqueEnds))
        .arg("-inf")
        .arg(now)
        .arg("BYSCORE")
        .arg("LIMIT")
        .arg(0)
        .arg(KEYS);
    let over = reply::list(shared.wire().command(&look).await?);
    let over: Vec<Vec<u8>> = shared
        .read(over)?
        .into_iter()
        .filter_map(reply::bytes)
        .collect();
    if over.is_empty() {
        return Ok(());
    }
    let args = std::iter::once(now.to_string().into())
        .chain(over)
        .collect();
    let answer =
        crate::store::table::run(shared, crate::script::Script::Unlock, queue, args).await?;
    shared.read(matches!(answer, Value::Int(_)).then_some(()))
}

/// Forgets in a queue the owners that are remembered nowhere any more. Who is enlisted meanwhile has a row among
/// all owners before it has one here.
async fn forget_owners(shared: &Shared, queue: &QueueName) -> Result<(), Error> {
    let mut look = redis::cmd("HKEYS");
    look.arg(shared.keys(queue).key(Part::Owners));
    let marked = reply::list(shared.wire().command(&look).await?);
    let marked = shared.read(marked)?.into_iter().filter_map(reply::bytes);
    let marked: Vec<OwnerId> = marked.filter_map(|id| OwnerId::from_slice(&id)).collect();
    let strangers = owners::unknown(shared, &marked).await?;
    if strangers.is_empty() {
        return Ok(());
    }
    let mut forget = redis::cmd("HDEL");
    forget.arg(shared.keys(queue).key(Part::Owners));
    for owner in strangers {
        forget.arg(owner.as_bytes());
    }
    shared.wire().command(&forget).await.map(drop)
}
