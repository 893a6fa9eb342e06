//! Steps in which runs begin: claims of deliveries, and jobs taken straight from the store.

use std::time::Duration;

use bananas_core::{
    Claim, ClaimAnswer, ClaimRequest, Claimed, ErrorKind, JobRef, JobState, OwnerId, SourceSpec,
};

use super::job::Job;
use super::player::{Player, job_id, name, nth_latest, owner, queue_name};
use super::step::{JOBS, NewClaim, QUEUES};
use crate::model::{Step, line};

impl Player {
    pub(super) async fn claim(&mut self, n: u8, suspects: usize, new: &[NewClaim]) -> Step {
        let by = owner(n).id;
        let claims: Vec<Claim> = new.iter().map(|new| self.new_claim(new)).collect();
        let told = claims.iter().map(|claim| {
            let proves = if claim.redelivery_proves_lease_lost {
                ""
            } else {
                " (no proof)"
            };
            format!(
                "{} copy {} delivery {}{proves}",
                name(claim.job.id),
                claim.copy,
                claim.delivery
            )
        });
        let told: Vec<String> = told.collect();
        let call = format!("owner {n} claims {}, suspects {suspects}", told.join(", "));
        let request = ClaimRequest {
            owner: by,
            suspects,
            claims: claims.clone(),
        };
        let answers = self.client().jobs().claim(request).await;
        let answer = format!("{answers:?}");
        if answers.len() != claims.len() {
            return line(false, &call, &answer, "an answer for each");
        }
        if !self.model.holds(by) {
            let closed = |answer: &bananas_core::Result<ClaimAnswer>| {
                answer
                    .as_ref()
                    .is_err_and(|e| e.kind() == ErrorKind::Closed)
            };
            return line(
                answers.iter().all(closed),
                &call,
                &answer,
                "Closed, for each",
            );
        }
        let mut left = suspects;
        for (claim, given) in claims.into_iter().zip(answers) {
            let accepts = self.model.claim(&claim, by, &mut left);
            let Some(given) = given.ok().filter(|given| accepts.accepts(given)) else {
                let expected = format!("{accepts:?} for {}", name(claim.job.id));
                return line(false, &call, &answer, &expected);
            };
            if let ClaimAnswer::Run { epoch, .. } = given {
                self.runs.push((claim.job, epoch));
            }
        }
        Ok(format!("{call} -> {answer}"))
    }

    fn new_claim(&self, new: &NewClaim) -> Claim {
        let run = new.n.checked_sub(JOBS);
        let run = run.and_then(|nth| nth_latest(&self.runs, usize::from(nth % 3)));
        let id = run.map_or_else(|| job_id(new.n % JOBS), |(job, _)| job.id);
        let job = self.model.find(id);
        Claim {
            job: JobRef {
                queue: job.map_or_else(|| queue_name(0), |job| job.queue().clone()),
                id,
            },
            copy: job
                .map_or(0, |job| job.copy)
                .saturating_sub(new.copies_behind),
            delivery: new.delivery,
            redelivery_proves_lease_lost: new.proves,
        }
    }

    /// Takes jobs of one queue; which, is checked against what might have been taken.
    pub(super) async fn take(&mut self, (n, q): (u8, u8), max: usize, suspects: usize) -> Step {
        let by = owner(n);
        let queue = queue_name(usize::from(q) % QUEUES);
        let call = format!("owner {n} takes {max} of {queue}, suspects {suspects}");
        let Some(ledger) = self.ledger.clone() else {
            return Ok("there is no ledger to take from".to_owned());
        };
        let spec = SourceSpec::new(queue.clone(), by.clone());
        let mut source = ledger.open(spec).await.expect("a source");
        let taken = source.next(max, suspects, Duration::ZERO).await;
        drop(source);
        let taken = match taken {
            Err(e) => {
                let right = e.kind() == ErrorKind::Closed && !self.model.holds(by.id);
                return line(right, &call, &format!("{:?}", e.kind()), "jobs");
            }
            Ok(_) if !self.model.holds(by.id) => return line(false, &call, "jobs", "Closed"),
            Ok(taken) => taken,
        };
        let names: Vec<String> = taken.iter().map(|run| name(run.job.id)).collect();
        let answer = format!("[{}]", names.join(", "));
        // Due jobs count as ready.
        let now = self.model.now;
        let mut there = self.model.jobs.iter().filter(|job| {
            *job.queue() == queue
                && (job.state == JobState::Ready || job.is_due(now))
                && !job.has_expired(now)
        });
        let some = there.any(|job| suspects > 0 || job.crashes == 0);
        if taken.len() > max || (some && taken.is_empty()) {
            return line(false, &call, &answer, &format!("1 to {max} jobs"));
        }
        let mut left = suspects;
        for run in &taken {
            if let Err(expected) = self.taken(run, by.id, &mut left) {
                return line(false, &call, &answer, &expected);
            }
        }
        self.adopt_promoted(&queue).await;
        Ok(format!("{call} -> {answer}"))
    }

    /// Checks one job that was taken, and starts it in the model.
    fn taken(&mut self, run: &Claimed, by: OwnerId, suspects: &mut usize) -> Result<(), String> {
        let (now, id) = (self.model.now, run.job.id);
        let can_start = |job: &&Job| {
            *job.queue() == run.job.queue
                && (job.state == JobState::Ready || job.is_due(now))
                && !job.has_expired(now)
                && (*suspects > 0 || job.crashes == 0)
        };
        let Some(this) = self.model.find(id).filter(can_start) else {
            return Err(format!("{} must not be taken", name(id)));
        };
        let ahead = |other: &&Job| {
            let (mine, theirs) = (this.new.priority, other.new.priority);
            let earlier = !other.waits() && other.turns.1 < this.turns.0;
            theirs > mine || (theirs == mine && earlier)
        };
        if let Some(other) = self.model.jobs.iter().filter(can_start).find(ahead) {
            return Err(format!("{} comes before {}", name(other.id()), name(id)));
        }
        let job = self.model.jobs.iter_mut().find(|job| job.id() == id);
        let job = job.expect("it was found");
        if job.is_due(now) {
            job.come_due(now);
        }
        *suspects -= usize::from(job.crashes > 0);
        job.start(by, None, now);
        let facts = (job.epoch, job.attempt(), job.crashes, &job.new.body);
        if (run.epoch, run.attempt, run.crashes) != (facts.0, facts.1, facts.2) {
            return Err(format!(
                "{} has epoch, attempt and crashes {facts:?}",
                name(id)
            ));
        }
        self.runs.push((run.job.reference(), run.epoch));
        Ok(())
    }

    /// A take may have made due jobs ready on its way, and may have noticed that ready ones have expired.
    async fn adopt_promoted(&mut self, queue: &bananas_core::QueueName) {
        let records = self.records().await;
        let now = self.model.now;
        for job in self
            .model
            .jobs
            .iter_mut()
            .filter(|job| job.queue() == queue)
        {
            let mut moved = job.clone();
            if job.is_due(now) {
                moved.come_due(now);
            } else if job.state == JobState::Ready && job.has_expired(now) {
                moved.expire(now);
            } else {
                continue;
            }
            let record = records.get(usize::from(job.id().as_bytes()[0]));
            if moved.is(record.and_then(Option::as_ref)) {
                *job = moved;
            }
        }
        self.model.tidy();
    }
}
