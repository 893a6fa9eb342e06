//! Plays the steps of a sequence, on the store and in the model, and looks at everything after each step.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Args, AttemptError, BatchId, Codec, DeadReason, Env, ErrorCause, Job, JobId, JobRef, JobSettle,
    JsonCodec, Ledger, ManualEnv, NewRecord, Outcome, Owner, OwnerId, Priority, Publication,
    QueueName, Recorded, StateStore, TaskName, Timestamp, Track, Unique,
};

use super::jobs::Jobs;
use super::step::{End, How, NewJob, Step as Do};
use crate::model::{START_MICROS, Step, VirtualStore, line};

/// How long a call may take in real time. No call waits, so this is never near.
const PATIENCE: Duration = Duration::from_secs(120);

/// Time that suffices for a store to close.
const CLOSING: Duration = Duration::from_secs(60);

/// How long a unique key lasts.
const UNIQUE: Duration = Duration::from_secs(12);

/// A store with two clients, and the model of it.
pub(super) struct Player {
    pub(super) env: Arc<ManualEnv>,
    real: Arc<dyn Env>,
    harness: Arc<dyn VirtualStore>,
    namespace: String,
    fused: bool,
    pub(super) model: Jobs,
    clients: Vec<Arc<dyn StateStore>>,
    /// The engine's own, in sequences of a fused engine.
    pub(super) ledger: Option<Arc<dyn Ledger>>,
    /// Which client's turn it is.
    turn: usize,
    /// Runs that were started: the job and the epoch.
    pub(super) runs: Vec<(JobRef, u64)>,
    batches: Vec<BatchId>,
    made: u8,
}

impl Player {
    pub(super) async fn start(
        harness: Arc<dyn VirtualStore>,
        env: Arc<ManualEnv>,
        fused: bool,
    ) -> Self {
        let real = harness.env();
        let namespace = format!("sequence-{}", real.job_id());
        let mut player = Self {
            model: Jobs::at(env.now()),
            env,
            real,
            harness,
            namespace,
            fused,
            clients: Vec::new(),
            ledger: None,
            turn: 0,
            runs: Vec::new(),
            batches: Vec::new(),
            made: 0,
        };
        player.open().await;
        player
    }

    /// Closes what is open; the namespace is used no more.
    pub(super) async fn end(self) {
        let Self {
            harness, namespace, ..
        } = self;
        harness.forget(&namespace).await;
    }

    pub(super) async fn play(&mut self, steps: &[Do]) -> Result<(), String> {
        let mut lines = Vec::new();
        for step in steps {
            self.turn += 1;
            let real = Arc::clone(&self.real);
            let done = real.within(PATIENCE, self.step_and_look(step)).await;
            match done.unwrap_or_else(|_| Err(format!("{step:?} does not end"))) {
                Ok(line) => lines.push(format!("  {line}")),
                Err(difference) => {
                    lines.push(format!("  {difference}"));
                    return Err(lines.join("\n"));
                }
            }
        }
        Ok(())
    }

    async fn step_and_look(&mut self, step: &Do) -> Step {
        let line = self.step(step).await?;
        match self.look().await {
            None => Ok(line),
            Some(difference) => Err(format!("{line}\n      but then {difference}")),
        }
    }

    async fn step(&mut self, step: &Do) -> Step {
        match step {
            Do::Record { jobs, published } => self.record(jobs, *published).await,
            Do::Confirm { batch } => self.confirm(*batch).await,
            Do::Start {
                owner,
                suspects,
                claims,
            } => match self.ledger {
                Some(_) => {
                    self.take((*owner, claims[0].n), claims.len(), *suspects)
                        .await
                }
                None => self.claim(*owner, *suspects, claims).await,
            },
            Do::Settle(ends) => self.settle(ends).await,
            Do::Due { max } => self.due(*max).await,
            Do::Lost {
                max,
                open_for,
                gone,
                evidence,
            } => {
                let gone = gone.and_then(|nth| self.nth_batch(nth));
                self.lost(*max, *open_for, (gone, *evidence)).await
            }
            Do::Renew { owner, lease } => self.renew(*owner, *lease).await,
            Do::Retire { owner } => self.retire(*owner).await,
            Do::Cancels { owner } => self.cancels(*owner).await,
            Do::Alter { jobs, wish } => self.alter(jobs, *wish).await,
            Do::Prune {
                max,
                finished,
                dead,
            } => self.prune(*max, *finished, *dead).await,
            Do::Query {
                states,
                queue,
                page,
            } => self.query(*states, *queue, *page).await,
            Do::Pass(seconds) => {
                let time = Duration::from_secs(*seconds);
                self.env.advance(time);
                self.model.now = self.env.now();
                Ok(format!(
                    "{time:?} pass, it is {}",
                    shown(Some(self.model.now))
                ))
            }
            Do::Reopen => self.reopen().await,
        }
    }

    async fn record(&mut self, jobs: &[NewJob], published: bool) -> Step {
        let mut records = Vec::new();
        let mut expected = Vec::new();
        let publication = if published { self.publication() } else { None };
        let batch = publication.as_ref().map(|publication| publication.id);
        batch.into_iter().for_each(|batch| self.model.open(batch));
        for new in jobs {
            let (record, run_at) = self.new_record(new);
            expected.push(self.model.record(record.clone(), run_at, batch));
            records.push(record);
        }
        let call: Vec<String> = jobs.iter().map(told).collect();
        let answers = self.client().jobs().record(records, publication).await;
        let is = |(answer, expected): (&bananas_core::Result<Recorded>, &Recorded)| {
            answer.as_ref().is_ok_and(|answer| answer == expected)
        };
        let right = answers.len() == jobs.len() && answers.iter().zip(&expected).all(is);
        let call = format!(
            "record {} in batch {:?}",
            call.join(", "),
            batch.map(|batch| batch.as_bytes()[0])
        );
        line(
            right,
            &call,
            &format!("{answers:?}"),
            &format!("{expected:?}"),
        )
    }

    async fn confirm(&mut self, nth: usize) -> Step {
        let Some(batch) = self.nth_batch(nth) else {
            return Ok("no batch to confirm".to_owned());
        };
        let confirmed = self.client().jobs().confirm(&[batch]).await;
        self.model.close(batch);
        let call = format!("confirm batch {}", batch.as_bytes()[0]);
        line(confirmed.is_ok(), &call, &format!("{confirmed:?}"), "Ok")
    }

    async fn settle(&mut self, ends: &[End]) -> Step {
        let now = self.env.now();
        let mut batch = Vec::new();
        let mut call = Vec::new();
        for end in ends {
            let Some((job, epoch)) = nth_latest(&self.runs, end.run).cloned() else {
                continue;
            };
            call.push(format!("{} of epoch {epoch} {:?}", name(job.id), end.how));
            let outcome = outcome(end.how, now);
            batch.push(JobSettle {
                job,
                epoch,
                outcome,
            });
        }
        let answers = self.client().jobs().settle(batch.clone()).await;
        let call = format!("settle {}", call.join(", "));
        let answer = format!("{answers:?}");
        if answers.len() != batch.len() {
            return line(false, &call, &answer, "an answer for each");
        }
        for (settle, settled) in batch.into_iter().zip(answers) {
            let Ok(settled) = settled else {
                return line(false, &call, &answer, "no error");
            };
            if let Err(expected) = self.model.settles(settle.clone(), settled) {
                let expected = format!("{expected} for {}", name(settle.job.id));
                return line(false, &call, &answer, &expected);
            }
        }
        Ok(format!("{call} -> {answer}"))
    }

    async fn reopen(&mut self) -> Step {
        self.ledger = None;
        for client in std::mem::take(&mut self.clients) {
            for closed in [client.close(CLOSING).await, client.close(CLOSING).await] {
                if closed.is_err() {
                    return line(false, "close a client, twice", &format!("{closed:?}"), "Ok");
                }
            }
            if client.index().counts().await.is_ok() {
                return line(false, "ask a closed client", "Ok", "an error");
            }
        }
        self.open().await;
        Ok("close all clients and open them again".to_owned())
    }

    async fn open(&mut self) {
        let clock = || -> Arc<dyn Env> { Arc::<ManualEnv>::clone(&self.env) as _ };
        for _ in 0..2 {
            let client = self.harness.open(&self.namespace, clock()).await;
            self.clients.push(client.expect("a client"));
        }
        if self.fused {
            let ledger = self.harness.ledger(&self.namespace, clock()).await;
            self.ledger = ledger.expect("a ledger");
        }
    }

    /// The client whose turn it is.
    pub(super) fn client(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.clients[self.turn % self.clients.len()])
    }

    /// A new batch, where something is published.
    pub(super) fn publication(&mut self) -> Option<Publication> {
        if self.ledger.is_some() {
            return None;
        }
        self.made += 1;
        let id = BatchId::from_slice(&[self.made; 16]).expect("sixteen bytes");
        self.batches.push(id);
        Some(Publication {
            id,
            owner: owner(0),
        })
    }

    fn nth_batch(&self, nth: usize) -> Option<BatchId> {
        nth_latest(&self.batches, nth).copied()
    }

    fn new_record(&self, new: &NewJob) -> (NewRecord, Option<Timestamp>) {
        let now = self.env.now();
        let after =
            |seconds: Option<u64>| seconds.map(|seconds| now + Duration::from_secs(seconds));
        let task = TaskName::new("model.task").expect("a task name");
        let args = Args::from_json("null").expect("arguments");
        let mut job = Job::new(job_id(new.n), task, args, now);
        job.queue = queue_name(new.queue);
        job.priority = Priority::new(new.priority).expect("a priority");
        job.track = if new.kept { Track::Full } else { Track::None };
        (job.run_at, job.expires_at) = (after(new.delay), after(new.expires));
        job.unique = new.unique.map(|key| Unique {
            key: key.to_string(),
            lasts: UNIQUE,
        });
        let body = JsonCodec.encode(&job).expect("a body");
        (NewRecord::of(&job, body, now), job.run_at)
    }
}

fn outcome(how: How, now: Timestamp) -> Outcome {
    let after = |seconds: u64| now + Duration::from_secs(seconds);
    let error = || AttemptError::new(1, now, ErrorCause::Failed, "no");
    match how {
        How::Succeeded => Outcome::Succeeded {
            result: "42".into(),
        },
        How::Retry(seconds) => Outcome::Retry {
            run_at: after(seconds),
            error: error(),
        },
        How::Dead => Outcome::Dead {
            reason: DeadReason::Fatal,
            error: error(),
        },
        How::Release(seconds, note) => Outcome::Release {
            run_at: seconds.map(after),
            note: note.then(|| "wait".to_owned()),
        },
        How::Cancelled => Outcome::Cancelled,
        How::Expired => Outcome::Expired,
    }
}

fn told(new: &NewJob) -> String {
    let NewJob {
        n,
        queue,
        priority,
        kept,
        delay,
        expires,
        unique,
    } = new;
    let mut told = format!("j{n} to q{queue} at priority {priority}");
    if !kept {
        told.push_str(", not to be kept");
    }
    for (what, value) in [("due in", delay), ("expires in", expires)] {
        if let Some(seconds) = value {
            told.push_str(&format!(", {what} {seconds}s"));
        }
    }
    if let Some(key) = unique {
        told.push_str(&format!(", unique {key}"));
    }
    told
}

/// A time in a few letters: since the start of the sequence.
pub(super) fn shown(at: Option<Timestamp>) -> String {
    let start = Timestamp::from_micros(START_MICROS);
    at.map_or_else(|| "never".to_owned(), |at| format!("{:?}", at.since(start)))
}

/// Counted from the latest, so that most steps concern what was done a moment ago.
pub(super) fn nth_latest<T>(all: &[T], nth: usize) -> Option<&T> {
    all.iter().rev().cycle().nth(nth % all.len().max(1))
}

pub(super) fn job_id(n: u8) -> JobId {
    JobId::from_slice(&[n; 16]).expect("sixteen bytes")
}

pub(super) fn name(id: JobId) -> String {
    format!("j{}", id.as_bytes()[0])
}

pub(super) fn queue_name(n: usize) -> QueueName {
    format!("q{n}").parse().expect("a queue name")
}

pub(super) fn owner(n: u8) -> Owner {
    Owner {
        id: OwnerId::from_slice(&[n + 1; 16]).expect("sixteen bytes"),
        host: "model".to_owned(),
        boot_id: String::new(),
        pid: 1,
        pid_started: 1,
    }
}
