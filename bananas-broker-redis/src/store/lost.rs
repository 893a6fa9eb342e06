//! Finding ready jobs that the broker has lost or never got, without looking at the backlog; and the batches that
//! tell of them.

use std::collections::{BTreeMap, HashMap};

use bananas_core::{
    BatchId, DuePage, JobId, JobState, Lost, Owner, Publication, QueueName, Timestamp,
};
use futures::future::{join_all, try_join_all};
use redis::Value;

use super::due::republish;
use super::table::{self, Actor, Applied, Depth, Plan};
use super::{owners, queues};
use crate::engine::{BATCH, Shared};
use crate::error::Error;
use crate::keys::Part;
use crate::reply;
use crate::script::Script;

/// How many looks at a queue one page takes; the next goes on.
const ROUNDS: usize = 1_000;

/// Where jobs are looked for.
#[derive(Clone, Copy, Debug)]
enum Search {
    /// In a batch, which is closed when there are none.
    Batch(BatchId),
    /// In closed batches, but not in this one.
    Closed(BatchId),
    /// Among those that never were in one, after so many.
    Never(i64),
}

/// The open batches of a queue, with the times at which they were opened.
type Open = Vec<(Publication, Timestamp)>;

/// Restamps at most a page of lost jobs and returns them.
pub(super) async fn lost(shared: &Shared, lost: &Lost) -> Result<DuePage, Error> {
    let mut page = Page {
        shared,
        lost,
        page: DuePage::default(),
        left: lost.max,
    };
    let since = lost.now - lost.open_for;
    for (queue, open) in open(shared).await? {
        for (publication, opened_at) in open {
            let id = publication.id;
            if id != lost.publication.id && (opened_at <= since || lost.gone.contains(&id)) {
                page.all(&queue, Search::Batch(id)).await?;
            }
        }
    }
    for queue in &lost.evidence {
        page.all(queue, Search::Closed(lost.publication.id)).await?;
        page.all(queue, Search::Never(0)).await?;
    }
    let full = page.left == 0 && lost.max > 0;
    let mut page = page.page;
    page.more = full;
    Ok(page)
}

/// Closes batches.
pub(super) async fn confirm(shared: &Shared, batches: &[BatchId]) -> Result<(), Error> {
    let mut by_queue: BTreeMap<QueueName, Vec<BatchId>> = BTreeMap::new();
    let mut everywhere = Vec::new();
    for batch in batches {
        match shared.known.queues_of(*batch) {
            Some(queues) => {
                for queue in queues {
                    by_queue.entry(queue).or_default().push(*batch);
                }
            }
            None => everywhere.push(*batch),
        }
    }
    if !everywhere.is_empty() {
        for queue in queues::all(shared).await? {
            by_queue.entry(queue).or_default().extend(&everywhere);
        }
    }
    let closings = by_queue.iter().map(async |(queue, batches)| {
        let mut command = redis::cmd("HDEL");
        command.arg(shared.keys(queue).key(Part::Batches));
        for batch in batches {
            command.arg(batch.as_bytes());
        }
        shared.wire().command(&command).await
    });
    try_join_all(closings).await?;
    batches.iter().for_each(|batch| shared.known.closed(*batch));
    Ok(())
}

/// The batches that are open.
pub(super) async fn open_batches(shared: &Shared) -> Result<Vec<Publication>, Error> {
    let mut batches: BTreeMap<BatchId, Publication> = BTreeMap::new();
    for (_, open) in open(shared).await? {
        let open = open.into_iter();
        batches.extend(open.map(|(publication, _)| (publication.id, publication)));
    }
    Ok(batches.into_values().collect())
}

async fn open(shared: &Shared) -> Result<Vec<(QueueName, Open)>, Error> {
    let queues = queues::all(shared).await?;
    let opens = join_all(queues.iter().map(|queue| open_in(shared, queue))).await;
    let mut all = Vec::new();
    for (queue, open) in queues.into_iter().zip(opens) {
        all.push((queue, open?));
    }
    Ok(all)
}

async fn open_in(shared: &Shared, queue: &QueueName) -> Result<Open, Error> {
    let mut command = redis::cmd("HGETALL");
    command.arg(shared.keys(queue).key(Part::Batches));
    let rows = reply::list(shared.wire().command(&command).await?);
    let mut rows = shared.read(rows)?.into_iter();
    let mut open = Vec::new();
    while let (Some(id), Some(row)) = (rows.next(), rows.next()) {
        open.push(shared.read(read_row(id, row))?);
    }
    // Batches have ids that sort by time.
    open.sort_by_key(|(publication, _)| publication.id);
    Ok(open)
}

fn read_row(id: Value, row: Value) -> Option<(Publication, Timestamp)> {
    let row = reply::text(row)?;
    let (micros, owner) = row.split_at_checked(16)?;
    let id = BatchId::from_slice(&reply::bytes(id)?)?;
    let owner: Owner = serde_json::from_str(owner).ok()?;
    let opened_at = Timestamp::from_micros(micros.parse().ok()?);
    Some((Publication { id, owner }, opened_at))
}

struct Page<'a> {
    shared: &'a Shared,
    lost: &'a Lost,
    page: DuePage,
    left: usize,
}

impl Page<'_> {
    /// Restamps all that a search finds, as far as the page goes. Others may be at the same jobs, so it looks
    /// again until nothing is found.
    async fn all(&mut self, queue: &QueueName, mut search: Search) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            if self.left == 0 {
                break;
            }
            let (ids, next) = self.find(queue, search).await?;
            self.restamp(queue, &ids, search).await?;
            match search {
                Search::Never(_) if next >= 0 => search = Search::Never(next),
                _ if ids.is_empty() => break,
                Search::Never(_) | Search::Batch(_) | Search::Closed(_) => {}
            }
        }
        Ok(())
    }

    async fn find(&self, queue: &QueueName, search: Search) -> Result<(Vec<JobId>, i64), Error> {
        let (what, at) = match search {
            Search::Batch(batch) => ("batch", batch.as_bytes().to_vec()),
            Search::Closed(batch) => ("closed", batch.as_bytes().to_vec()),
            Search::Never(rank) => ("never", rank.to_string().into_bytes()),
        };
        let max = self.left.min(BATCH).to_string();
        let args = vec![max.into_bytes(), what.into(), at];
        let answer = table::run(self.shared, Script::Lost, queue, args).await?;
        let found = reply::list(answer).and_then(|parts| {
            let [ids, next] = <[Value; 2]>::try_from(parts).ok()?;
            Some((owners::read_ids(ids)?, reply::integer(&next)?))
        });
        self.shared.read(found)
    }

    async fn restamp(
        &mut self,
        queue: &QueueName,
        ids: &[JobId],
        search: Search,
    ) -> Result<(), Error> {
        let batch = self.lost.publication.id;
        let plan = Plan {
            queue,
            actor: Actor::Anybody,
            publication: Some((&self.lost.publication, self.lost.now)),
            depth: Depth::Body,
        };
        let is_lost = move |row: &super::row::Row| {
            row.record.standing.state == JobState::Ready
                && match search {
                    Search::Batch(batch) => row.batch == Some(batch),
                    Search::Closed(_) => row.batch.is_some_and(|it| it != batch),
                    Search::Never(_) => row.batch.is_none(),
                }
        };
        let restamped = table::apply(self.shared, plan, ids, HashMap::new(), |_, row| {
            is_lost(row).then(|| {
                row.record.standing.copy += 1;
                row.batch = Some(batch);
                republish(row)
            })
        });
        let mut moved = 0;
        for applied in restamped.await? {
            if let Applied::Done(Some(again)) = applied {
                self.page.jobs.push(again);
                moved += 1;
            }
        }
        self.left -= moved.min(self.left);
        self.page.moved += u64::try_from(moved).unwrap_or_default();
        Ok(())
    }
}
