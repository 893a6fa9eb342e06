//! Doing what people ask of jobs.

use std::collections::{BTreeMap, HashMap};

use bananas_core::{Alteration, Altered, JobId, QueueName};
use futures::future::{join_all, try_join_all};

use crate::engine::Shared;
use crate::error::Error;
use crate::store::queues;
use crate::store::table::{self, Actor, Applied, Depth, Plan};

/// Does what is asked; the answers are in order.
pub(super) async fn alter(
    shared: &Shared,
    ids: &[JobId],
    alteration: Alteration,
) -> Result<Vec<Altered>, Error> {
    let mut answers = vec![Altered::Missing; ids.len()];
    let mut start = 0;
    for piece in table::pieces(ids) {
        for (queue, places) in on_queues(shared, piece).await? {
            let wanted: Vec<JobId> = places
                .iter()
                .filter_map(|n| piece.get(*n).copied())
                .collect();
            let altered = alter_on(shared, &queue, &wanted, alteration).await?;
            for (place, altered) in places.into_iter().zip(altered) {
                if let Some(slot) = answers.get_mut(start + place) {
                    *slot = altered;
                }
            }
        }
        start += piece.len();
    }
    Ok(answers)
}

/// The queues of these jobs, with the places of those that are there.
async fn on_queues(
    shared: &Shared,
    ids: &[JobId],
) -> Result<BTreeMap<QueueName, Vec<usize>>, Error> {
    let queues = queues::all(shared).await?;
    let reads = queues
        .iter()
        .map(|queue| table::read(shared, queue, ids, Depth::Standing));
    let mut places: BTreeMap<QueueName, Vec<usize>> = BTreeMap::new();
    for (queue, rows) in queues.iter().zip(join_all(reads).await) {
        for (place, row) in rows?.into_iter().enumerate() {
            if row.is_some() {
                places.entry(queue.clone()).or_default().push(place);
            }
        }
    }
    Ok(places)
}

async fn alter_on(
    shared: &Shared,
    queue: &QueueName,
    ids: &[JobId],
    alteration: Alteration,
) -> Result<Vec<Altered>, Error> {
    let now = shared.env.now();
    let plan = Plan {
        queue,
        actor: Actor::Anybody,
        publication: None,
        depth: Depth::Standing,
    };
    let altered = table::apply(shared, plan, ids, HashMap::new(), |_, row| {
        let altered = row.record.standing.alter(&alteration, now);
        row.dropped = altered == Altered::Dropped;
        altered
    });
    let answer = |applied| match applied {
        Applied::Done(altered) => altered,
        Applied::Missing | Applied::OfTheDead { .. } => Altered::Missing,
    };
    Ok(altered.await?.into_iter().map(answer).collect())
}

/// Forgets jobs of a queue for which `is_over` holds still; says how many.
pub(super) async fn forget(
    shared: &Shared,
    queue: &QueueName,
    ids: &[JobId],
    is_over: impl Fn(&bananas_core::Standing) -> bool + Send + Sync,
) -> Result<u64, Error> {
    let plan = Plan {
        queue,
        actor: Actor::Anybody,
        publication: None,
        depth: Depth::Standing,
    };
    let pieces = table::pieces(ids).map(|ids| {
        table::apply(shared, plan, ids, HashMap::new(), |_, row| {
            row.dropped = is_over(&row.record.standing);
            row.dropped
        })
    });
    let forgotten = try_join_all(pieces).await?.into_iter().flatten();
    let forgotten = forgotten.filter(|applied| *applied == Applied::Done(true));
    Ok(u64::try_from(forgotten.count()).unwrap_or(u64::MAX))
}
