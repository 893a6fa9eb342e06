//! Recording how runs ended.

use std::collections::HashMap;

use bananas_core::{JobId, JobSettle, JobSettled, Outcome, QueueName, Result, Timestamp};
use futures::future::join_all;

use super::record::check_size;
use super::row::{Row, Told};
use super::table::{self, Actor, Applied, Depth, Plan};
use crate::broker::batches::{Batch, Batches};
use crate::engine::Shared;
use crate::error::Error;

/// Records outcomes; each has its own answer.
pub(super) async fn settle(shared: &Shared, all: Vec<JobSettle>) -> Vec<Result<JobSettled>> {
    let now = shared.env.now();
    let mut answers: Vec<Result<JobSettled>> = Vec::with_capacity(all.len());
    let mut batches = Batches::new();
    for (place, settle) in all.into_iter().enumerate() {
        let queue = settle.job.queue.clone();
        let bytes = match &settle.outcome {
            Outcome::Succeeded { result } => result.len(),
            _ => 0,
        };
        match check_size(bytes) {
            Ok(()) => {
                answers.push(Ok(JobSettled::Missing));
                batches.add(&queue, (place, settle), bytes + 512);
            }
            Err(e) => answers.push(Err(bananas_core::Error::from(e)
                .on(&queue)
                .during("settle"))),
        }
    }
    let calls = batches.into_vec().into_iter().map(async |batch| {
        let settled = send(shared, &batch, now).await;
        (batch, settled)
    });
    for (batch, settled) in join_all(calls).await {
        for (n, (place, _)) in batch.items.iter().enumerate() {
            let answer = match &settled {
                Ok(settled) => settled.get(n).copied().ok_or(Error::Contended),
                Err(e) => Err(e.clone()),
            };
            if let Some(slot) = answers.get_mut(*place) {
                *slot = answer.map_err(|e| {
                    bananas_core::Error::from(e)
                        .on(&batch.queue)
                        .during("settle")
                });
            }
        }
    }
    answers
}

async fn send(
    shared: &Shared,
    batch: &Batch<JobSettle>,
    now: Timestamp,
) -> std::result::Result<Vec<JobSettled>, Error> {
    let ids: Vec<JobId> = batch
        .items
        .iter()
        .map(|(_, settle)| settle.job.id)
        .collect();
    let plan = Plan {
        queue: &batch.queue,
        actor: Actor::Runner,
        publication: None,
        depth: Depth::Story,
    };
    let rows = known(shared, &batch.queue, &ids, &batch.items);
    let settled = table::apply(shared, plan, &ids, rows, |place, row| {
        // There is an item for each place.
        let item = batch.items.get(place).map(|(_, settle)| settle);
        item.map_or(JobSettled::Missing, |settle| {
            row.record.settle(settle.epoch, settle.outcome.clone(), now)
        })
    });
    let answer = |applied| match applied {
        Applied::Missing => JobSettled::Missing,
        Applied::OfTheDead { epoch } => JobSettled::Stale { epoch },
        Applied::Done(settled) => settled,
    };
    Ok(settled.await?.into_iter().map(answer).collect())
}

/// The rows of runs that were started here and of which nothing else need be read.
fn known(
    shared: &Shared,
    queue: &QueueName,
    ids: &[JobId],
    items: &[(usize, JobSettle)],
) -> HashMap<JobId, Row> {
    let remembered = shared.known.settling(ids);
    let mut rows = HashMap::with_capacity(ids.len());
    for ((_, settle), stored) in items.iter().zip(remembered) {
        let row = stored.and_then(|stored| Row::read(queue, settle.job.id, stored).ok());
        let suffices = |row: &Row| {
            row.record.standing.epoch == settle.epoch
                && match (row.told, &settle.outcome) {
                    (Told::Nothing, _) => true,
                    (Told::Note, _) => false,
                    (Told::Errors, outcome) => matches!(
                        outcome,
                        Outcome::Succeeded { .. }
                            | Outcome::Cancelled
                            | Outcome::Expired
                            | Outcome::Release { note: None, .. }
                    ),
                }
        };
        rows.extend(row.filter(suffices).map(|row| (settle.job.id, row)));
    }
    rows
}
