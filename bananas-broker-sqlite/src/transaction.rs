//! One write transaction as the requests in it see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bananas_core::{Env, JobState, QueueName, Timestamp};
use rusqlite::{CachedStatement, Connection};

use crate::bell::News;
use crate::boot_clock::{BootClock, Moment};
use crate::error::Error;

/// One write transaction. Nothing in it is final before the writer commits.
#[derive(Debug)]
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
    pub(crate) now: Timestamp,
    pub(crate) moment: Moment,
    pub(crate) env: Arc<dyn Env>,
    counts: BTreeMap<QueueName, [i64; STATES]>,
    news: News,
}

const STATES: usize = JobState::ALL.len();

const ADD_COUNT: &str = "INSERT INTO counts (queue, state, jobs) VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs";

impl<'c> Transaction<'c> {
    pub(crate) fn new(
        connection: &'c Connection,
        env: &Arc<dyn Env>,
        boot_clock: &dyn BootClock,
    ) -> Self {
        Self {
            connection,
            now: env.now(),
            moment: boot_clock.now(),
            env: Arc::clone(env),
            counts: BTreeMap::new(),
            news: News::default(),
        }
    }

    /// A prepared statement.
    pub(crate) fn sql(&self, sql: &str) -> Result<CachedStatement<'c>, Error> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    /// The connection, for what reads alike inside and outside a transaction.
    pub(crate) fn connection(&self) -> &'c Connection {
        self.connection
    }

    /// Counts a job that moved; `None` on one side for a new or a forgotten one.
    pub(crate) fn moved(
        &mut self,
        queue: &QueueName,
        from: Option<JobState>,
        to: Option<JobState>,
    ) {
        if from == to {
            return;
        }
        if !self.counts.contains_key(queue) {
            self.counts.insert(queue.clone(), [0; STATES]);
        }
        if let Some(counts) = self.counts.get_mut(queue) {
            for (state, by) in [(from, -1), (to, 1)] {
                if let Some(count) = state.and_then(|state| counts.get_mut(state as usize)) {
                    *count += by;
                }
            }
        }
        use JobState::{Ready, Retrying, Scheduled};
        if matches!(to, Some(Ready | Scheduled | Retrying)) && !self.news.jobs.contains(queue) {
            self.news.jobs.insert(queue.clone());
        }
    }

    /// Something about the messages of this queue changed.
    pub(crate) fn touched(&mut self, queue: &QueueName) {
        if !self.news.messages.contains(queue) {
            self.news.messages.insert(queue.clone());
        }
    }

    /// Writes the counts; answers what to ring for after the commit.
    pub(crate) fn finish(mut self, changes_before: u64) -> Result<News, Error> {
        {
            let mut add = self.sql(ADD_COUNT)?;
            for (queue, counts) in &self.counts {
                for (state, by) in JobState::ALL.iter().zip(counts) {
                    if *by != 0 {
                        add.execute((queue.as_str(), state.as_str(), by))?;
                    }
                }
            }
        }
        self.news.any = self.connection.total_changes() != changes_before;
        Ok(self.news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_numbered_in_the_order_of_all() {
        for (n, state) in JobState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, n);
        }
    }
}
