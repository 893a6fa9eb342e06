//! Jobs of which the server keeps what cannot be read: something else than we has written it, or cut it.
//!
//! Such a job must hold up no other. It becomes a dead job that keeps its body, and whose error says what was found.

use bananas_core::{
    AttemptError, DeadReason, ErrorCause, JobId, JobState, QueueName, Standing, TaskName,
    Timestamp, Track,
};
use bytes::{Buf, Bytes};
use redis::Value;

use super::row::{Aside, Body, Row, WIDTH};
use super::table;
use crate::engine::Shared;
use crate::error::Error;
use crate::keys;
use crate::reply;
use crate::script::Script;

/// A job as the server keeps it, with where it stands.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) id: JobId,
    pub(super) standing: Option<Vec<u8>>,
    pub(super) story: Option<Vec<u8>>,
    pub(super) result: Option<Vec<u8>>,
    pub(super) body: Option<Vec<u8>>,
    /// A digit for each of the lines ready, suspects, due, ended, dead and running, and for the list of all ids.
    pub(super) places: String,
}

/// Reads jobs as they are, at most a batch of them.
pub(super) async fn raw(
    shared: &Shared,
    queue: &QueueName,
    ids: &[JobId],
) -> Result<Vec<Raw>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let args = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
    let answer = table::run(shared, Script::Audit, queue, args).await?;
    shared.read(read(ids, answer))
}

fn read(ids: &[JobId], answer: Value) -> Option<Vec<Raw>> {
    let lists = reply::list(answer)?.into_iter().map(reply::list);
    let lists: Vec<Vec<Value>> = lists.collect::<Option<_>>()?;
    let [standings, stories, results, bodies, places] = <[Vec<Value>; 5]>::try_from(lists).ok()?;
    let mut raws = Vec::with_capacity(ids.len());
    let (mut standings, mut stories) = (standings.into_iter(), stories.into_iter());
    let (mut results, mut bodies) = (results.into_iter(), bodies.into_iter());
    for (id, place) in ids.iter().zip(places) {
        raws.push(Raw {
            id: *id,
            standing: standings.next().and_then(reply::bytes),
            story: stories.next().and_then(reply::bytes),
            result: results.next().and_then(reply::bytes),
            body: bodies.next().and_then(reply::bytes),
            places: reply::text(place)?,
        });
    }
    Some(raws)
}

impl Raw {
    /// The row, or what is wrong with it.
    pub(super) fn row(&self, queue: &QueueName) -> Result<Row, String> {
        let Some(standing) = &self.standing else {
            return Err("its standing is gone".to_owned());
        };
        let mut row = Row::read(queue, self.id, standing.clone().into())
            .map_err(|_| format!("its standing of {} bytes cannot be read", standing.len()))?;
        row.read_more(self.story.clone(), self.result.clone())
            .map_err(|_| "its errors cannot be read".to_owned())?;
        let body = self.body.clone().unwrap_or_default();
        let bytes = body.len();
        row.read_body(body)
            .map_err(|_| format!("its body of {bytes} bytes cannot be read"))?;
        Ok(row)
    }

    /// The dead job that it becomes.
    fn aside(&self, why: &str, now: Timestamp) -> Option<Aside> {
        let old = self.standing.clone().unwrap_or_default();
        let known = Known::read(&old);
        let mut standing = Standing::new(now, None, None);
        standing.state = JobState::Dead;
        // Whoever runs it has lost it.
        standing.epoch = known.epoch.saturating_add(1);
        standing.failed_attempts = known.failed_attempts;
        standing.crashes = known.crashes;
        standing.copy = known.copy;
        standing.finished_at = Some(now);
        standing.reason = Some(DeadReason::Undecodable);
        let attempt = known.failed_attempts.saturating_add(1);
        let message = format!("the record was damaged: {why}");
        let error = AttemptError::new(attempt, now, ErrorCause::Failed, message);
        let body = self.body.clone().unwrap_or_default();
        let is_sound = Body::read(body.clone()).is_some();
        let new_body = Body {
            task: TaskName::new("damaged").ok()?,
            tags: bananas_core::Tags::default(),
            created_at: now,
            body: Bytes::from(body),
        };
        Some(Aside {
            standing,
            track: known.track,
            priority: known.priority,
            number: known.number,
            story: self.story.clone().unwrap_or_default(),
            error,
            has_result: self
                .result
                .as_ref()
                .is_some_and(|result| !result.is_empty()),
            body: (!is_sound).then_some(new_body),
        })
    }
}

/// What can be read of a standing, whatever is wrong with the rest.
#[derive(Default)]
struct Known {
    epoch: u64,
    failed_attempts: u32,
    crashes: u32,
    copy: u32,
    track: Track,
    priority: bananas_core::Priority,
    number: u64,
}

impl Known {
    fn read(standing: &[u8]) -> Self {
        if standing.len() != WIDTH {
            return Self::default();
        }
        let at = |from: usize| standing.get(from..).unwrap_or_default();
        Self {
            epoch: at(2).get_u64(),
            failed_attempts: at(60).get_u32(),
            crashes: at(64).get_u32(),
            copy: at(68).get_u32(),
            track: Track::Full,
            priority: bananas_core::Priority::new(at(81).get_u8()).unwrap_or_default(),
            number: at(100).get_u64(),
        }
    }
}

/// Sets aside those of these jobs that cannot be read; how many those were.
pub(super) async fn set_aside(
    shared: &Shared,
    queue: &QueueName,
    ids: &[JobId],
) -> Result<usize, Error> {
    let mut count = 0;
    for ids in table::pieces(ids) {
        let raws = raw(shared, queue, ids).await?;
        let wrong = raws.iter().filter(|raw| raw.is_there());
        let wrong = wrong.filter_map(|raw| raw.row(queue).err().map(|why| (raw, why)));
        count += put(shared, queue, wrong.collect()).await?;
    }
    Ok(count)
}

impl Raw {
    /// Whether anything is kept of it.
    pub(super) fn is_there(&self) -> bool {
        self.standing.is_some() || self.body.is_some()
    }
}

/// Makes dead jobs of what cannot be read for these reasons.
pub(super) async fn put(
    shared: &Shared,
    queue: &QueueName,
    wrong: Vec<(&Raw, String)>,
) -> Result<usize, Error> {
    let now = shared.env.now();
    let mut args: Vec<Vec<u8>> = vec![keys::changes(&shared.namespace).into()];
    for (raw, why) in wrong {
        let Some(aside) = raw.aside(&why, now) else {
            continue;
        };
        tracing::error!(job = %raw.id, %queue, why, "a damaged record is set aside as a dead job");
        let (standing, story, body) = aside.write(queue, raw.id);
        args.push(raw.id.as_bytes().to_vec());
        args.push(raw.standing.clone().unwrap_or_default());
        args.extend([standing, story, body]);
    }
    if args.len() == 1 {
        return Ok(0);
    }
    let answer = table::run(shared, Script::Aside, queue, args).await?;
    let count = shared.read(reply::integer(&answer))?;
    Ok(usize::try_from(count).unwrap_or(0))
}
