//! Looks at everything in the store and compares it with the model.

use std::collections::BTreeSet;

use bananas_core::{BatchId, JobId, JobRecord, JobState, QueueName};

use super::player::{Player, job_id, name, owner, queue_name};
use super::step::{JOBS, OWNERS, QUEUES};

impl Player {
    /// In what the store differs from the model, if in anything.
    pub(super) async fn look(&mut self) -> Option<String> {
        for (n, record) in self.records().await.iter().enumerate() {
            let id = job_id(u8::try_from(n).unwrap_or(u8::MAX));
            let difference = match (self.model.find(id), record) {
                (None, None) => None,
                (Some(_), None) => Some("it is gone".to_owned()),
                (None, Some(record)) => Some(format!("it is there: {record:?}")),
                (Some(job), Some(record)) => job.difference(record),
            };
            if let Some(difference) = difference {
                return Some(format!("of {}: {difference}", name(id)));
            }
        }
        if let Some(difference) = self.miscounted().await {
            return Some(difference);
        }
        if let Some(difference) = self.owners_differ().await {
            return Some(difference);
        }
        let open = self.open_batches().await;
        let expected: BTreeSet<BatchId> = self.model.batches.iter().map(|open| open.id).collect();
        (open != expected).then(|| {
            let first =
                |ids: BTreeSet<BatchId>| ids.iter().map(|id| id.as_bytes()[0]).collect::<Vec<_>>();
            format!(
                "the open batches are {:?}, not {:?}",
                first(open),
                first(expected)
            )
        })
    }

    async fn miscounted(&mut self) -> Option<String> {
        let counts = self.client().index().counts().await.expect("counts");
        let mut found: Vec<(QueueName, &str, u64)> = counts
            .into_iter()
            .map(|count| (count.queue, count.state.as_str(), count.jobs))
            .collect();
        let mut expected = Vec::new();
        for queue in (0..QUEUES).map(queue_name) {
            for state in JobState::ALL {
                let here = self.model.jobs.iter();
                let here = here.filter(|job| *job.queue() == queue && job.state == state);
                match here.count() as u64 {
                    0 => {}
                    jobs => expected.push((queue.clone(), state.as_str(), jobs)),
                }
            }
        }
        found.sort();
        expected.sort();
        (found != expected).then(|| format!("the counts are {found:?}, not {expected:?}"))
    }

    async fn owners_differ(&mut self) -> Option<String> {
        let (rows, _) = self.client().jobs().owners(None).await.expect("owners");
        for n in 0..OWNERS {
            let id = owner(n).id;
            let row = rows.iter().find(|row| row.owner.id == id);
            let running = self.model.running_of(id).count() as u64;
            let facts = self.model.owners.iter().find(|facts| facts.id == id);
            let left = facts
                .filter(|facts| !facts.gone)
                .map(|facts| facts.until.since(self.model.now));
            let right = match (row, left) {
                (Some(row), left) => row.left == left.unwrap_or_default() && row.running == running,
                // Who is gone and runs nothing need not be listed.
                (None, left) => left.is_none() && running == 0,
            };
            if !right {
                return Some(format!(
                    "owner {n} is {row:?}, not one with {left:?} left and {running} running jobs"
                ));
            }
        }
        None
    }

    /// What the store has of each job, by number.
    pub(super) async fn records(&mut self) -> Vec<Option<JobRecord>> {
        let ids: Vec<JobId> = (0..JOBS).map(job_id).collect();
        let records = self.client().index().get(&ids).await.expect("records");
        assert_eq!(records.len(), ids.len(), "one answer for each id");
        records
    }

    pub(super) async fn open_batches(&mut self) -> BTreeSet<BatchId> {
        let open = self
            .client()
            .jobs()
            .open_batches()
            .await
            .expect("open batches");
        open.into_iter().map(|open| open.id).collect()
    }
}
