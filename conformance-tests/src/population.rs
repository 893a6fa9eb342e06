//! Jobs of every kind in a store, and filters for them, all by chance.

use std::time::Duration;

use bananas_core::{
    Alteration, Args, ClaimAnswer, Env, Job, JobFilter, JobId, JobRecord, JobSettle, JobState,
    QueueName, SearchText, Tag, Tags, TaskName, Timestamp,
};

use crate::case::StoreCase;
use crate::outcomes::{fatal, release, retry, success};

/// Words that are tags, parts of arguments, and what is looked for. Some are parts of others, some would be
/// wildcards if anything were.
const WORDS: [&str; 8] = [
    "mail",
    "Mail%",
    "a_b",
    "aXb",
    "größe",
    "50%",
    "\\n*",
    "customer:42",
];

const QUEUES: [&str; 3] = ["jobs", "jobs.other", "jobs-third"];

const TASKS: [&str; 3] = ["email.welcome", "report", "email.farewell"];

/// Numbers by chance, from the environment of a case.
pub(crate) struct Chance<'c>(pub(crate) &'c dyn Env);

impl Chance<'_> {
    pub(crate) fn below(&self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.0.random() % end).unwrap()
    }

    /// Whether something happens that happens once in `times`.
    fn once_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn of<'a, T: ?Sized>(&self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    fn job(&self, case: &StoreCase) -> Job {
        let mut job = case.job();
        // Some are as old as their id says, some are not, and some have an id that says nothing.
        if self.once_in(2) {
            let ago = Duration::from_millis(u64::try_from(self.below(10_000)).unwrap());
            job.created_at = job.created_at - ago;
        }
        if self.once_in(3) {
            let halves = [self.0.random().to_be_bytes(), self.0.random().to_be_bytes()];
            job.id = JobId::from_slice(&halves.concat()).unwrap();
        }
        job.queue = QueueName::new(self.of(&QUEUES)).unwrap();
        job.task = TaskName::new(self.of(&TASKS)).unwrap();
        let tags = (0..self.below(4)).map(|_| self.of(&WORDS));
        job.tags = Tags::of(tags).unwrap();
        let argument = serde_json::json!({ "word": self.of(&WORDS), "n": self.below(10) });
        job.args = Args::encode(&argument).unwrap();
        if self.once_in(4) {
            job.run_at = Some(job.created_at + Duration::from_secs(3_600));
        }
        job
    }

    /// Records so many jobs, each of which comes by some state.
    pub(crate) async fn populate(&self, case: &StoreCase, count: usize) {
        let jobs: Vec<Job> = (0..count).map(|_| self.job(case)).collect();
        case.record(&jobs, None).await;
        let owner = case.owner().await.id;
        let started = jobs
            .iter()
            .filter(|job| job.run_at.is_none() && !self.once_in(4));
        let started: Vec<(&Job, u32)> = started.map(|job| (job, 1)).collect();
        let answers = case.claim_all(&started, owner, count).await;
        let mut settles = Vec::new();
        for ((job, _), answer) in started.iter().zip(answers) {
            let ClaimAnswer::Run { epoch, .. } = answer.unwrap() else {
                panic!("a new job runs");
            };
            let later = Duration::from_secs(3_600);
            let outcome = match self.below(6) {
                0 => success(),
                1 => fatal(&case.env, 1),
                2 => retry(&case.env, 1, later),
                3 => release(),
                4 => bananas_core::Outcome::Cancelled,
                _ => continue,
            };
            settles.push(JobSettle {
                job: job.reference(),
                epoch,
                outcome,
            });
        }
        for settled in case.store.jobs().settle(settles).await {
            settled.unwrap();
        }
        let cancelled: Vec<JobId> = jobs
            .iter()
            .filter(|_| self.once_in(10))
            .map(|job| job.id)
            .collect();
        let index = case.store.index();
        index.alter(&cancelled, Alteration::Cancel).await.unwrap();
    }

    /// A filter that asks for what some of these jobs have.
    pub(crate) fn filter(&self, jobs: &[JobRecord]) -> JobFilter {
        let mut filter = JobFilter::default();
        let some = &jobs[self.below(jobs.len())];
        for _ in 0..self.below(4) {
            match self.below(6) {
                0 => filter
                    .states
                    .push(JobState::ALL[self.below(JobState::ALL.len())]),
                1 => filter.queue = Some(some.queue.clone()),
                2 => filter.task = Some(some.task.clone()),
                3 => filter.tags.push(Tag::new(self.of(&WORDS)).unwrap()),
                4 => self.restrict_times(&mut filter, jobs),
                _ => filter.text = Some(self.text(some)),
            }
        }
        filter
    }

    /// The bounds are times of jobs, so that it matters which side of them counts.
    fn restrict_times(&self, filter: &mut JobFilter, jobs: &[JobRecord]) {
        let some = || &jobs[self.below(jobs.len())];
        let created = || Some(some().created_at);
        let finished = || -> Option<Timestamp> { some().standing.finished_at };
        match self.below(4) {
            0 => filter.created_after = created(),
            1 => filter.created_before = created(),
            2 => (filter.created_after, filter.created_before) = (created(), created()),
            _ => (filter.finished_after, filter.finished_before) = (finished(), finished()),
        }
    }

    fn text(&self, job: &JobRecord) -> SearchText {
        match self.below(4) {
            0 => SearchText::new(self.of(&WORDS)),
            1 => SearchText::new(&self.of(&WORDS).to_uppercase()),
            2 => SearchText::new(&job.id.to_string()[..self.below(36)]),
            _ => SearchText::new("\"n\":3"),
        }
    }
}
