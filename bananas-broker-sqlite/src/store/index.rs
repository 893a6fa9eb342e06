//! Looking at jobs and changing them from outside.

use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Alteration, Altered, Check, Checked, Cursor, JobFilter, JobId, JobIndex, JobPage, JobRecord,
    Prune, Result, StateCount,
};

use super::{SqliteStore, alter, check, damage, prune, query};
use rusqlite::Connection;

use crate::bell::Topic;
use crate::engine::{Pace, Side};

#[async_trait]
impl JobIndex for SqliteStore {
    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>> {
        let ids = ids.to_vec();
        let now = self.shared.now();
        self.read(Pace::Quick, move |connection| {
            query::get(connection, &ids, now)
        })
        .await
    }

    async fn query(
        &self,
        filter: &JobFilter,
        after: Option<Cursor>,
        max: usize,
    ) -> Result<JobPage> {
        let (filter, now) = (filter.clone(), self.shared.now());
        self.read(Pace::Long, move |connection| {
            query::query(connection, &filter, (after, max), now)
        })
        .await
    }

    async fn counts(&self) -> Result<Vec<StateCount>> {
        self.read(Pace::Quick, query::counts).await
    }

    async fn watch(&self, wait: Duration) -> Result<()> {
        self.shared.check_open(Side::Store)?;
        let listener = self.shared.bell().listen(Topic::Any);
        // A quiet time is no error.
        self.shared
            .env
            .within(wait, listener)
            .await
            .unwrap_or_default();
        self.shared.check_open(Side::Store)
    }

    async fn alter(&self, ids: &[JobId], alteration: Alteration) -> Result<Vec<Altered>> {
        let ids = ids.to_vec();
        self.write(ids.len(), move |tx| alter::alter(tx, &ids, alteration))
            .await
            .map_err(|e| e.during("alter"))
    }

    async fn prune(&self, prune: Prune) -> Result<u64> {
        self.write(prune.max, move |tx| prune::prune(tx, &prune))
            .await
            .map_err(|e| e.during("prune"))
    }

    async fn check(&self, check: Check) -> Result<Checked> {
        let (asked, now) = (check.clone(), self.shared.now());
        let look = move |connection: &Connection| check::look(connection, &asked, now);
        let looked = self.read(Pace::Long, look).await?;
        if !check.repair || looked.findings.is_empty() {
            return Ok(looked);
        }
        self.write(damage::PAGE, move |tx| check::mend(tx, &check))
            .await
            .map_err(|e| e.during("check"))
    }
}
