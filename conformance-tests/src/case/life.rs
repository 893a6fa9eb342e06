//! Brings jobs of a store to any point of their life, and compares what the store says of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Alteration, Altered, ClaimAnswer, Job, JobFilter, JobId, JobRecord, JobSettled, JobState,
    OwnerId, Prune,
};

use super::StoreCase;
use crate::outcomes::{fatal, retry, success};
use crate::store_client::StoreClient;

/// Longer than any check lasts.
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

impl StoreCase {
    /// The client of the case.
    pub(crate) fn here(&self) -> StoreClient {
        StoreClient(Arc::clone(&self.store))
    }

    /// A second client of the same data.
    pub(crate) async fn there(&self) -> StoreClient {
        StoreClient(self.second_client().await)
    }

    /// Claims a job, which must run, and answers its epoch.
    pub(crate) async fn start(&self, job: &Job, owner: OwnerId) -> u64 {
        match self.claim(job, owner, 1).await {
            ClaimAnswer::Run { epoch, .. } => epoch,
            answer => panic!("the job runs: {answer:?}"),
        }
    }

    /// Records a job and brings it into a state.
    pub(crate) async fn job_in(&self, state: JobState) -> Job {
        let mut job = self.job();
        match state {
            JobState::Scheduled => job.run_at = Some(self.env.now() + HOUR),
            JobState::Expired => job.expires_at = Some(self.env.now()),
            _ => {}
        }
        self.record(std::slice::from_ref(&job), None).await;
        let outcome = match state {
            JobState::Scheduled | JobState::Ready => return job,
            JobState::Cancelled => {
                let altered = self.here().alter(job.id, Alteration::Cancel).await;
                assert_eq!(altered, Altered::Done(state));
                return job;
            }
            JobState::Expired => {
                let owner = self.owner().await.id;
                assert_eq!(self.claim(&job, owner, 1).await, ClaimAnswer::Finished);
                return job;
            }
            JobState::Running => None,
            JobState::Succeeded => Some(success()),
            JobState::Retrying => Some(retry(&self.env, 1, HOUR)),
            JobState::Dead => Some(fatal(&self.env, 1)),
        };
        let epoch = self.start(&job, self.owner().await.id).await;
        if let Some(outcome) = outcome {
            let settled = self.here().settle(job.clone(), epoch, outcome).await;
            assert_eq!(settled, JobSettled::Settled(state));
        }
        job
    }

    pub(crate) async fn find(&self, id: JobId) -> Option<JobRecord> {
        self.store.index().get(&[id]).await.unwrap().remove(0)
    }

    pub(crate) async fn state_of(&self, id: JobId) -> JobState {
        self.found(id).await.standing.state
    }

    /// All records.
    pub(crate) async fn listing(&self) -> Vec<JobRecord> {
        let everything = JobFilter::default();
        let mut jobs = Vec::new();
        let mut after = None;
        loop {
            let query = self.store.index().query(&everything, after, 500);
            let page = query.await.unwrap();
            jobs.extend(page.jobs);
            after = page.next;
            if after.is_none() {
                return jobs;
            }
        }
    }

    /// Compares the counts with the list of all records, while nothing changes.
    pub(crate) async fn assert_counts_are_exact(&self) {
        let mut listed = BTreeMap::<(String, &str), u64>::new();
        for job in self.listing().await {
            let key = (job.queue.to_string(), job.standing.state.as_str());
            *listed.entry(key).or_default() += 1;
        }
        let counts = self.store.index().counts().await.unwrap();
        let counted: BTreeMap<_, _> = counts
            .iter()
            .map(|count| ((count.queue.to_string(), count.state.as_str()), count.jobs))
            .collect();
        assert_eq!(counted.len(), counts.len(), "a combination came twice");
        assert_eq!(counted, listed, "counts against the list of all records");
    }

    /// Forgets whatever has ended, however recently.
    pub(crate) fn prune_all(&self) -> Prune {
        let later = self.env.now() + HOUR;
        Prune {
            finished_before: later,
            dead_before: later,
            max: 1_000,
        }
    }
}
