//! The reference model: all jobs in one list, all owners in another.

use std::time::Duration;

use bananas_core::{
    Alteration, Altered, BatchId, Claim, ClaimAnswer, JobId, JobSettle, JobSettled, JobState,
    NewRecord, OwnerId, QueueName, Recorded, Timestamp,
};

use super::job::Job;

/// A store as the contract describes it.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    pub(super) now: Timestamp,
    /// In the order of their records.
    pub(super) jobs: Vec<Job>,
    pub(super) owners: Vec<OwnerFacts>,
    pub(super) batches: Vec<OpenBatch>,
    uniques: Vec<(QueueName, String, JobId, Timestamp)>,
    /// Jobs with a batch that each may be stamped with. A job that was not ready when its batch was opened may
    /// be in it or not: nobody published it.
    stamps: Vec<(JobId, Vec<Option<BatchId>>)>,
    turns: u64,
}

#[derive(Clone, Debug)]
pub(super) struct OwnerFacts {
    pub(super) id: OwnerId,
    pub(super) until: Timestamp,
    /// For ever.
    pub(super) gone: bool,
}

#[derive(Clone, Debug)]
pub(super) struct OpenBatch {
    pub(super) id: BatchId,
    pub(super) since: Timestamp,
}

/// An answer that the model accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Accepts {
    One(ClaimAnswer),
    /// Whatever the pause.
    Busy,
    /// Both words tell the broker the same: the delivery is of no use.
    FinishedOrCancelled,
}

impl Jobs {
    /// No jobs, at this time.
    pub(super) fn at(now: Timestamp) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    pub(super) fn find(&self, id: JobId) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id() == id)
    }

    fn find_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id() == id)
    }

    /// Forgets the ended jobs of which nothing is kept.
    pub(super) fn tidy(&mut self) {
        self.jobs.retain(|job| !job.is_forgotten());
    }

    pub(super) fn forget(&mut self, id: JobId) {
        self.jobs.retain(|job| job.id() != id);
    }

    pub(super) fn record(
        &mut self,
        new: NewRecord,
        run_at: Option<Timestamp>,
        batch: Option<BatchId>,
    ) -> Recorded {
        if self.find(new.id).is_some() {
            return Recorded::Duplicate(new.id);
        }
        let now = self.now;
        if let Some(unique) = &new.unique {
            self.uniques.retain(|(.., until)| now < *until);
            let holds = |(queue, key, ..): &&(QueueName, String, JobId, Timestamp)| {
                (queue, key) == (&new.queue, &unique.key)
            };
            if let Some((_, _, holder, _)) = self.uniques.iter().find(holds) {
                return Recorded::Duplicate(*holder);
            }
            let until = now + unique.lasts;
            self.uniques
                .push((new.queue.clone(), unique.key.clone(), new.id, until));
        }
        self.turns += 1;
        let job = Job::new(new, run_at, now, self.turns);
        let ready = job.state == JobState::Ready;
        let stamps = if ready {
            vec![batch]
        } else {
            vec![None, batch]
        };
        self.stamp(job.id(), stamps);
        self.jobs.push(job);
        Recorded::New
    }

    /// Says with what a job may be stamped.
    pub(super) fn stamp(&mut self, id: JobId, stamps: Vec<Option<BatchId>>) {
        self.stamps.retain(|(job, _)| *job != id);
        self.stamps.push((id, stamps));
    }

    /// With what a job may be stamped.
    pub(super) fn stamps(&self, id: JobId) -> &[Option<BatchId>] {
        let found = self.stamps.iter().find(|(job, _)| *job == id);
        found.map_or(&[], |(_, stamps)| stamps)
    }

    pub(super) fn open(&mut self, batch: BatchId) {
        let since = self.now;
        self.batches.push(OpenBatch { id: batch, since });
    }

    pub(super) fn close(&mut self, batch: BatchId) {
        self.batches.retain(|open| open.id != batch);
    }

    pub(super) fn is_open(&self, batch: BatchId) -> bool {
        self.batches.iter().any(|open| open.id == batch)
    }

    /// Whether an owner's lease is valid.
    pub(super) fn holds(&self, owner: OwnerId) -> bool {
        let valid = |facts: &OwnerFacts| facts.id == owner && !facts.gone && self.now < facts.until;
        self.owners.iter().any(valid)
    }

    pub(super) fn is_gone(&self, owner: OwnerId) -> bool {
        self.owners
            .iter()
            .any(|facts| facts.id == owner && facts.gone)
    }

    /// Answers whether the owner lives.
    pub(super) fn renew(&mut self, owner: OwnerId, lease: Duration) -> bool {
        let until = self.now + lease;
        match self.owners.iter_mut().find(|facts| facts.id == owner) {
            Some(facts) if facts.gone => return false,
            Some(facts) => facts.until = until,
            None => self.owners.push(OwnerFacts {
                id: owner,
                until,
                gone: false,
            }),
        }
        true
    }

    /// Ends a lease for ever, known or not.
    pub(super) fn retire(&mut self, owner: OwnerId) {
        match self.owners.iter_mut().find(|facts| facts.id == owner) {
            Some(facts) => facts.gone = true,
            None => self.owners.push(OwnerFacts {
                id: owner,
                until: self.now,
                gone: true,
            }),
        }
    }

    /// Acts upon every lease that has lapsed.
    pub(super) fn sweep(&mut self) {
        let now = self.now;
        for facts in self.owners.iter_mut().filter(|facts| facts.until <= now) {
            facts.gone = true;
        }
    }

    pub(super) fn running_of(&self, owner: OwnerId) -> impl Iterator<Item = &Job> {
        self.jobs
            .iter()
            .filter(move |job| job.state == JobState::Running && job.owner == Some(owner))
    }

    /// Answers a claim of an owner whose lease is valid, and makes it so. `suspects` counts down.
    pub(super) fn claim(&mut self, claim: &Claim, by: OwnerId, suspects: &mut usize) -> Accepts {
        let now = self.now;
        let holder = self.find(claim.job.id).and_then(|job| job.owner);
        let holder_lives = holder.is_some_and(|holder| self.holds(holder));
        if let Some(holder) = holder.filter(|_| !holder_lives) {
            // The claim acts upon the lapse.
            self.retire(holder);
        }
        let Some(job) = self.find_mut(claim.job.id) else {
            return Accepts::One(ClaimAnswer::Missing);
        };
        match job.state {
            JobState::Cancelled => return Accepts::One(ClaimAnswer::Cancelled),
            JobState::Succeeded | JobState::Dead | JobState::Expired => {
                return Accepts::One(ClaimAnswer::Finished);
            }
            JobState::Scheduled | JobState::Retrying if !job.is_due(now) => {
                let at = job.run_at.unwrap_or(now);
                return Accepts::One(ClaimAnswer::NotYet { at });
            }
            JobState::Running if holder_lives && !job.is_lost_to(claim) => return Accepts::Busy,
            JobState::Running => job.crash(now),
            JobState::Scheduled | JobState::Retrying | JobState::Ready => {}
        }
        let answer = if job.has_ended() {
            Accepts::FinishedOrCancelled
        } else if job.crashes > 0 && *suspects == 0 {
            Accepts::Busy
        } else if job.start(by, Some((claim.copy, claim.delivery)), now) {
            *suspects -= usize::from(job.crashes > 0);
            Accepts::One(job.run())
        } else {
            Accepts::One(ClaimAnswer::Finished)
        };
        self.tidy();
        answer
    }

    /// Whether the answer to a settlement is right, and if so makes it so.
    pub(super) fn settles(&mut self, settle: JobSettle, answer: JobSettled) -> Result<(), String> {
        let Some(job) = self.find(settle.job.id) else {
            return same(answer, JobSettled::Missing);
        };
        // The id was forgotten, and is now that of another job.
        if *job.queue() != settle.job.queue && answer == JobSettled::Missing {
            return Ok(());
        }
        if job.epoch != settle.epoch {
            return same(answer, JobSettled::Stale { epoch: job.epoch });
        }
        if job.state != JobState::Running {
            return same(answer, JobSettled::AlreadySettled(job.state));
        }
        if job.owner.is_some_and(|owner| self.is_gone(owner)) {
            return same(answer, JobSettled::Stale { epoch: job.epoch });
        }
        let now = self.now;
        let Some(job) = self.find_mut(settle.job.id) else {
            return Ok(());
        };
        job.settle(settle.outcome, now);
        let expected = JobSettled::Settled(job.state);
        self.tidy();
        same(answer, expected)
    }

    pub(super) fn alter(&mut self, id: JobId, wish: Alteration) -> Altered {
        let now = self.now;
        let Some(job) = self.find_mut(id) else {
            return Altered::Missing;
        };
        let altered = job.alter(wish, now);
        if altered == Altered::Dropped {
            self.forget(id);
        }
        self.tidy();
        altered
    }
}

fn same(answer: JobSettled, expected: JobSettled) -> Result<(), String> {
    if answer == expected {
        return Ok(());
    }
    Err(format!("{expected:?}"))
}

impl Accepts {
    pub(super) fn accepts(&self, answer: &ClaimAnswer) -> bool {
        match self {
            Self::One(expected) => answer == expected,
            Self::Busy => matches!(answer, ClaimAnswer::Busy { .. }),
            Self::FinishedOrCancelled => {
                matches!(answer, ClaimAnswer::Finished | ClaimAnswer::Cancelled)
            }
        }
    }
}
