//! Reading rows of a queue, and changing them: the core computes what becomes of a job, and the server writes it
//! if and only if the standing is still the one that it was computed from.

use std::collections::{HashMap, HashSet};

use bananas_core::{JobId, OwnerId, Publication, QueueName, Timestamp};
use redis::Value;

use super::damage;
use super::row::{Row, Written};
use crate::engine::{BATCH, Shared};
use crate::error::Error;
use crate::keys::{self, STORE};
use crate::reply;
use crate::script::Script;

/// How often a job is read and changed again before it is given up. Another must have changed it each time.
const ROUNDS: usize = 50;

/// How much of a job is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Its standing.
    Standing,
    /// Also its errors, note and result.
    Story,
    /// All of it.
    Body,
}

/// Who changes jobs, which decides what the server checks besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A scheduler or a person.
    Anybody,
    /// Who ran them: owners that were declared dead may not settle.
    Runner,
    /// An owner that starts them, and when its lease ends.
    Owner(OwnerId, i64),
}

/// What is to be changed, by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) queue: &'a QueueName,
    pub(crate) actor: Actor,
    /// A batch to open with the first change.
    pub(crate) publication: Option<(&'a Publication, Timestamp)>,
    pub(crate) depth: Depth,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied<T> {
    Missing,
    /// Its run belongs to an owner that was declared dead.
    OfTheDead {
        epoch: u64,
    },
    Done(T),
}

/// The server's answer to one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Written,
    Missing,
    OfTheDead,
    /// Somebody else changed it before.
    Outrun,
}

/// Runs a script of the store.
pub(crate) async fn run(
    shared: &Shared,
    script: Script,
    queue: &QueueName,
    args: Vec<Vec<u8>>,
) -> Result<Value, Error> {
    shared.run(script, queue, &STORE, args).await
}

/// Reads jobs, at most a batch of them. What cannot be read is set aside, and read as the dead job that it is then.
pub(crate) async fn read(
    shared: &Shared,
    queue: &QueueName,
    ids: &[JobId],
    depth: Depth,
) -> Result<Vec<Option<Row>>, Error> {
    let mut rows = look(shared, queue, ids, depth).await?;
    let wrong = ids.iter().zip(&rows).filter(|(_, row)| row.is_err());
    let wrong: Vec<JobId> = wrong.map(|(id, _)| *id).collect();
    if !wrong.is_empty() {
        damage::set_aside(shared, queue, &wrong).await?;
        rows = look(shared, queue, ids, depth).await?;
    }
    rows.into_iter().collect()
}

async fn look(
    shared: &Shared,
    queue: &QueueName,
    ids: &[JobId],
    depth: Depth,
) -> Result<Vec<Result<Option<Row>, Error>>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut args: Vec<Vec<u8>> = vec![match depth {
        Depth::Standing => b"1".to_vec(),
        Depth::Story => b"2".to_vec(),
        Depth::Body => b"3".to_vec(),
    }];
    args.extend(ids.iter().map(|id| id.as_bytes().to_vec()));
    let answer = run(shared, Script::Read, queue, args).await?;
    let lists = reply::list(answer).and_then(|lists| lists.into_iter().map(reply::list).collect());
    let lists: Vec<Vec<Value>> = shared.read(lists)?;
    let mut lists = lists.into_iter().map(Vec::into_iter);
    let (mut standings, mut stories) = (lists.next(), lists.next());
    let (mut results, mut bodies) = (lists.next(), lists.next());
    let next = |list: &mut Option<std::vec::IntoIter<Value>>| {
        list.as_mut()
            .and_then(Iterator::next)
            .and_then(reply::bytes)
    };
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let standing = next(&mut standings);
        let (story, result, body) = (next(&mut stories), next(&mut results), next(&mut bodies));
        let Some(standing) = standing else {
            rows.push(Ok(None));
            continue;
        };
        let row = Row::read(queue, *id, standing.into()).and_then(|mut row| {
            if depth != Depth::Standing {
                row.read_more(story, result)?;
            }
            if depth == Depth::Body {
                row.read_body(body.unwrap_or_default())?;
            }
            Ok(Some(row))
        });
        rows.push(row);
    }
    Ok(rows)
}

/// Lets `step` change the row of each of `ids`, in order and again if somebody else was faster, and writes the
/// rows. What `step` answers is the answer once its row is written. `rows` are those that are known already; a
/// known row must be one that `step` changes, for only so is it seen whether it is the row that the server has.
pub(crate) async fn apply<T: Send + Sync>(
    shared: &Shared,
    plan: Plan<'_>,
    ids: &[JobId],
    mut rows: HashMap<JobId, Row>,
    mut step: impl FnMut(usize, &mut Row) -> T + Send,
) -> Result<Vec<Applied<T>>, Error> {
    let mut answers: Vec<Option<Applied<T>>> = ids.iter().map(|_| None).collect();
    for _ in 0..ROUNDS {
        load(shared, plan, ids, &answers, &mut rows).await?;
        for (place, (id, slot)) in ids.iter().zip(answers.iter_mut()).enumerate() {
            if slot.is_none() {
                // One that an item before has ended may be forgotten now.
                *slot = Some(match rows.get_mut(id).filter(|row| !row.is_forgotten()) {
                    Some(row) => Applied::Done(step(place, row)),
                    None => Applied::Missing,
                });
            }
        }
        let mut changed: Vec<(Row, Written)> = Vec::new();
        for (_, row) in rows.drain() {
            let written = row.write();
            let is_same = written.standing == row.stored
                && written.result.is_empty()
                && written.story.is_empty();
            if !is_same {
                changed.push((row, written));
            }
        }
        let fates = write(shared, plan, &changed).await?;
        let mut doubtful = HashMap::new();
        for ((row, written), fate) in changed.into_iter().zip(fates) {
            let (id, epoch) = (row.record.id, row.record.standing.epoch);
            if fate != Fate::Written {
                doubtful.insert(id, (fate, epoch));
            } else if matches!(plan.actor, Actor::Owner(..)) {
                shared.known.started([(id, written.standing.into())]);
            }
        }
        for (id, slot) in ids.iter().zip(answers.iter_mut()) {
            match doubtful.get(id) {
                None | Some((Fate::Written, _)) => {}
                Some((Fate::OfTheDead, epoch)) => {
                    *slot = Some(Applied::OfTheDead { epoch: *epoch })
                }
                Some((Fate::Missing, _)) => *slot = Some(Applied::Missing),
                Some((Fate::Outrun, _)) => *slot = None,
            }
        }
        if answers.iter().all(Option::is_some) {
            break;
        }
    }
    answers
        .into_iter()
        .map(|answer| answer.ok_or(Error::Contended))
        .collect()
}

/// Reads the rows of all jobs that have no answer and are not known.
async fn load<T: Send + Sync>(
    shared: &Shared,
    plan: Plan<'_>,
    ids: &[JobId],
    answers: &[Option<Applied<T>>],
    rows: &mut HashMap<JobId, Row>,
) -> Result<(), Error> {
    let open = ids
        .iter()
        .zip(answers)
        .filter(|(_, answer)| answer.is_none());
    let wanted: HashSet<JobId> = open
        .map(|(id, _)| *id)
        .filter(|id| !rows.contains_key(id))
        .collect();
    let wanted: Vec<JobId> = wanted.into_iter().collect();
    for (id, row) in wanted
        .iter()
        .zip(read(shared, plan.queue, &wanted, plan.depth).await?)
    {
        rows.extend(row.map(|row| (*id, row)));
    }
    Ok(())
}

async fn write(
    shared: &Shared,
    plan: Plan<'_>,
    changed: &[(Row, Written)],
) -> Result<Vec<Fate>, Error> {
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let mut args: Vec<Vec<u8>> = Vec::with_capacity(5 + 5 * changed.len());
    args.push(keys::changes(&shared.namespace).into());
    let (actor, lease) = match plan.actor {
        Actor::Anybody => (Vec::new(), Vec::new()),
        Actor::Runner => (b"settle".to_vec(), Vec::new()),
        Actor::Owner(owner, ends) => (owner.as_bytes().to_vec(), ends.to_string().into_bytes()),
    };
    args.extend([actor, lease]);
    let publication = plan.publication.filter(|(publication, _)| {
        let mut rows = changed.iter().map(|(row, _)| row);
        rows.any(|row| row.batch == Some(publication.id))
    });
    args.extend(match publication {
        Some((publication, now)) => [
            publication.id.as_bytes().to_vec(),
            batch_row(publication, now),
        ],
        None => [Vec::new(), Vec::new()],
    });
    for (row, written) in changed {
        args.push(row.record.id.as_bytes().to_vec());
        args.push(row.stored.to_vec());
        args.push(written.standing.clone());
        args.push(written.result.clone());
        args.push(written.story.clone());
    }
    if let Some((publication, _)) = publication {
        shared.known.opened(publication.id, plan.queue);
    }
    let answer = run(shared, Script::Change, plan.queue, args).await?;
    match (&answer, plan.actor) {
        (Value::Int(1), _) => return Ok(vec![Fate::Written; changed.len()]),
        (Value::Int(-1), Actor::Owner(owner, _)) => return Err(Error::Owner(owner, GONE)),
        (Value::Int(-2), Actor::Owner(owner, _)) => return Err(Error::Owner(owner, LAPSED)),
        _ => {}
    }
    let fates = reply::list(answer).map(|fates| fates.iter().map(fate).collect());
    let fates: Option<Vec<Fate>> = shared.read(fates)?;
    shared.read(fates.filter(|fates| fates.len() == changed.len()))
}

fn fate(value: &Value) -> Option<Fate> {
    match value {
        Value::Int(1) => Some(Fate::Written),
        Value::Int(0) => Some(Fate::Missing),
        Value::Int(2) => Some(Fate::OfTheDead),
        Value::BulkString(_) => Some(Fate::Outrun),
        _ => None,
    }
}

/// The row of an open batch: sixteen digits for when it was opened, and who publishes it.
pub(crate) fn batch_row(publication: &Publication, now: Timestamp) -> Vec<u8> {
    // An owner always has a JSON form.
    let owner = serde_json::to_string(&publication.owner).unwrap_or_default();
    format!("{:016}{owner}", now.as_micros()).into_bytes()
}

/// Splits jobs into pieces that one call takes.
pub(crate) fn pieces<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    all.chunks(BATCH)
}

pub(crate) const GONE: &str = "was declared dead; start again as a new owner";
pub(crate) const LAPSED: &str = "has let its lease lapse; renew it first";
pub(crate) const UNKNOWN: &str = "was never enlisted; renew it first";
