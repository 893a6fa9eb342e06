//! Looking at jobs and changing them from outside.

use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Alteration, Altered, Cursor, JobFilter, JobId, JobIndex, JobPage, JobRecord, Prune, Result,
    StateCount,
};

use super::{SqliteStore, alter, prune, query};
use crate::bell::Topic;
use crate::engine::{Pace, Side};

#[async_trait]
impl JobIndex for SqliteStore {
    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<JobRecord>>> {
        let ids = ids.to_vec();
        self.read(Pace::Quick, move |connection| query::get(connection, &ids))
            .await
    }

    async fn query(
        &self,
        filter: &JobFilter,
        after: Option<Cursor>,
        max: usize,
    ) -> Result<JobPage> {
        let filter = filter.clone();
        self.read(Pace::Long, move |connection| {
            query::query(connection, &filter, after, max)
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
}
