//! Looking for jobs, the newest first over all queues.
//!
//! Where few jobs of a queue are in the states that are asked for, those are looked at; else all of the queue, in
//! the order of their ids. A look is at standings first, and at bodies only where these do not rule a job out.

use std::collections::{BTreeMap, VecDeque};

use bananas_core::{Cursor, JobFilter, JobId, JobPage, JobRecord, JobState, QueueName};
use futures::future::join_all;

use crate::engine::{BATCH, Shared};
use crate::error::Error;
use crate::keys::Part;
use crate::reply;
use crate::store::row::Row;
use crate::store::table::{self, Depth};
use crate::store::{owners, queues};

/// How many jobs a page looks at before it ends, full or not.
const MOST_JOBS: usize = 20_000;

/// How many bytes of bodies it looks at, likewise.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// How many bodies are read at once.
const BODIES: usize = 50;

/// Up to how many jobs in the states asked for are gathered, rather than that all jobs are passed.
const FEW: u64 = 10_000;

/// The jobs of one queue that are looked at, the newest first.
struct Walk<'a> {
    queue: &'a QueueName,
    ids: VecDeque<JobId>,
    /// Where more ids follow; `None` if these were all.
    rest: Option<From>,
}

/// Where the next ids begin.
#[derive(Clone, Copy, Debug)]
enum From {
    Newest,
    Behind(JobId),
}

/// A page of records, the newest first.
pub(super) async fn query(
    shared: &Shared,
    filter: &JobFilter,
    after: Option<Cursor>,
    max: usize,
) -> Result<JobPage, Error> {
    let mut queues = queues::all(shared).await?;
    queues.retain(|queue| filter.queue.as_ref().is_none_or(|wanted| wanted == queue));
    let after = after.map(|Cursor(id)| id);
    let walks = queues
        .iter()
        .map(|queue| Walk::begin(shared, queue, filter, after));
    let mut walks = join_all(walks)
        .await
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let (wanted, mut looked_at, mut bytes) = (max.max(1), 0, 0);
    let mut page = JobPage::default();
    loop {
        let step = next(
            shared,
            &mut walks,
            BATCH.min(wanted.saturating_mul(4).max(BODIES)),
        )
        .await?;
        let Some((_, last)) = step.last() else {
            return Ok(page);
        };
        let mut end = Cursor(*last);
        looked_at += step.len();
        let standings = read(shared, &step, Depth::Standing).await?;
        let passing: Vec<(&QueueName, JobId)> = step
            .iter()
            .filter(|(_, id)| standings.get(id).is_some_and(|row| may_match(filter, row)))
            .copied()
            .collect();
        for piece in passing.chunks(BODIES) {
            let mut rows = read(shared, piece, Depth::Body).await?;
            for (_, id) in piece {
                let Some(record) = rows.remove(id).map(|row| row.record) else {
                    continue;
                };
                bytes += size(&record);
                if filter.matches(&record) {
                    if page.jobs.len() >= wanted {
                        page.next = page.jobs.last().map(|job| Cursor(job.id));
                        return Ok(page);
                    }
                    page.jobs.push(record);
                }
            }
            if bytes >= MOST_BYTES {
                end = piece.last().map_or(end, |(_, id)| Cursor(*id));
                break;
            }
        }
        if looked_at >= MOST_JOBS || bytes >= MOST_BYTES {
            page.next = Some(end);
            return Ok(page);
        }
    }
}

fn size(record: &JobRecord) -> usize {
    record.body.len() + record.result.as_ref().map_or(0, bytes::Bytes::len)
}

/// Whether the standing alone does not rule the job out.
fn may_match(filter: &JobFilter, row: &Row) -> bool {
    let mut known = JobFilter::default();
    known.states.clone_from(&filter.states);
    (known.finished_after, known.finished_before) = (filter.finished_after, filter.finished_before);
    known.matches(&row.record)
}

/// The newest jobs of all walks, at most so many. There may be more behind fewer; none are the end.
async fn next<'a>(
    shared: &Shared,
    walks: &mut [Walk<'a>],
    max: usize,
) -> Result<Vec<(&'a QueueName, JobId)>, Error> {
    let mut step = Vec::new();
    while step.len() < max {
        for walk in walks.iter_mut() {
            walk.refill(shared, max).await?;
        }
        let newest = walks
            .iter_mut()
            .max_by_key(|walk| walk.ids.front().copied());
        let Some(walk) = newest else { break };
        let Some(id) = walk.ids.pop_front() else {
            break;
        };
        step.push((walk.queue, id));
    }
    Ok(step)
}

async fn read(
    shared: &Shared,
    jobs: &[(&QueueName, JobId)],
    depth: Depth,
) -> Result<BTreeMap<JobId, Row>, Error> {
    let mut by_queue: BTreeMap<&QueueName, Vec<JobId>> = BTreeMap::new();
    for (queue, id) in jobs {
        by_queue.entry(queue).or_default().push(*id);
    }
    let reads = by_queue
        .iter()
        .map(|(queue, ids)| table::read(shared, queue, ids, depth));
    let mut rows = BTreeMap::new();
    for read in join_all(reads).await {
        rows.extend(read?.into_iter().flatten().map(|row| (row.record.id, row)));
    }
    Ok(rows)
}

impl<'a> Walk<'a> {
    async fn begin(
        shared: &Shared,
        queue: &'a QueueName,
        filter: &JobFilter,
        after: Option<JobId>,
    ) -> Result<Self, Error> {
        let mut walk = Self {
            queue,
            ids: VecDeque::new(),
            rest: Some(after.map_or(From::Newest, From::Behind)),
        };
        if filter.states.is_empty() {
            return Ok(walk);
        }
        let counts = super::counts_of(shared, queue).await?;
        let wanted = counts
            .iter()
            .filter(|count| filter.states.contains(&count.state));
        let jobs: u64 = wanted.map(|count| count.jobs).sum();
        if jobs > FEW {
            return Ok(walk);
        }
        let mut ids = Vec::new();
        for part in parts(&filter.states) {
            match members(shared, queue, part).await? {
                Some(members) => ids.extend(members),
                // Many others are in the same set.
                None => return Ok(walk),
            }
        }
        ids.retain(|id| after.is_none_or(|after| *id < after));
        ids.sort_by(|a, b| b.cmp(a));
        ids.dedup();
        (walk.ids, walk.rest) = (ids.into(), None);
        Ok(walk)
    }

    async fn refill(&mut self, shared: &Shared, max: usize) -> Result<(), Error> {
        let Some(from) = self.rest.filter(|_| self.ids.is_empty()) else {
            return Ok(());
        };
        let mut command = redis::cmd("ZRANGE");
        command.arg(shared.keys(self.queue).key(Part::Ids));
        match from {
            From::Newest => command.arg("+"),
            From::Behind(id) => command.arg([b"(", id.as_bytes().as_slice()].concat()),
        };
        command.arg("-").arg("BYLEX").arg("REV");
        command.arg("LIMIT").arg(0).arg(max);
        let ids = shared.wire().command(&command).await?;
        let ids = shared.read(owners::read_ids(ids))?;
        self.rest = ids
            .last()
            .filter(|_| ids.len() == max)
            .map(|last| From::Behind(*last));
        self.ids = ids.into();
        Ok(())
    }
}

/// Where the jobs in these states are.
fn parts(states: &[JobState]) -> Vec<Part> {
    let mut parts = Vec::new();
    for state in states {
        let more: &[Part] = match state {
            JobState::Scheduled | JobState::Retrying => &[Part::Due],
            JobState::Ready => &[Part::Ready, Part::Suspects],
            JobState::Running => &[Part::Running],
            JobState::Dead => &[Part::DeadJobs],
            JobState::Succeeded | JobState::Cancelled | JobState::Expired => &[Part::Ended],
        };
        parts.extend(more);
    }
    parts.dedup();
    parts
}

/// All jobs of a set, unless there are too many.
async fn members(
    shared: &Shared,
    queue: &QueueName,
    part: Part,
) -> Result<Option<Vec<JobId>>, Error> {
    let key = shared.keys(queue).key(part);
    let mut all = if part == Part::Running {
        redis::cmd("HKEYS")
    } else {
        let mut count = redis::cmd("ZCARD");
        count.arg(&key);
        let count = shared.wire().command(&count).await?;
        if shared.read(reply::count(&count))? > FEW {
            return Ok(None);
        }
        redis::cmd("ZRANGE")
    };
    all.arg(&key);
    if part != Part::Running {
        all.arg(0).arg(-1);
    }
    let ids = shared.wire().command(&all).await?;
    shared.read(owners::read_ids(ids)).map(Some)
}
