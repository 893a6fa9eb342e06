//! Making jobs ready whose time has come, and those of owners that are gone.

use std::collections::HashMap;

use bananas_core::{Due, DuePage, JobId, JobState, OwnerId, QueueName, Republish, Timestamp};
use futures::future::join_all;
use redis::Value;

use super::owners::{self, Death};
use super::queues;
use super::row::Row;
use super::table::{self, Actor, Applied, Depth, Plan};
use crate::engine::{BATCH, Shared};
use crate::error::Error;
use crate::reply;
use crate::script::Script;

/// How many looks at a queue one page takes; the next goes on.
const ROUNDS: usize = 50;

/// What a look at a queue found.
#[derive(Debug, Default)]
struct Found {
    next: Option<Timestamp>,
    due: Vec<JobId>,
    /// Running jobs of owners that are gone.
    orphans: Vec<JobId>,
}

/// Moves at most a page of jobs.
pub(super) async fn due(shared: &Shared, due: &Due) -> Result<DuePage, Error> {
    let gone = owners::declare(shared, Death::Sweep, &[]).await?;
    let queues = queues::all(shared).await?;
    let looks = queues
        .iter()
        .map(|queue| look(shared, queue, due.now, due.max, &gone));
    let mut found = Vec::with_capacity(queues.len());
    for (queue, look) in queues.iter().zip(join_all(looks).await) {
        found.push((queue, look?));
    }
    let mut page = Page {
        shared,
        due,
        page: DuePage::default(),
        left: due.max,
    };
    let earliest = found.iter().filter_map(|(_, found)| found.next).min();
    let bereft: usize = found.iter().map(|(_, found)| found.orphans.len()).sum();
    for (queue, found) in &found {
        page.reap(queue, &found.orphans, &gone).await?;
    }
    if bereft == 0 && !gone.is_empty() {
        // Marked in every queue, and none has a job of theirs.
        owners::declare(shared, Death::Done, &gone).await?;
    }
    found.sort_by_key(|(_, found)| found.next.unwrap_or(Timestamp::from_micros(i64::MAX)));
    for (queue, found) in found {
        page.promote_all(queue, found.due).await?;
    }
    let full = page.left == 0 && due.max > 0;
    let mut page = page.page;
    page.more = full;
    page.next = if page.moved == 0 {
        earliest
    } else {
        next(shared, &queues, due.now).await?
    };
    Ok(page)
}

/// When the next job of any queue is due.
async fn next(
    shared: &Shared,
    queues: &[QueueName],
    now: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    let looks = queues.iter().map(|queue| look(shared, queue, now, 0, &[]));
    let mut next: Option<Timestamp> = None;
    for found in join_all(looks).await {
        next = found?.next.into_iter().chain(next).min();
    }
    Ok(next)
}

/// Makes due jobs of one queue ready, at most `max`, where the record is the message.
pub(super) async fn promote(shared: &Shared, queue: &QueueName, max: usize) -> Result<(), Error> {
    let due = Due {
        now: shared.env.now(),
        max,
        publication: None,
    };
    let found = look(shared, queue, due.now, max, &[]).await?;
    let mut page = Page {
        shared,
        due: &due,
        page: DuePage::default(),
        left: max,
    };
    page.promote(queue, &found.due).await
}

async fn look(
    shared: &Shared,
    queue: &QueueName,
    now: Timestamp,
    max: usize,
    gone: &[OwnerId],
) -> Result<Found, Error> {
    let mut args: Vec<Vec<u8>> = vec![now.as_micros().to_string().into(), max.to_string().into()];
    args.extend(gone.iter().map(|owner| owner.as_bytes().to_vec()));
    let answer = table::run(shared, Script::Due, queue, args).await?;
    shared.read(read(answer))
}

fn read(answer: Value) -> Option<Found> {
    let [next, due, orphans] = <[Value; 3]>::try_from(reply::list(answer)?).ok()?;
    Some(Found {
        next: time(next)?,
        due: owners::read_ids(due)?,
        orphans: owners::read_ids(orphans)?,
    })
}

/// A time as a score is told, empty if there is none.
pub(super) fn time(value: Value) -> Option<Option<Timestamp>> {
    let text = reply::text(value)?;
    if text.is_empty() {
        return Some(None);
    }
    let micros = match text.parse::<i64>() {
        Ok(micros) => micros,
        // A time beyond what the server's numbers tell apart.
        Err(_) if text.starts_with('-') => i64::MIN,
        Err(_) => i64::MAX,
    };
    Some(Some(Timestamp::from_micros(micros)))
}

struct Page<'a> {
    shared: &'a Shared,
    due: &'a Due,
    page: DuePage,
    left: usize,
}

impl Page<'_> {
    /// Others may be at the same jobs, so it looks again until it has moved all that it found.
    async fn promote_all(&mut self, queue: &QueueName, mut ids: Vec<JobId>) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            ids.truncate(self.left);
            let before = self.left;
            self.promote(queue, &ids).await?;
            if before - self.left == ids.len() {
                break;
            }
            ids = look(self.shared, queue, self.due.now, self.left, &[])
                .await?
                .due;
        }
        Ok(())
    }

    async fn promote(&mut self, queue: &QueueName, ids: &[JobId]) -> Result<(), Error> {
        let now = self.due.now;
        let is_due = move |row: &Row| {
            let standing = &row.record.standing;
            matches!(standing.state, JobState::Scheduled | JobState::Retrying)
                && standing.run_at.is_none_or(|at| at <= now)
        };
        self.turn(queue, ids, Depth::Standing, move |row| {
            is_due(row).then(|| row.record.standing.due(now))
        })
        .await
    }

    async fn reap(
        &mut self,
        queue: &QueueName,
        ids: &[JobId],
        gone: &[OwnerId],
    ) -> Result<(), Error> {
        let now = self.due.now;
        self.turn(queue, ids, Depth::Story, move |row| {
            let owner = row.record.standing.owner;
            owner
                .is_some_and(|it| gone.contains(&it))
                .then(|| row.record.reap(now))
        })
        .await
    }

    /// Moves jobs that `step` moves; it answers whether the job is to be published, or nothing if it is not to be
    /// moved any more.
    async fn turn(
        &mut self,
        queue: &QueueName,
        ids: &[JobId],
        depth: Depth,
        step: impl Fn(&mut Row) -> Option<bool> + Send + Sync,
    ) -> Result<(), Error> {
        let ids = ids.get(..ids.len().min(self.left)).unwrap_or_default();
        let publication = self.due.publication.as_ref();
        let plan = Plan {
            queue,
            actor: Actor::Anybody,
            publication: publication.map(|it| (it, self.due.now)),
            depth: if publication.is_some() {
                Depth::Body
            } else {
                depth
            },
        };
        for ids in ids.chunks(BATCH) {
            let moved = table::apply(self.shared, plan, ids, HashMap::new(), |_, row| {
                let publish = step(row)?;
                let again = publication.filter(|_| publish).map(|publication| {
                    row.batch = Some(publication.id);
                    republish(row)
                });
                Some(again)
            });
            for applied in moved.await? {
                if let Applied::Done(Some(again)) = applied {
                    self.left -= 1;
                    self.page.moved += 1;
                    self.page.jobs.extend(again);
                }
            }
        }
        Ok(())
    }
}

/// The message of a job that was read with its body.
pub(super) fn republish(row: &Row) -> Republish {
    Republish {
        job: row.record.reference(),
        body: row.record.body.clone(),
        priority: row.record.priority,
        copy: row.record.standing.copy,
    }
}
