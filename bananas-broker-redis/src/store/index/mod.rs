//! Looking at jobs and changing them from outside: each operation under the contract's name.

mod alter;
mod prune;
mod query;
mod watch;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Alteration, Altered, Check, Checked, Cursor, JobFilter, JobId, JobIndex, JobPage, JobRecord,
    JobState, Prune, QueueName, Result, StateCount,
};
use futures::future::join_all;
use redis::Value;

pub(crate) use self::watch::Watchers;
use super::jobs::during;
use super::table::{self, Depth};
use super::{RedisStore, check, queues};
use crate::engine::Shared;
use crate::error::Error;
use crate::keys::Part;
use crate::reply;

#[async_trait]
impl JobIndex for RedisStore {
    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>> {
        get(&self.shared, ids).await.map_err(during("get"))
    }

    async fn query(
        &self,
        filter: &JobFilter,
        after: Option<Cursor>,
        max: usize,
    ) -> Result<JobPage> {
        query::query(&self.shared, filter, after, max)
            .await
            .map_err(during("query"))
    }

    async fn check(&self, check: Check) -> Result<Checked> {
        self.shared.wire().check_open()?;
        check::check(&self.shared, &check)
            .await
            .map_err(during("check"))
    }

    async fn counts(&self) -> Result<Vec<StateCount>> {
        counts(&self.shared).await.map_err(during("counts"))
    }

    async fn watch(&self, wait: Duration) -> Result<()> {
        self.shared.wire().check_open()?;
        Ok(self.shared.watchers.changed(wait).await?)
    }

    async fn alter(&self, ids: &[JobId], alteration: Alteration) -> Result<Vec<Altered>> {
        self.shared.wire().check_open()?;
        alter::alter(&self.shared, ids, alteration)
            .await
            .map_err(during("alter"))
    }

    async fn prune(&self, prune: Prune) -> Result<u64> {
        prune::prune(&self.shared, &prune)
            .await
            .map_err(during("prune"))
    }
}

/// The records with these ids, in order. An id does not say on which queue it is, so all are asked.
async fn get(shared: &Shared, ids: &[JobId]) -> std::result::Result<Vec<Option<JobRecord>>, Error> {
    let queues = queues::all(shared).await?;
    let mut found: HashMap<JobId, JobRecord> = HashMap::new();
    for piece in table::pieces(ids) {
        let reads = queues
            .iter()
            .map(|queue| table::read(shared, queue, piece, Depth::Body));
        for rows in join_all(reads).await {
            let rows = rows?.into_iter().flatten();
            found.extend(rows.map(|row| (row.record.id, row.record)));
        }
    }
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

/// Counts by queue and state, in the order of names and of a job's life.
async fn counts(shared: &Shared) -> std::result::Result<Vec<StateCount>, Error> {
    let queues = queues::all(shared).await?;
    let looks = join_all(queues.iter().map(|queue| counts_of(shared, queue))).await;
    let mut counts = Vec::new();
    for look in looks {
        counts.extend(look?);
    }
    Ok(counts)
}

async fn counts_of(
    shared: &Shared,
    queue: &QueueName,
) -> std::result::Result<Vec<StateCount>, Error> {
    let mut command = redis::cmd("HGETALL");
    command.arg(shared.keys(queue).key(Part::StateCounts));
    let answer = shared.wire().command(&command).await?;
    let counts = shared.read(read_counts(answer))?;
    let count = |(n, state): (usize, JobState)| StateCount {
        queue: queue.clone(),
        state,
        jobs: counts.get(&n).copied().unwrap_or(0),
    };
    let counts = JobState::ALL.into_iter().enumerate().map(count);
    Ok(counts.filter(|count| count.jobs > 0).collect())
}

/// How many jobs are in each state, by its number.
fn read_counts(answer: Value) -> Option<HashMap<usize, u64>> {
    let mut rows = reply::list(answer)?.into_iter();
    let mut counts = HashMap::new();
    while let (Some(state), Some(count)) = (rows.next(), rows.next()) {
        let number: i64 = reply::text(count)?.parse().ok()?;
        counts.insert(
            reply::text(state)?.parse().ok()?,
            u64::try_from(number).unwrap_or(0),
        );
    }
    Some(counts)
}
