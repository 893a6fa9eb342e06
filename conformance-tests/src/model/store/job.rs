//! One job in the reference model, and every move it can make: the rules of a job's life, written a second
//! time.

use bananas_core::{
    Alteration, Altered, AttemptError, Claim, ClaimAnswer, DeadReason, ErrorCause, JobId,
    JobRecord, JobState, MAX_ERRORS_KEPT, NewRecord, Outcome, OwnerId, QueueName, Timestamp, Track,
};
use bytes::Bytes;

/// How often a process may die while running a job.
const CRASHES: u32 = 3;

/// What is known of one job.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) new: NewRecord,
    pub(super) state: JobState,
    pub(super) epoch: u64,
    failed: u32,
    pub(super) crashes: u32,
    pub(super) copy: u32,
    pub(super) owner: Option<OwnerId>,
    /// The copy and delivery of the claim, where the run was claimed and not taken.
    claimed_with: Option<(u32, u32)>,
    pub(super) run_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    pub(super) cancel_requested: bool,
    started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    reason: Option<DeadReason>,
    troubles: Vec<Trouble>,
    result: Option<Bytes>,
    note: Option<String>,
    /// Between which turns it has its place among the ready ones; see the model of brokers.
    pub(super) turns: (u64, u64),
}

/// What went wrong with a run.
#[derive(Clone, Debug)]
enum Trouble {
    Reported(AttemptError),
    Crash { attempt: u32, at: Timestamp },
}

impl Job {
    pub(super) fn new(
        new: NewRecord,
        run_at: Option<Timestamp>,
        now: Timestamp,
        turn: u64,
    ) -> Self {
        let run_at = run_at.filter(|at| *at > now);
        let scheduled = run_at.is_some();
        Self {
            expires_at: new.standing.expires_at,
            new,
            state: if scheduled {
                JobState::Scheduled
            } else {
                JobState::Ready
            },
            epoch: 0,
            failed: 0,
            crashes: 0,
            copy: 0,
            owner: None,
            claimed_with: Some((0, 0)),
            run_at,
            cancel_requested: false,
            started_at: None,
            finished_at: None,
            reason: None,
            troubles: Vec::new(),
            result: None,
            note: None,
            turns: (turn, if scheduled { u64::MAX } else { turn }),
        }
    }

    pub(super) fn id(&self) -> JobId {
        self.new.id
    }

    pub(super) fn queue(&self) -> &QueueName {
        &self.new.queue
    }

    pub(super) fn attempt(&self) -> u32 {
        self.failed + 1
    }

    pub(super) fn waits(&self) -> bool {
        matches!(self.state, JobState::Scheduled | JobState::Retrying)
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.waits() && self.run_at.is_some_and(|at| at <= now)
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    pub(super) fn has_ended(&self) -> bool {
        let ends = [
            JobState::Succeeded,
            JobState::Dead,
            JobState::Cancelled,
            JobState::Expired,
        ];
        ends.contains(&self.state)
    }

    /// It has ended and nothing of it is to be kept. Dead jobs are kept always.
    pub(super) fn is_forgotten(&self) -> bool {
        self.new.track == Track::None && self.has_ended() && self.state != JobState::Dead
    }

    /// Its time has come: ready as a new copy, or too late.
    pub(super) fn come_due(&mut self, now: Timestamp) {
        if self.has_expired(now) {
            return self.end(JobState::Expired, now);
        }
        self.state = JobState::Ready;
        self.run_at = None;
        self.copy += 1;
        self.turns.1 = u64::MAX;
    }

    /// A run begins; not if it is too late.
    pub(super) fn start(
        &mut self,
        owner: OwnerId,
        with: Option<(u32, u32)>,
        now: Timestamp,
    ) -> bool {
        if self.has_expired(now) {
            self.end(JobState::Expired, now);
            return false;
        }
        self.state = JobState::Running;
        self.epoch += 1;
        self.owner = Some(owner);
        self.claimed_with = with;
        self.run_at = None;
        self.started_at = Some(now);
        true
    }

    /// Whether a claim proves that the run under way has lost the job.
    pub(super) fn is_lost_to(&self, claim: &Claim) -> bool {
        self.claimed_with.is_some_and(|(copy, delivery)| {
            claim.redelivery_proves_lease_lost && claim.copy == copy && claim.delivery > delivery
        })
    }

    /// It is noticed that it is too late to start it.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.end(JobState::Expired, now);
    }

    /// Its process died while running it. The old run can settle nothing any more.
    pub(super) fn crash(&mut self, now: Timestamp) {
        self.trouble(Trouble::Crash {
            attempt: self.attempt(),
            at: now,
        });
        self.crashes += 1;
        self.epoch += 1;
        self.owner = None;
        if self.crashes == CRASHES {
            self.reason = Some(DeadReason::Poison);
            self.end(JobState::Dead, now);
        } else {
            self.wait(JobState::Ready, None, now);
        }
    }

    /// The run under way ends.
    pub(super) fn settle(&mut self, outcome: Outcome, now: Timestamp) {
        self.owner = None;
        self.note = None;
        match outcome {
            Outcome::Succeeded { result } => {
                self.result = Some(result);
                self.end(JobState::Succeeded, now);
            }
            Outcome::Retry { run_at, error } => {
                self.failed += 1;
                self.trouble(Trouble::Reported(error));
                self.wait(JobState::Retrying, Some(run_at), now);
            }
            Outcome::Dead { reason, error } => {
                self.failed += 1;
                self.trouble(Trouble::Reported(error));
                self.reason = Some(reason);
                self.end(JobState::Dead, now);
            }
            Outcome::Release { run_at, note } => {
                self.note = note;
                match run_at.filter(|at| *at > now) {
                    Some(at) => self.wait(JobState::Scheduled, Some(at), now),
                    None => self.wait(JobState::Ready, None, now),
                }
            }
            Outcome::Expired => self.end(JobState::Expired, now),
            _ => self.end(JobState::Cancelled, now),
        }
    }

    /// Does what a person asks for; `Dropped` leaves it to the caller to forget the job.
    pub(super) fn alter(&mut self, wish: Alteration, now: Timestamp) -> Altered {
        match wish {
            Alteration::Cancel if self.state == JobState::Running => {
                self.cancel_requested = true;
                return Altered::Requested;
            }
            Alteration::Cancel if !self.has_ended() => self.end(JobState::Cancelled, now),
            Alteration::Retry if self.waits() => self.run_at = Some(now),
            Alteration::Retry if self.has_ended() && self.state != JobState::Succeeded => {
                self.failed = 0;
                self.crashes = 0;
                self.expires_at = None;
                self.reason = None;
                self.finished_at = None;
                self.run_at = Some(now);
            }
            Alteration::Drop if self.has_ended() => return Altered::Dropped,
            _ => return Altered::Refused(self.state),
        }
        if wish == Alteration::Retry {
            self.state = JobState::Scheduled;
        }
        Altered::Done(self.state)
    }

    /// Waits in a state; a wish to cancel that came during the run is granted instead.
    fn wait(&mut self, state: JobState, run_at: Option<Timestamp>, now: Timestamp) {
        if self.cancel_requested {
            return self.end(JobState::Cancelled, now);
        }
        self.state = state;
        self.run_at = run_at;
        self.turns.1 = u64::MAX;
    }

    fn end(&mut self, state: JobState, now: Timestamp) {
        self.state = state;
        self.owner = None;
        self.run_at = None;
        self.cancel_requested = false;
        self.finished_at = Some(now);
    }

    fn trouble(&mut self, trouble: Trouble) {
        self.troubles.push(trouble);
        if self.troubles.len() > MAX_ERRORS_KEPT {
            self.troubles.remove(0);
        }
    }

    /// The answer to a claim that lets it run.
    pub(super) fn run(&self) -> ClaimAnswer {
        ClaimAnswer::Run {
            epoch: self.epoch,
            attempt: self.attempt(),
            crashes: self.crashes,
        }
    }

    /// Whether this is what the store has.
    pub(super) fn is(&self, record: Option<&JobRecord>) -> bool {
        match record {
            Some(record) => !self.is_forgotten() && self.difference(record).is_none(),
            None => self.is_forgotten(),
        }
    }

    /// In what a record differs from this, if in anything.
    pub(super) fn difference(&self, record: &JobRecord) -> Option<String> {
        let (new, standing) = (&self.new, &record.standing);
        let differs = |what: &str, there: &dyn std::fmt::Debug, here: &dyn std::fmt::Debug| {
            let (there, here) = (format!("{there:?}"), format!("{here:?}"));
            (there != here).then(|| format!("its {what} is {there}, not {here}"))
        };
        let troubles = self.troubles.len() == record.errors.len()
            && self
                .troubles
                .iter()
                .zip(&record.errors)
                .all(|(mine, theirs)| mine.is(theirs));
        None.or_else(|| differs("state", &standing.state, &self.state))
            .or_else(|| differs("epoch", &standing.epoch, &self.epoch))
            .or_else(|| differs("copy", &standing.copy, &self.copy))
            .or_else(|| differs("owner", &standing.owner, &self.owner))
            .or_else(|| differs("failures", &standing.failed_attempts, &self.failed))
            .or_else(|| differs("crashes", &standing.crashes, &self.crashes))
            .or_else(|| differs("time", &standing.run_at, &self.run_at))
            .or_else(|| differs("last time to start", &standing.expires_at, &self.expires_at))
            .or_else(|| differs("cancel", &standing.cancel_requested, &self.cancel_requested))
            .or_else(|| differs("start", &record.started_at, &self.started_at))
            .or_else(|| differs("end", &standing.finished_at, &self.finished_at))
            .or_else(|| differs("reason", &standing.reason, &self.reason))
            .or_else(|| differs("result", &record.result, &self.result))
            .or_else(|| differs("note", &record.note, &self.note))
            .or_else(|| differs("claim", &standing.claimed_with, &self.claimed_with?))
            .or_else(|| differs("queue", &record.queue, &new.queue))
            .or_else(|| differs("task", &record.task, &new.task))
            .or_else(|| differs("priority", &record.priority, &new.priority))
            .or_else(|| differs("track", &record.track, &new.track))
            .or_else(|| differs("body", &record.body, &new.body))
            .or_else(|| differs("creation", &record.created_at, &new.created_at))
            .or_else(|| {
                (!troubles).then(|| {
                    format!(
                        "its errors are {:?}, not {:?}",
                        record.errors, self.troubles
                    )
                })
            })
    }
}

impl Trouble {
    fn is(&self, error: &AttemptError) -> bool {
        match self {
            Self::Reported(reported) => error == reported,
            Self::Crash { attempt, at } => {
                error.cause == ErrorCause::Crashed && error.attempt == *attempt && error.at == *at
            }
        }
    }
}
