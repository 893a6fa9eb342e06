//! One request for jobs of a queue. It runs beside the taker, so that whoever stops waiting for it loses nothing:
//! what it starts goes into the taker's hold.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bananas_core::{
    JobId, JobRef, JobSettle, JobState, Outcome, OwnerId, QueueName, Taken, Timestamp,
};
use bytes::Bytes;
use redis::Value;

use super::row::{Body, Row};
use super::table::{self, Depth, GONE, LAPSED};
use super::{damage, due, owners, settle};
use crate::engine::{BATCH, Shared};
use crate::error::Error;
use crate::keys::{self, Part};
use crate::reply;
use crate::script::Script;

/// About how many bytes of bodies one request takes at most.
const BYTES: usize = 8 * 1024 * 1024;

/// How many due jobs one request makes ready at least, so that the most urgent of them comes first.
const PROMOTED: usize = 100;

/// How often due jobs are made ready before a request ends; the next goes on.
const PROMOTIONS: usize = 20;

/// By what the runs of one call are known.
type Token = [u8; 8];

/// What was started and not returned yet.
#[derive(Debug, Default)]
pub(super) struct Hold {
    pub(super) started: VecDeque<Taken>,
    /// Calls whose answers were lost.
    pub(super) doubtful: Vec<Token>,
    /// The taker is gone; what still comes is given back.
    pub(super) abandoned: bool,
}

/// Who takes, from where, and where to.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: QueueName,
    pub(super) owner: OwnerId,
    pub(super) hold: Arc<Mutex<Hold>>,
}

/// What a request found, beside jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether more may be ready.
    pub(super) more: bool,
    /// When the next job is due.
    pub(super) next: Option<Timestamp>,
}

/// What one call started.
#[derive(Default)]
struct Started {
    jobs: Vec<(Bytes, Taken)>,
    /// What cannot be read.
    damaged: Vec<JobId>,
}

/// What one call answered.
enum Answer {
    Started(Found, Started),
    /// Jobs are due and must be made ready first.
    Due,
}

impl Request {
    pub(super) fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts what is ready, due jobs included.
    pub(super) async fn take(&self, max: usize, suspects: usize) -> Result<Found, Error> {
        self.clear_doubts().await?;
        let mut ends = owners::enlist(&self.shared, self.owner, &self.queue).await?;
        let mut asked = false;
        for _ in 0..PROMOTIONS {
            match self.call(ends, max.min(BATCH), suspects).await {
                Ok(Answer::Due) => {
                    due::promote(&self.shared, &self.queue, max.clamp(PROMOTED, BATCH)).await?;
                }
                Ok(Answer::Started(mut found, started)) => {
                    let is_any = !started.jobs.is_empty();
                    self.keep(started.jobs);
                    if !started.damaged.is_empty() {
                        // Where they are now they hold up nobody; who comes across them next tries again.
                        let aside = damage::set_aside(&self.shared, &self.queue, &started.damaged);
                        if let Err(error) = aside.await {
                            tracing::warn!(%error, "damaged records could not be set aside yet");
                        }
                        found.more |= !is_any;
                    }
                    return Ok(found);
                }
                // Another client may have renewed it, or the server may have lost that it is enlisted.
                Err(Error::Owner(..)) if !asked => {
                    asked = true;
                    ends = owners::ask(&self.shared, self.owner, &self.queue).await?;
                }
                Err(e) => return Err(e),
            }
        }
        let more = true;
        Ok(Found { more, next: None })
    }

    async fn call(&self, ends: i64, max: usize, suspects: usize) -> Result<Answer, Error> {
        let shared = &self.shared;
        let token = shared.env.random().to_be_bytes();
        let now = shared.env.now().as_micros();
        let args = vec![
            keys::changes(&shared.namespace).into(),
            self.owner.as_bytes().to_vec(),
            ends.to_string().into(),
            max.to_string().into(),
            suspects.min(max).to_string().into(),
            now.to_string().into(),
            now.to_be_bytes().to_vec(),
            token.to_vec(),
            BYTES.to_string().into(),
        ];
        let answer = match table::run(shared, Script::Take, &self.queue, args).await {
            Ok(answer) => answer,
            Err(e) => {
                if !matches!(e, Error::NotSent { .. } | Error::Server { .. }) {
                    self.hold().doubtful.push(token);
                }
                return Err(e);
            }
        };
        match answer {
            Value::Int(-1) => Err(Error::Owner(self.owner, GONE)),
            Value::Int(-2) => Err(Error::Owner(self.owner, LAPSED)),
            Value::Int(-3) => Ok(Answer::Due),
            answer => {
                let read = self.read(answer);
                if !matches!(read, Some(Ok(_))) {
                    self.hold().doubtful.push(token);
                }
                shared.read(read)?
            }
        }
    }

    fn read(&self, answer: Value) -> Option<Result<Answer, Error>> {
        let parts = <[Value; 6]>::try_from(reply::list(answer)?).ok()?;
        let [more, next, ids, standings, bodies, damaged] = parts;
        let found = Found {
            more: reply::integer(&more)? != 0,
            next: due::time(next)?,
        };
        let ids = owners::read_ids(ids)?;
        let standings = reply::list(standings)?.into_iter().map(reply::bytes);
        let bodies = reply::list(bodies)?.into_iter().map(reply::bytes);
        let mut started = Started {
            jobs: Vec::with_capacity(ids.len()),
            damaged: owners::read_ids(damaged)?,
        };
        for ((id, standing), body) in ids.into_iter().zip(standings).zip(bodies) {
            let standing = Bytes::from(standing?);
            match taken(&self.queue, id, standing.clone(), body?) {
                Ok(taken) => started.jobs.push((standing, taken)),
                Err(_) => started.damaged.push(id),
            }
        }
        Some(Ok(Answer::Started(found, started)))
    }

    fn keep(&self, started: Vec<(Bytes, Taken)>) {
        let runs = started
            .iter()
            .map(|(standing, taken)| (taken.id, standing.clone()));
        self.shared.known.started(runs);
        let started = started.into_iter().map(|(_, taken)| taken);
        let mut hold = self.hold();
        if !hold.abandoned {
            hold.started.extend(started);
            return;
        }
        drop(hold);
        self.give_back_later(started.collect());
    }

    /// Finds out what calls have started whose answers were lost.
    pub(super) async fn clear_doubts(&self) -> Result<(), Error> {
        let doubtful = self.hold().doubtful.clone();
        if doubtful.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("HGETALL");
        command.arg(self.shared.keys(&self.queue).key(Part::Running));
        let runs = reply::list(self.shared.wire().command(&command).await?);
        let mut runs = self.shared.read(runs)?.into_iter().filter_map(reply::bytes);
        let mut ids = Vec::new();
        while let (Some(id), Some(run)) = (runs.next(), runs.next()) {
            let is_ours = run
                .strip_prefix(self.owner.as_bytes())
                .is_some_and(|token| doubtful.iter().any(|doubtful| doubtful.as_slice() == token));
            ids.extend(JobId::from_slice(&id).filter(|_| is_ours));
        }
        let mut started = Vec::new();
        for ids in table::pieces(&ids) {
            let rows = table::read(&self.shared, &self.queue, ids, Depth::Body).await?;
            started.extend(
                rows.into_iter()
                    .flatten()
                    .filter_map(|row| self.run_of(&row)),
            );
        }
        self.hold()
            .doubtful
            .retain(|token| !doubtful.contains(token));
        self.keep(started);
        Ok(())
    }

    /// What is running for this owner.
    fn run_of(&self, row: &Row) -> Option<(Bytes, Taken)> {
        let standing = &row.record.standing;
        let runs = standing.state == JobState::Running && standing.owner == Some(self.owner);
        runs.then(|| (row.stored.clone(), taken_of(row, row.record.body.clone())))
    }

    /// Gives jobs back without using an attempt, from where nothing can wait.
    pub(super) fn give_back_later(&self, started: Vec<Taken>) {
        let doubtful = !self.hold().doubtful.is_empty();
        if started.is_empty() && !doubtful {
            return;
        }
        let request = self.clone();
        let give_back = async move {
            // What it finds is given back, too, since the taker is gone.
            let cleared = request.clear_doubts().await.map_err(Into::into);
            let given_back = request.give_back(&started).await;
            if let Err(e) = given_back.and(cleared) {
                tracing::warn!(error = %e, "jobs could not be given back; they run again when their owner's lease ends");
            }
        };
        self.shared
            .env
            .spawn_isolated("redis-give-back", Box::pin(give_back));
    }

    pub(super) async fn give_back(&self, started: &[Taken]) -> bananas_core::Result<()> {
        let releases = started.iter().map(|taken| JobSettle {
            job: JobRef {
                queue: self.queue.clone(),
                id: taken.id,
            },
            epoch: taken.epoch,
            outcome: Outcome::Release {
                run_at: None,
                note: None,
            },
        });
        for settled in settle::settle(&self.shared, releases.collect()).await {
            settled?;
        }
        Ok(())
    }
}

fn taken(queue: &QueueName, id: JobId, standing: Bytes, body: Vec<u8>) -> Result<Taken, Error> {
    let row = Row::read(queue, id, standing)?;
    let body = Body::read(body).ok_or(Error::Corrupt(id))?;
    Ok(taken_of(&row, body.body))
}

fn taken_of(row: &Row, body: Bytes) -> Taken {
    let standing = &row.record.standing;
    Taken {
        id: row.record.id,
        body,
        priority: row.record.priority,
        epoch: standing.epoch,
        attempt: standing.failed_attempts + 1,
        crashes: standing.crashes,
    }
}
