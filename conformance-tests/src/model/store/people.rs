//! Steps of people: who looks for jobs, and who changes them from outside.

use bananas_core::{Alteration, Altered, Cursor, JobFilter, JobId, JobState};

use super::job::Job;
use super::player::{Player, job_id, name, queue_name};
use super::step::{JOBS, Wish};
use crate::model::{Step, line};

impl Player {
    pub(super) async fn alter(&mut self, jobs: &[u8], wish: Wish) -> Step {
        let ids: Vec<JobId> = jobs.iter().map(|n| job_id(*n)).collect();
        let wish = match wish {
            Wish::Cancel => Alteration::Cancel,
            Wish::Retry => Alteration::Retry,
            Wish::Drop => Alteration::Drop,
        };
        let altered = self.client().index().alter(&ids, wish).await;
        let expected: Vec<Altered> = ids.iter().map(|id| self.model.alter(*id, wish)).collect();
        let right = altered.as_ref().is_ok_and(|altered| *altered == expected);
        let call = format!("{wish:?} jobs {jobs:?}");
        line(
            right,
            &call,
            &format!("{altered:?}"),
            &format!("{expected:?}"),
        )
    }

    pub(super) async fn query(&mut self, states: u8, queue: Option<usize>, page: usize) -> Step {
        let mut filter = JobFilter::default();
        let named = JobState::ALL.iter().enumerate();
        filter.states = named
            .filter(|(bit, _)| states & (1 << bit) != 0)
            .map(|(_, state)| *state)
            .collect();
        filter.queue = queue.map(queue_name);
        let mut found: Vec<JobId> = Vec::new();
        let mut after: Option<Cursor> = None;
        let call = format!("query {:?} of {queue:?} in pages of {page}", filter.states);
        loop {
            let got = self.client().index().query(&filter, after, page).await;
            let Ok(got) = got else {
                return line(false, &call, &format!("{got:?}"), "a page");
            };
            if got.jobs.len() > page {
                return line(false, &call, &format!("{} jobs", got.jobs.len()), "a page");
            }
            found.extend(got.jobs.iter().map(|job| job.id));
            after = got.next;
            if after.is_none() || found.len() > usize::from(JOBS) {
                break;
            }
        }
        let passes = |job: &&Job| {
            (filter.states.is_empty() || filter.states.contains(&job.state))
                && filter
                    .queue
                    .as_ref()
                    .is_none_or(|queue| queue == job.queue())
        };
        let passing = self.model.jobs.iter().filter(passes);
        let mut expected: Vec<JobId> = passing.map(Job::id).collect();
        expected.sort_by_key(|id| std::cmp::Reverse(*id));
        let names = |ids: &[JobId]| ids.iter().map(|id| name(*id)).collect::<Vec<_>>().join(" ");
        line(found == expected, &call, &names(&found), &names(&expected))
    }
}
