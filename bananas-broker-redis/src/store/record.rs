//! Recording jobs: one call for each queue and batch.

use bananas_core::{JobState, NewRecord, Owner, OwnerId, Publication, Recorded, Result, Timestamp};
use futures::future::join_all;
use redis::Value;

use super::{owners, queues, row, table};
use crate::broker::batches::{Batch, Batches};
use crate::engine::{MAX_MESSAGE, Shared};
use crate::error::Error;
use crate::keys;
use crate::reply;
use crate::script::Script;

/// Records jobs; each has its own answer.
pub(super) async fn record(
    shared: &Shared,
    jobs: Vec<NewRecord>,
    publication: Option<&Publication>,
) -> Vec<Result<Recorded>> {
    let now = shared.env.now();
    let mut answers: Vec<Result<Recorded>> = Vec::with_capacity(jobs.len());
    let mut batches = Batches::new();
    for (place, job) in jobs.into_iter().enumerate() {
        let queue = job.queue.clone();
        let bytes = job.body.len() + job.result.as_ref().map_or(0, bytes::Bytes::len) + 256;
        match check(shared, &job).await {
            Ok(()) => {
                answers.push(Ok(Recorded::New));
                batches.add(&queue, (place, job), bytes);
            }
            Err(e) => answers.push(Err(bananas_core::Error::from(e)
                .on(&queue)
                .during("record"))),
        }
    }
    let calls = batches.into_vec().into_iter().map(async |batch| {
        let places: Vec<usize> = batch.items.iter().map(|(place, _)| *place).collect();
        let queue = batch.queue.clone();
        (queue, places, send(shared, batch, publication, now).await)
    });
    for (queue, places, sent) in join_all(calls).await {
        let seen = |e: &Error| {
            bananas_core::Error::from(e.clone())
                .on(&queue)
                .during("record")
        };
        let mut sent = sent.map(Vec::into_iter);
        for place in places {
            let answer = match &mut sent {
                Ok(answers) => match answers.next() {
                    Some(answer) => answer.map_err(|e| seen(&e)),
                    None => Err(seen(&Error::WrongAnswer("redis".to_owned()))),
                },
                Err(e) => Err(seen(e)),
            };
            if let Some(slot) = answers.get_mut(place) {
                *slot = answer;
            }
        }
    }
    answers
}

async fn check(shared: &Shared, job: &NewRecord) -> std::result::Result<(), Error> {
    let result = job.result.as_ref().map_or(0, bytes::Bytes::len);
    check_size(job.body.len().max(result))?;
    if job.standing.state == JobState::Running {
        let owner = job.standing.owner.ok_or(Error::UnknownOwner(job.id))?;
        // The script looks again at what can change meanwhile.
        return match owners::ask(shared, owner, &job.queue).await {
            Err(Error::Owner(..)) => Err(Error::UnknownOwner(job.id)),
            other => other.map(drop),
        };
    }
    Ok(())
}

pub(super) fn check_size(bytes: usize) -> std::result::Result<(), Error> {
    let limit = MAX_MESSAGE;
    if bytes > limit {
        return Err(Error::ValueTooLarge { bytes, limit });
    }
    Ok(())
}

type Answers = Vec<std::result::Result<Recorded, Error>>;

async fn send(
    shared: &Shared,
    batch: Batch<NewRecord>,
    publication: Option<&Publication>,
    now: Timestamp,
) -> std::result::Result<Answers, Error> {
    let queue = batch.queue;
    queues::register(shared, &queue).await?;
    let ids: Vec<_> = batch.items.iter().map(|(_, job)| job.id).collect();
    let is_plain =
        |job: &NewRecord| job.unique.is_none() && job.errors.is_empty() && job.result.is_none();
    let plain = batch.items.iter().all(|(_, job)| is_plain(job));
    let mut args: Vec<Vec<u8>> = Vec::with_capacity(5 + 7 * ids.len());
    args.push(keys::changes(&shared.namespace).into());
    args.push(now.as_micros().to_string().into());
    args.extend(match publication {
        Some(publication) => {
            shared.known.opened(publication.id, &queue);
            [
                publication.id.as_bytes().to_vec(),
                table::batch_row(publication, now),
            ]
        }
        None => [Vec::new(), Vec::new()],
    });
    args.push(if plain { b"3".to_vec() } else { b"7".to_vec() });
    for (_, mut job) in batch.items {
        let unique = job.unique.take();
        args.push(job.id.as_bytes().to_vec());
        let (written, body) = row::write_new(job, publication.map(|it| it.id));
        args.extend([written.standing, body]);
        if !plain {
            args.extend([written.story, written.result]);
            args.extend(match unique {
                Some(unique) => {
                    let ends = now + unique.lasts;
                    [unique.key.into_bytes(), ends.as_micros().to_string().into()]
                }
                None => [Vec::new(), Vec::new()],
            });
        }
    }
    let answer = table::run(shared, Script::Record, &queue, args).await?;
    let parts = reply::list(answer).and_then(|parts| <[Value; 2]>::try_from(parts).ok());
    let [first, recorded] = shared.read(parts)?;
    if reply::integer(&first) == Some(1) {
        queues::register_again(shared, &queue).await?;
    }
    let recorded = reply::list(recorded).filter(|recorded| recorded.len() == ids.len());
    let recorded = shared.read(recorded)?;
    Ok(ids
        .into_iter()
        .zip(recorded)
        .map(|(id, value)| answer_of(id, value))
        .collect())
}

fn answer_of(id: bananas_core::JobId, value: Value) -> std::result::Result<Recorded, Error> {
    match value {
        Value::Int(0) => Ok(Recorded::New),
        Value::Int(1) => Ok(Recorded::Duplicate(id)),
        Value::Int(2) => Err(Error::UnknownOwner(id)),
        other => reply::bytes(other)
            .and_then(|holder| bananas_core::JobId::from_slice(&holder))
            .map(Recorded::Duplicate)
            .ok_or(Error::Corrupt(id)),
    }
}

/// An owner of whom nothing is known but its id.
pub(super) fn nameless(id: OwnerId) -> Owner {
    Owner {
        id,
        host: String::new(),
        boot_id: String::new(),
        pid: 0,
        pid_started: 0,
    }
}
