//! A store without any index: it keeps all jobs in one list and looks through the whole of it each time. For
//! tests, which compare the real one with it.

use bananas_core::{
    Alteration, Altered, Claim, ClaimAnswer, Claimant, JobId, JobRecord, JobSettled, JobState,
    NewRecord, Outcome, OwnerId, Prune, QueueName, Recorded, Renewed, StateCount, Taken, Tick,
    Timestamp,
};

use crate::rig::LEASE;

/// All jobs in one list, in the order of their records.
#[derive(Default)]
pub(super) struct Model {
    pub(super) jobs: Vec<ModelJob>,
    pub(super) owners: Vec<ModelOwner>,
    uniques: Vec<(QueueName, String, JobId, Timestamp)>,
    turns: u64,
    pub(super) recorded: u64,
    pub(super) ended_and_gone: u64,
}

pub(super) struct ModelJob {
    pub(super) record: JobRecord,
    turn: u64,
}

pub(super) struct ModelOwner {
    pub(super) id: OwnerId,
    until: Tick,
    pub(super) gone: bool,
}

impl Model {
    pub(super) fn holds(&self, id: OwnerId, tick: Tick) -> bool {
        let valid = |owner: &ModelOwner| owner.id == id && !owner.gone && tick < owner.until;
        self.owners.iter().any(valid)
    }

    pub(super) fn find(&self, id: JobId) -> Option<usize> {
        self.jobs.iter().position(|job| job.record.id == id)
    }

    /// Changes one job; gives it a turn if it became ready by waiting; forgets it if nothing is kept.
    pub(super) fn change<T>(&mut self, at: usize, change: impl FnOnce(&mut JobRecord) -> T) -> T {
        let job = &mut self.jobs[at];
        let before = job.record.standing.state;
        let answer = change(&mut job.record);
        let waited = matches!(before, JobState::Scheduled | JobState::Retrying);
        if waited
            && !matches!(
                job.record.standing.state,
                JobState::Scheduled | JobState::Retrying
            )
        {
            self.turns += 1;
            job.turn = self.turns;
        }
        if job.record.is_forgotten() {
            self.jobs.remove(at);
            self.ended_and_gone += 1;
        }
        answer
    }

    pub(super) fn record(&mut self, new: NewRecord, now: Timestamp) -> Recorded {
        if self.find(new.id).is_some() {
            return Recorded::Duplicate(new.id);
        }
        self.uniques.retain(|(.., until)| now < *until);
        if let Some(unique) = &new.unique {
            let held = |(queue, key, ..): &&(QueueName, String, JobId, Timestamp)| {
                *queue == new.queue && *key == unique.key
            };
            if let Some((_, _, holder, _)) = self.uniques.iter().find(held) {
                return Recorded::Duplicate(*holder);
            }
            let until = now + unique.lasts;
            self.uniques
                .push((new.queue.clone(), unique.key.clone(), new.id, until));
        }
        self.recorded += 1;
        self.turns += 1;
        self.jobs.push(ModelJob {
            record: new.into_record(),
            turn: self.turns,
        });
        Recorded::New
    }

    /// The next waiting job of a queue, or of all, that is due.
    pub(super) fn next_due(&self, queue: Option<&QueueName>, now: Timestamp) -> Option<usize> {
        let due = |job: &&ModelJob| {
            let standing = &job.record.standing;
            matches!(standing.state, JobState::Scheduled | JobState::Retrying)
                && standing.run_at.is_some_and(|at| at <= now)
                && queue.is_none_or(|queue| *queue == job.record.queue)
        };
        let first = self
            .jobs
            .iter()
            .filter(due)
            .min_by_key(|job| (job.record.standing.run_at, job.record.id))?;
        self.find(first.record.id)
    }

    pub(super) fn take(
        &mut self,
        queue: &QueueName,
        by: OwnerId,
        (max, mut suspects): (usize, usize),
        now: Timestamp,
    ) -> Vec<Taken> {
        while let Some(at) = self.next_due(Some(queue), now) {
            self.change(at, |record| record.standing.due(now));
        }
        let mut taken = Vec::new();
        while taken.len() < max {
            let startable = |job: &&ModelJob| {
                let standing = &job.record.standing;
                job.record.queue == *queue
                    && standing.state == JobState::Ready
                    && (suspects > 0 || !standing.is_suspect())
            };
            let next = self
                .jobs
                .iter()
                .filter(startable)
                .min_by_key(|job| (std::cmp::Reverse(job.record.priority), job.turn));
            let Some(at) = next.and_then(|job| self.find(job.record.id)) else {
                break;
            };
            let started = self.change(at, |record| {
                let copy = record.standing.copy;
                let started = record.standing.start(by, (copy, 0), now);
                if started {
                    record.started_at = Some(now);
                }
                started.then(|| Taken {
                    id: record.id,
                    body: record.body.clone(),
                    priority: record.priority,
                    epoch: record.standing.epoch,
                    attempt: record.standing.failed_attempts + 1,
                    crashes: record.standing.crashes,
                })
            });
            if let Some(job) = started {
                suspects -= usize::from(job.crashes > 0);
                taken.push(job);
            }
        }
        taken
    }

    pub(super) fn claim(
        &mut self,
        claim: &Claim,
        by: OwnerId,
        suspects: usize,
        (now, tick): (Timestamp, Tick),
    ) -> ClaimAnswer {
        let Some(at) = self.find(claim.job.id) else {
            return ClaimAnswer::Missing;
        };
        let holder = self.jobs[at].record.standing.owner;
        let holder_alive = holder.is_none_or(|holder| self.holds(holder, tick));
        for owner in &mut self.owners {
            owner.gone |= !holder_alive && Some(owner.id) == holder;
        }
        let by = Claimant {
            owner: by,
            holder_alive,
            suspects,
        };
        self.change(at, |record| record.claim(claim, &by, now))
    }

    pub(super) fn settle(
        &mut self,
        id: JobId,
        epoch: u64,
        outcome: Outcome,
        now: Timestamp,
    ) -> JobSettled {
        let Some(at) = self.find(id) else {
            return JobSettled::Missing;
        };
        let standing = &self.jobs[at].record.standing;
        let gone = |owner: &ModelOwner| owner.gone && Some(owner.id) == standing.owner;
        if self.owners.iter().any(gone) {
            return JobSettled::Stale {
                epoch: standing.epoch,
            };
        }
        self.change(at, |record| record.settle(epoch, outcome, now))
    }

    pub(super) fn renew(&mut self, id: OwnerId, tick: Tick) -> Renewed {
        let until = tick + LEASE;
        match self.owners.iter_mut().find(|owner| owner.id == id) {
            Some(owner) if owner.gone => return Renewed::Lost,
            Some(owner) => owner.until = until,
            None => self.owners.push(ModelOwner {
                id,
                until,
                gone: false,
            }),
        }
        Renewed::Held { lease: LEASE }
    }

    pub(super) fn retire(&mut self, id: OwnerId, tick: Tick) {
        match self.owners.iter_mut().find(|owner| owner.id == id) {
            Some(owner) => owner.gone = true,
            None => self.owners.push(ModelOwner {
                id,
                until: tick,
                gone: true,
            }),
        }
    }

    pub(super) fn due(&mut self, max: usize, now: Timestamp, tick: Tick) -> u64 {
        for owner in &mut self.owners {
            owner.gone |= owner.until <= tick;
        }
        let mut moved = 0;
        while moved < max {
            let gone: Vec<_> = self.owners.iter().filter(|owner| owner.gone).collect();
            let orphan = |job: &&ModelJob| {
                gone.iter()
                    .any(|owner| Some(owner.id) == job.record.standing.owner)
            };
            let next = self
                .jobs
                .iter()
                .filter(orphan)
                .min_by_key(|job| (job.record.standing.owner, job.record.id));
            let Some(at) = next.and_then(|job| self.find(job.record.id)) else {
                break;
            };
            self.change(at, |record| record.reap(now));
            moved += 1;
        }
        while moved < max
            && let Some(at) = self.next_due(None, now)
        {
            self.change(at, |record| record.standing.due(now));
            moved += 1;
        }
        moved as u64
    }

    pub(super) fn alter(&mut self, id: JobId, alteration: Alteration, now: Timestamp) -> Altered {
        let Some(at) = self.find(id) else {
            return Altered::Missing;
        };
        let altered = self.change(at, |record| record.standing.alter(&alteration, now));
        if altered == Altered::Dropped {
            self.jobs.remove(at);
            self.ended_and_gone += 1;
        }
        altered
    }

    pub(super) fn prune(&mut self, prune: &Prune) -> u64 {
        let mut old: Vec<_> = self
            .jobs
            .iter()
            .filter_map(|job| {
                let standing = &job.record.standing;
                let dead = standing.state == JobState::Dead;
                let before = if dead {
                    prune.dead_before
                } else {
                    prune.finished_before
                };
                let ended = standing.finished_at.filter(|at| *at < before)?;
                Some((dead, ended, job.record.id))
            })
            .collect();
        old.sort();
        old.truncate(prune.max);
        self.jobs
            .retain(|job| !old.iter().any(|(.., id)| *id == job.record.id));
        self.ended_and_gone += old.len() as u64;
        old.len() as u64
    }

    pub(super) fn counts(&self, queues: &[QueueName]) -> Vec<StateCount> {
        let mut counts = Vec::new();
        for queue in queues {
            for state in JobState::ALL {
                let here = |job: &&ModelJob| {
                    job.record.queue == *queue && job.record.standing.state == state
                };
                let jobs = self.jobs.iter().filter(here).count() as u64;
                if jobs > 0 {
                    counts.push(StateCount {
                        queue: queue.clone(),
                        state,
                        jobs,
                    });
                }
            }
        }
        counts
    }
}
