//! Accepting jobs, answering claims, recording outcomes: the moves of one job at a time.

use bananas_core::{
    Claim, ClaimAnswer, ClaimRequest, Claimant, JobRef, JobSettle, JobSettled, JobState, NewRecord,
    Outcome, Publication, Recorded, Tick, Timestamp,
};

use super::table::Table;
use crate::error::Error;

/// What the clocks showed when the operation began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) now: Timestamp,
    pub(super) tick: Tick,
}

impl Table {
    /// Records one job, unless it or the holder of its unique key is there already.
    pub(super) fn record(
        &mut self,
        mut job: NewRecord,
        publication: Option<&Publication>,
        clock: Clock,
        limit: usize,
    ) -> Result<Recorded, Error> {
        check_size(job.body.len(), limit)?;
        check_size(job.result.as_ref().map_or(0, bytes::Bytes::len), limit)?;
        let id = job.id;
        if self.rows.contains_key(&id) {
            return Ok(Recorded::Duplicate(id));
        }
        if job.standing.state == JobState::Running {
            let owner = job.standing.owner;
            if !owner.is_some_and(|owner| self.index.owners.holds(owner, clock.tick)) {
                return Err(Error::UnknownOwner(id));
            }
        }
        if let Some(unique) = job.unique.take()
            && let Err(holder) = self.uniques.hold(&job.queue, unique, id, clock.now)
        {
            return Ok(Recorded::Duplicate(holder));
        }
        let ready = job.standing.state == JobState::Ready;
        self.insert(job.into_record());
        if let Some(publication) = publication.filter(|_| ready) {
            self.stamp(id, publication, clock.now);
        }
        Ok(Recorded::New)
    }

    /// Answers the claims of an owner.
    pub(super) fn claims(
        &mut self,
        request: &ClaimRequest,
        clock: Clock,
    ) -> Result<Vec<ClaimAnswer>, Error> {
        if !self.index.owners.holds(request.owner, clock.tick) {
            return Err(Error::NoLease(request.owner));
        }
        let mut suspects = request.suspects;
        let mut answers = Vec::with_capacity(request.claims.len());
        for claim in &request.claims {
            let by = Claimant {
                owner: request.owner,
                holder_alive: self.holder_alive(claim, clock.tick),
                suspects,
            };
            let answer = self.claim(claim, &by, clock.now);
            if matches!(answer, ClaimAnswer::Run { crashes, .. } if crashes > 0) {
                suspects = suspects.saturating_sub(1);
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Records how a run ended.
    pub(super) fn settle(&mut self, settle: JobSettle, now: Timestamp) -> JobSettled {
        let Some(standing) = self.standing(&settle.job) else {
            return JobSettled::Missing;
        };
        // Its owner has been told, or will be, that it may settle nothing; the next look for due jobs takes
        // the job away.
        if standing
            .owner
            .is_some_and(|owner| self.index.owners.is_gone(owner))
        {
            return JobSettled::Stale {
                epoch: standing.epoch,
            };
        }
        let JobSettle {
            job,
            epoch,
            outcome,
        } = settle;
        self.change(job.id, |row| row.record.settle(epoch, outcome, now))
            .unwrap_or(JobSettled::Missing)
    }

    fn claim(&mut self, claim: &Claim, by: &Claimant, now: Timestamp) -> ClaimAnswer {
        if self.standing(&claim.job).is_none() {
            return ClaimAnswer::Missing;
        }
        self.change(claim.job.id, |row| row.record.claim(claim, by, now))
            .unwrap_or(ClaimAnswer::Missing)
    }

    /// Whether the owner that runs the job now holds its lease. If not, the claim acts upon the lapse, and
    /// the owner is gone for ever.
    fn holder_alive(&mut self, claim: &Claim, now: Tick) -> bool {
        let holder = self
            .standing(&claim.job)
            .and_then(|standing| standing.owner);
        let Some(holder) = holder else { return true };
        let alive = self.index.owners.holds(holder, now);
        if !alive {
            self.index.owners.retire(holder, now);
        }
        alive
    }

    fn standing(&self, job: &JobRef) -> Option<&bananas_core::Standing> {
        let record = &self.rows.get(&job.id)?.record;
        (record.queue == job.queue).then_some(&record.standing)
    }
}

/// Refuses a result that is too large.
pub(super) fn check_outcome(outcome: &Outcome, limit: usize) -> Result<(), Error> {
    match outcome {
        Outcome::Succeeded { result } => check_size(result.len(), limit),
        _ => Ok(()),
    }
}

fn check_size(bytes: usize, limit: usize) -> Result<(), Error> {
    if bytes > limit {
        return Err(Error::TooLarge { bytes, limit });
    }
    Ok(())
}
