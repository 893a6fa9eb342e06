//! Answering claims: for ledgers whose messages come from another broker.

use std::collections::{HashMap, HashSet};

use bananas_core::{Claim, ClaimAnswer, ClaimRequest, Claimant, JobId, OwnerId, Result};

use super::owners::{self, Death};
use super::row::Row;
use super::table::{self, Actor, Applied, Depth, Plan};
use crate::broker::batches::{Batch, Batches};
use crate::engine::Shared;
use crate::error::Error;

/// Answers claims, in order.
pub(super) async fn claim(shared: &Shared, request: ClaimRequest) -> Vec<Result<ClaimAnswer>> {
    let mut answers: Vec<Result<ClaimAnswer>> = Vec::with_capacity(request.claims.len());
    let mut batches = Batches::new();
    for (place, claim) in request.claims.into_iter().enumerate() {
        answers.push(Ok(ClaimAnswer::Missing));
        let queue = claim.job.queue.clone();
        batches.add(&queue, (place, claim), 256);
    }
    let mut suspects = request.suspects;
    // One after the other: the suspects that one lets run the next may not.
    for batch in batches.into_vec() {
        let claimed = send(shared, &batch, request.owner, suspects).await;
        for (n, (place, _)) in batch.items.iter().enumerate() {
            let answer = match &claimed {
                Ok(claimed) => claimed.get(n).cloned().ok_or(Error::Contended),
                Err(e) => Err(e.clone()),
            };
            if matches!(answer, Ok(ClaimAnswer::Run { crashes: 1.., .. })) {
                suspects = suspects.saturating_sub(1);
            }
            if let Some(slot) = answers.get_mut(*place) {
                *slot = answer.map_err(|e| {
                    bananas_core::Error::from(e)
                        .on(&batch.queue)
                        .during("claim")
                });
            }
        }
    }
    answers
}

async fn send(
    shared: &Shared,
    batch: &Batch<Claim>,
    owner: OwnerId,
    suspects: usize,
) -> std::result::Result<Vec<ClaimAnswer>, Error> {
    let queue = &batch.queue;
    owners::enlist(shared, owner, queue).await?;
    let ids: Vec<JobId> = batch.items.iter().map(|(_, claim)| claim.job.id).collect();
    let unique: HashSet<JobId> = ids.iter().copied().collect();
    let unique: Vec<JobId> = unique.into_iter().collect();
    let rows = table::read(shared, queue, &unique, Depth::Story).await?;
    let rows: HashMap<JobId, Row> = unique
        .into_iter()
        .zip(rows)
        .filter_map(|(id, row)| Some((id, row?)))
        .collect();
    let (ends, alive) = holders(shared, owner, &rows).await?;
    let now = shared.env.now();
    let mut left = suspects;
    let plan = Plan {
        queue,
        actor: Actor::Owner(owner, ends),
        publication: None,
        depth: Depth::Story,
    };
    let answers = table::apply(shared, plan, &ids, rows, |place, row| {
        let Some((_, claim)) = batch.items.get(place) else {
            return ClaimAnswer::Missing;
        };
        let holder = row.record.standing.owner;
        let by = Claimant {
            owner,
            // Who started it a moment ago is alive.
            holder_alive: holder.is_some_and(|it| alive.get(&it).copied().unwrap_or(true)),
            suspects: left,
        };
        let answer = row.record.claim(claim, &by, now);
        if matches!(answer, ClaimAnswer::Run { crashes: 1.., .. }) {
            left = left.saturating_sub(1);
        }
        answer
    });
    let answer = |applied| match applied {
        Applied::Done(answer) => answer,
        Applied::Missing | Applied::OfTheDead { .. } => ClaimAnswer::Missing,
    };
    Ok(answers.await?.into_iter().map(answer).collect())
}

/// When the claimant's lease ends, and which holders of these jobs hold theirs. Those that do not are declared
/// dead first, since the claim acts upon it.
async fn holders(
    shared: &Shared,
    owner: OwnerId,
    rows: &HashMap<JobId, Row>,
) -> std::result::Result<(i64, HashMap<OwnerId, bool>), Error> {
    let holders = rows.values().filter_map(|row| row.record.standing.owner);
    let holders: HashSet<OwnerId> = holders.filter(|it| *it != owner).collect();
    let holders: Vec<OwnerId> = holders.into_iter().collect();
    let (ends, mut alive) = owners::look(shared, owner, &holders).await?;
    let lapsed: Vec<OwnerId> = holders
        .into_iter()
        .filter(|it| alive.get(it) != Some(&true))
        .collect();
    if !lapsed.is_empty() {
        owners::retire(shared, Death::Lapsed, &lapsed).await?;
        // One that was renewed at this moment is alive after all.
        alive.extend(owners::look(shared, owner, &lapsed).await?.1);
    }
    Ok((ends, alive))
}
