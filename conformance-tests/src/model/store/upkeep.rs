//! Steps in which the store chooses: it moves at most so many jobs, and which is not said. The model takes its
//! choice from the records, and checks that each job was either moved rightly or not at all.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use bananas_core::{
    BatchId, Due, DuePage, Env, JobId, JobState, Lost, Prune, Republish, Timestamp,
};

use super::job::Job;
use super::player::{Player, name, queue_name, shown as when};
use crate::model::{Step, line};

impl Player {
    pub(super) async fn due(&mut self, max: usize) -> Step {
        let now = self.env.now();
        let publication = self.publication();
        let batch = publication.as_ref().map(|publication| publication.id);
        let call = format!("due, at most {max}");
        let due = Due {
            now,
            max,
            publication,
        };
        let page = match self.client().jobs().due(due).await {
            Ok(page) => page,
            Err(e) => return line(false, &call, &format!("{e:?}"), "a page"),
        };
        self.model.sweep();
        let orphan = |job: &Job| job.owner.is_some_and(|owner| self.model.is_gone(owner));
        let candidates: Vec<JobId> = self
            .model
            .jobs
            .iter()
            .filter(|job| orphan(job) || job.is_due(now))
            .map(Job::id)
            .collect();
        let moved = self.adopt(&candidates, |job| match job.state {
            JobState::Running => {
                job.crash(now);
                job.copy += u32::from(job.state == JobState::Ready);
            }
            _ => job.come_due(now),
        });
        let moved = moved.await;
        let next = self
            .model
            .jobs
            .iter()
            .filter(|job| job.waits())
            .filter_map(|job| job.run_at)
            .min();
        let answer = shown(&page);
        let count = candidates.len().min(max);
        if moved.len() != count || page.moved != count as u64 {
            return line(
                false,
                &call,
                &answer,
                &format!("{count} moved; {} were", moved.len()),
            );
        }
        if page.more != (count == max) || page.next != next {
            return line(
                false,
                &call,
                &answer,
                &format!("more {}, next {}", count == max, when(next)),
            );
        }
        self.published(&call, &page, &moved, batch)
    }

    pub(super) async fn lost(
        &mut self,
        max: usize,
        open_for: u64,
        (gone, evidence): (Option<BatchId>, Option<usize>),
    ) -> Step {
        let Some(publication) = self.publication() else {
            return Ok("nothing is published, so nothing can be lost".to_owned());
        };
        let (now, open_for, batch) = (
            self.env.now(),
            Duration::from_secs(open_for),
            publication.id,
        );
        let evidence = evidence.map(queue_name);
        let gone_batch = gone.map(|batch| batch.as_bytes()[0]);
        let call = format!(
            "lost, at most {max}, open for {open_for:?}, batch {gone_batch:?} gone, evidence for {evidence:?}"
        );
        let lost = Lost {
            now,
            open_for,
            gone: gone.into_iter().collect::<HashSet<_>>(),
            evidence: evidence.iter().cloned().collect(),
            max,
            publication,
        };
        let page = match self.client().jobs().lost(lost).await {
            Ok(page) => page,
            Err(e) => return line(false, &call, &format!("{e:?}"), "a page"),
        };
        let overdue: Vec<BatchId> = self
            .model
            .batches
            .iter()
            .filter(|open| open.since + open_for <= now || Some(open.id) == gone)
            .map(|open| open.id)
            .collect();
        let is_lost = |job: &Job, stamp: &Option<BatchId>| match stamp {
            Some(batch) if self.model.is_open(*batch) => overdue.contains(batch),
            _ => evidence.as_ref() == Some(job.queue()),
        };
        let ready = |job: &&Job| job.state == JobState::Ready;
        let ready: Vec<&Job> = self.model.jobs.iter().filter(ready).collect();
        let stamps = |job: &Job| self.model.stamps(job.id()).to_vec();
        let may = |job: &&&Job| stamps(job).iter().any(|stamp| is_lost(job, stamp));
        let must = |job: &&&Job| stamps(job).iter().all(|stamp| is_lost(job, stamp));
        let least = ready.iter().filter(must).count().min(max);
        let most = ready.iter().filter(may).count().min(max);
        let candidates: Vec<JobId> = ready.iter().filter(may).map(|job| job.id()).collect();
        let moved = self.adopt(&candidates, |job| job.copy += 1).await;
        let answer = shown(&page);
        if !(least..=most).contains(&moved.len()) || page.moved != moved.len() as u64 {
            let expected = format!("{least} to {most} moved; {} were", moved.len());
            return line(false, &call, &answer, &expected);
        }
        if page.more != (moved.len() == max) {
            return line(
                false,
                &call,
                &answer,
                &format!("more {}", moved.len() == max),
            );
        }
        let line = self.published(&call, &page, &moved, Some(batch))?;
        self.adopt_closed(&overdue).await;
        Ok(line)
    }

    /// An overdue batch in which no job waits any more may be closed.
    async fn adopt_closed(&mut self, overdue: &[BatchId]) {
        let open = self.open_batches().await;
        for batch in overdue.iter().filter(|batch| !open.contains(batch)) {
            let waits = |job: &&Job| {
                job.state == JobState::Ready && self.model.stamps(job.id()) == [Some(*batch)]
            };
            if !self.model.jobs.iter().any(|job| waits(&job)) {
                self.model.close(*batch);
            }
        }
    }

    /// Checks what is to be published: each moved job that is ready, once, as its latest copy.
    fn published(
        &mut self,
        call: &str,
        page: &DuePage,
        moved: &[JobId],
        batch: Option<BatchId>,
    ) -> Step {
        let ready = |id: &&JobId| {
            let job = self.model.find(**id);
            job.is_some_and(|job| job.state == JobState::Ready)
        };
        let ready: BTreeSet<JobId> = moved.iter().filter(ready).copied().collect();
        let expected = if batch.is_some() {
            ready
        } else {
            BTreeSet::new()
        };
        let is = |again: &Republish| {
            self.model.find(again.job.id).is_some_and(|job| {
                again.copy == job.copy
                    && again.body == job.new.body
                    && again.priority == job.new.priority
                    && again.job.queue == *job.queue()
            })
        };
        let found: BTreeSet<JobId> = page.jobs.iter().map(|again| again.job.id).collect();
        let right = found == expected && page.jobs.len() == found.len() && page.jobs.iter().all(is);
        if let Some(batch) = batch.filter(|_| !expected.is_empty()) {
            self.model.open(batch);
            for id in &expected {
                self.model.stamp(*id, vec![Some(batch)]);
            }
        }
        let names: Vec<String> = expected.iter().map(|id| name(*id)).collect();
        line(
            right,
            call,
            &shown(page),
            &format!("to publish {names:?}, rightly"),
        )
    }

    pub(super) async fn prune(&mut self, max: usize, finished: u64, dead: u64) -> Step {
        let now = self.env.now();
        let before = |seconds: u64| -> Timestamp { now - Duration::from_secs(seconds) };
        let prune = Prune {
            finished_before: before(finished),
            dead_before: before(dead),
            max,
        };
        let call = format!("prune, at most {max}, finished {finished}s ago, dead {dead}s ago");
        let pruned = self.client().index().prune(prune).await;
        let old = |job: &&Job| {
            let before = match job.state {
                JobState::Dead => prune.dead_before,
                _ => prune.finished_before,
            };
            job.has_ended() && job.finished_at.is_some_and(|at| at < before)
        };
        let candidates: Vec<JobId> = self.model.jobs.iter().filter(old).map(Job::id).collect();
        let records = self.records().await;
        let mut gone = 0;
        for id in &candidates {
            if records[usize::from(id.as_bytes()[0])].is_none() {
                self.model.forget(*id);
                gone += 1;
            }
        }
        let expected = candidates.len().min(max) as u64;
        let right = pruned.as_ref().is_ok_and(|pruned| *pruned == expected) && gone == expected;
        line(
            right,
            &call,
            &format!("{pruned:?}"),
            &format!("{expected}; {gone} are gone"),
        )
    }

    /// Makes a move in the model for those of the candidates whose records show that the store has made it.
    async fn adopt(&mut self, candidates: &[JobId], make: impl Fn(&mut Job)) -> Vec<JobId> {
        let records = self.records().await;
        let mut moved = Vec::new();
        for id in candidates {
            let Some(job) = self.model.jobs.iter_mut().find(|job| job.id() == *id) else {
                continue;
            };
            let mut after = job.clone();
            make(&mut after);
            if after.is(records[usize::from(id.as_bytes()[0])].as_ref()) {
                *job = after;
                moved.push(*id);
            }
        }
        self.model.tidy();
        moved
    }
}

fn shown(page: &DuePage) -> String {
    let jobs: Vec<String> = page
        .jobs
        .iter()
        .map(|again| format!("{} copy {}", name(again.job.id), again.copy))
        .collect();
    let DuePage {
        moved, more, next, ..
    } = page;
    let next = when(*next);
    format!("{moved} moved, to publish {jobs:?}, more {more}, next {next}")
}
