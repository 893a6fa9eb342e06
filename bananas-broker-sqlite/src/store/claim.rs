//! Answering claims: for ledgers whose messages come from another broker.

use bananas_core::{Claim, ClaimAnswer, ClaimRequest, Claimant, JobState, OwnerId, Result};

use super::row::{self, Moving};
use super::{owners, settle};
use crate::error::Error;
use crate::transaction::Transaction;

const STARTED: &str = "UPDATE jobs SET started_at = ?2 WHERE seq = ?1";

/// Answers claims, in order.
pub(super) fn claim(
    tx: &mut Transaction<'_>,
    request: &ClaimRequest,
) -> std::result::Result<Vec<Result<ClaimAnswer>>, Error> {
    if let Err(refused) = owners::check(tx.connection(), request.owner, &tx.moment)? {
        let refusals = request.claims.iter();
        return Ok(refusals
            .map(|claim| Err(refused.repeat().on(&claim.job.queue)))
            .collect());
    }
    let mut suspects = request.suspects;
    let mut answers = Vec::with_capacity(request.claims.len());
    for claim in &request.claims {
        let answer = claim_one(tx, claim, request.owner, suspects)?;
        if matches!(answer, ClaimAnswer::Run { crashes: 1.., .. }) {
            suspects = suspects.saturating_sub(1);
        }
        answers.push(Ok(answer));
    }
    Ok(answers)
}

fn claim_one(
    tx: &mut Transaction<'_>,
    claim: &Claim,
    owner: OwnerId,
    suspects: usize,
) -> std::result::Result<ClaimAnswer, Error> {
    let Some(mut job) = settle::load(tx.connection(), claim.job.id, &claim.job.queue)? else {
        return Ok(ClaimAnswer::Missing);
    };
    let before = job.standing.clone();
    let holder_alive = match before.owner {
        Some(holder) => owners::is_alive(tx, holder)?,
        None => false,
    };
    let by = Claimant {
        owner,
        holder_alive,
        suspects,
    };
    let answer = if before.state == JobState::Running {
        claim_running(tx, &mut job, claim, &by)?
    } else {
        job.standing.claim(claim, &by, tx.now)
    };
    if job.standing != before {
        row::put(tx, &job, before.state)?;
    }
    if matches!(answer, ClaimAnswer::Run { .. }) {
        tx.sql(STARTED)?.execute((job.seq, tx.now.as_micros()))?;
    }
    Ok(answer)
}

/// A crash may be found, and is then added to the errors.
fn claim_running(
    tx: &Transaction<'_>,
    job: &mut Moving,
    claim: &Claim,
    by: &Claimant,
) -> std::result::Result<ClaimAnswer, Error> {
    let mut record = settle::load_record(tx.connection(), job.seq)?;
    let answer = record.claim(claim, by, tx.now);
    if record.standing.crashes > job.standing.crashes {
        row::put_errors(tx, job.seq, &record.errors)?;
        if let Some(holder) = job.standing.owner.filter(|_| !by.holder_alive) {
            // Its lapsed lease was acted upon, so it must not come back.
            owners::retire(tx, &[holder])?;
        }
    }
    job.standing = record.standing;
    Ok(answer)
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 1] = [STARTED];
