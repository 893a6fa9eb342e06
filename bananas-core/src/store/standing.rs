//! Where a job stands, and every move it can make.
//!
//! The rules are here, once, as pure functions. A store loads a standing, calls one of them inside its
//! transaction, and writes the standing back; so all stores have the same rules, and the rules can be tested
//! without a store. What the store owes is atomicity.

use std::time::Duration;

use crate::{
    Alteration, Altered, Claim, ClaimAnswer, DeadReason, JobSettled, JobState, Outcome, OwnerId,
    Timestamp,
};

/// How often a process may die while running a job before the job is dead as poison.
pub const CRASH_LIMIT: u32 = 3;

/// How long a delivery of a job that somebody runs is put off.
const BUSY_RETRY: Duration = Duration::from_secs(5);

/// How long a suspect waits for its turn.
const SUSPECT_RETRY: Duration = Duration::from_millis(500);

/// Who claims, and what the store knows around the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// Who wants to run the job; its lease is valid.
    pub owner: OwnerId,
    /// Whether the owner that runs the job now, if one does, still holds its lease.
    pub holder_alive: bool,
    /// How many more suspects may run.
    pub suspects: usize,
}

/// The changing part of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: JobState,
    /// Grows with every claim, and whenever a run is taken away from its owner.
    pub epoch: u64,
    /// Attempts that reached the handler and failed.
    pub failed_attempts: u32,
    /// How often a process died while running it.
    pub crashes: u32,
    /// The latest published copy.
    pub copy: u32,
    /// Who runs it.
    pub owner: Option<OwnerId>,
    /// Which copy the run was claimed with, and how often that copy had been delivered.
    pub claimed_with: (u32, u32),
    /// When it is due, while `Scheduled` or `Retrying`.
    pub run_at: Option<Timestamp>,
    /// Not to start after.
    pub expires_at: Option<Timestamp>,
    /// Somebody asked to cancel it while it runs.
    pub cancel_requested: bool,
    /// When it reached a terminal state.
    pub finished_at: Option<Timestamp>,
    /// Why it is dead.
    pub reason: Option<DeadReason>,
}

impl Standing {
    /// The standing of a new job: `Scheduled` when `run_at` lies ahead, else `Ready`.
    #[must_use]
    pub fn new(now: Timestamp, run_at: Option<Timestamp>, expires_at: Option<Timestamp>) -> Self {
        let run_at = run_at.filter(|at| *at > now);
        Self {
            state: if run_at.is_some() {
                JobState::Scheduled
            } else {
                JobState::Ready
            },
            epoch: 0,
            failed_attempts: 0,
            crashes: 0,
            copy: 0,
            owner: None,
            claimed_with: (0, 0),
            run_at,
            expires_at,
            cancel_requested: false,
            finished_at: None,
            reason: None,
        }
    }

    /// Whether a run of it may bring the process down again.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.crashes > 0
    }

    /// Answers a claim and, if the answer is `Run`, makes it so.
    ///
    /// A crash found here is counted.
    pub fn claim(&mut self, claim: &Claim, by: &Claimant, now: Timestamp) -> ClaimAnswer {
        match self.state {
            JobState::Succeeded | JobState::Dead | JobState::Expired => {
                return ClaimAnswer::Finished;
            }
            JobState::Cancelled => return ClaimAnswer::Cancelled,
            JobState::Scheduled | JobState::Retrying => {
                let at = self.run_at.unwrap_or(now);
                if at > now {
                    return ClaimAnswer::NotYet { at };
                }
            }
            JobState::Running => {
                let (copy, delivery) = self.claimed_with;
                let lease_lost = claim.redelivery_proves_lease_lost
                    && claim.copy == copy
                    && claim.delivery > delivery;
                if by.holder_alive && !lease_lost {
                    return ClaimAnswer::Busy {
                        retry_in: BUSY_RETRY,
                    };
                }
                self.crash(now);
                if self.state.is_terminal() {
                    return ClaimAnswer::Finished;
                }
            }
            JobState::Ready => {}
        }
        if self.is_suspect() && by.suspects == 0 {
            return ClaimAnswer::Busy {
                retry_in: SUSPECT_RETRY,
            };
        }
        if !self.start(by.owner, (claim.copy, claim.delivery), now) {
            return ClaimAnswer::Finished;
        }
        ClaimAnswer::Run {
            epoch: self.epoch,
            attempt: self.failed_attempts + 1,
            crashes: self.crashes,
        }
    }

    /// Starts a run, unless its time has passed: then it is `Expired` and the answer is false.
    pub fn start(&mut self, owner: OwnerId, claimed_with: (u32, u32), now: Timestamp) -> bool {
        if self.expires_at.is_some_and(|at| at <= now) {
            self.end(JobState::Expired, now);
            return false;
        }
        self.state = JobState::Running;
        self.epoch += 1;
        self.owner = Some(owner);
        self.claimed_with = claimed_with;
        self.run_at = None;
        true
    }

    /// Records how the run of `epoch` ended.
    pub fn settle(&mut self, epoch: u64, outcome: &Outcome, now: Timestamp) -> JobSettled {
        if epoch != self.epoch {
            return JobSettled::Stale { epoch: self.epoch };
        }
        if self.state != JobState::Running {
            return JobSettled::AlreadySettled(self.state);
        }
        self.owner = None;
        match outcome {
            Outcome::Succeeded { .. } => self.end(JobState::Succeeded, now),
            Outcome::Dead { reason, .. } => {
                self.failed_attempts += 1;
                self.reason = Some(*reason);
                self.end(JobState::Dead, now);
            }
            Outcome::Cancelled => self.end(JobState::Cancelled, now),
            Outcome::Expired => self.end(JobState::Expired, now),
            Outcome::Retry { run_at, .. } => {
                self.failed_attempts += 1;
                self.wait(JobState::Retrying, Some(*run_at), now);
            }
            Outcome::Release { run_at, .. } => self.wait(JobState::Scheduled, *run_at, now),
        }
        JobSettled::Settled(self.state)
    }

    /// The owner died while running it: `Ready` again, or dead as poison at the third time. The epoch grows,
    /// so that the old run can settle nothing.
    pub fn crash(&mut self, now: Timestamp) {
        self.crashes += 1;
        self.epoch += 1;
        self.owner = None;
        if self.crashes >= CRASH_LIMIT {
            self.reason = Some(DeadReason::Poison);
            self.end(JobState::Dead, now);
        } else {
            self.wait(JobState::Ready, None, now);
        }
    }

    /// Its time has come: `Ready` as a new copy, or `Expired`. Answers whether it is to be published.
    pub fn due(&mut self, now: Timestamp) -> bool {
        if self.expires_at.is_some_and(|at| at <= now) {
            self.end(JobState::Expired, now);
            return false;
        }
        self.state = JobState::Ready;
        self.run_at = None;
        self.copy += 1;
        true
    }

    /// Its owner is dead: a crash, and if it may run again a new copy. Answers whether it is to be published.
    pub fn reap(&mut self, now: Timestamp) -> bool {
        self.crash(now);
        let ready = self.state == JobState::Ready;
        self.copy += u32::from(ready);
        ready
    }

    /// Does what a person asks for, if the state allows it.
    pub fn alter(&mut self, alteration: &Alteration, now: Timestamp) -> Altered {
        match alteration {
            Alteration::Cancel if self.state == JobState::Running => {
                self.cancel_requested = true;
                return Altered::Requested;
            }
            Alteration::Cancel if !self.state.is_terminal() => self.end(JobState::Cancelled, now),
            Alteration::Retry
                if matches!(self.state, JobState::Scheduled | JobState::Retrying)
                    || (self.state.is_terminal() && self.state != JobState::Succeeded) =>
            {
                if self.state.is_terminal() {
                    self.failed_attempts = 0;
                    self.crashes = 0;
                    self.expires_at = None;
                }
                // Not `Ready`: whoever looks for due jobs also publishes them.
                self.state = JobState::Scheduled;
                self.run_at = Some(now);
                self.cancel_requested = false;
                self.finished_at = None;
                self.reason = None;
            }
            Alteration::Drop if self.state.is_terminal() => return Altered::Dropped,
            Alteration::Cancel | Alteration::Retry | Alteration::Drop => {
                return Altered::Refused(self.state);
            }
        }
        Altered::Done(self.state)
    }

    /// A state in which it waits; a wish to cancel that came while it ran is granted now.
    fn wait(&mut self, state: JobState, run_at: Option<Timestamp>, now: Timestamp) {
        if self.cancel_requested {
            self.end(JobState::Cancelled, now);
            return;
        }
        self.run_at = run_at.filter(|at| *at > now);
        self.state = match (state, self.run_at) {
            // A retry that is due at once still passes through the scheduler, which publishes it.
            (JobState::Retrying, _) => {
                self.run_at = run_at;
                JobState::Retrying
            }
            (state, Some(_)) => state,
            (_, None) => JobState::Ready,
        };
    }

    fn end(&mut self, state: JobState, now: Timestamp) {
        self.state = state;
        self.owner = None;
        self.run_at = None;
        self.cancel_requested = false;
        self.finished_at = Some(now);
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
