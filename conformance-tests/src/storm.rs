//! Clients that do whatever can be done to a store, in random order, and what must be true of it all the same.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bananas_core::{
    Alteration, Args, CRASH_LIMIT, ClaimAnswer, Codec, DeadReason, Due, Env, Job, JobId, JobRecord,
    JobSettled, JobState, JsonCodec, Lost, NewRecord, Outcome, OwnerId, Publication, QueueName,
    Renewed, TaskName,
};

use crate::case::StoreCase;
use crate::hand_worker::{LONG_LEASE, new_owner};
use crate::outcomes::{fatal, release, release_for, retry, success};
use crate::store_client::StoreClient;

/// What all clients of a storm know.
#[derive(Clone, Default)]
pub(crate) struct World {
    jobs: Arc<Mutex<Vec<Job>>>,
    /// Each run that was ever granted.
    runs: Arc<Mutex<HashSet<(JobId, u64)>>>,
    /// Each run whose end counted.
    ends: Arc<Mutex<HashSet<(JobId, u64)>>>,
}

/// One client of a storm, with an owner whose process dies now and then.
pub(crate) struct Stormer {
    env: Arc<dyn Env>,
    client: StoreClient,
    world: World,
    owner: OwnerId,
    running: Vec<(Job, u64)>,
    seen: HashMap<JobId, JobRecord>,
}

impl Stormer {
    pub(crate) fn new(case: &StoreCase, client: StoreClient, world: &World) -> Self {
        Self {
            env: Arc::clone(&case.env),
            client,
            world: world.clone(),
            owner: case.env.owner_id(),
            running: Vec::new(),
            seen: HashMap::new(),
        }
    }

    /// Does so many things, and answers the owner that it leaves behind.
    pub(crate) async fn rage(mut self, steps: usize) -> OwnerId {
        self.enlist().await;
        for _ in 0..steps {
            match self.env.random() % 16 {
                0..3 => self.record().await,
                3..7 => self.claim().await,
                7..11 => self.settle().await,
                11 => self.alter().await,
                12 => self.due().await,
                13 => self.lost().await,
                14 => self.look().await,
                _ => self.die().await,
            }
        }
        self.owner
    }

    fn chance(&self, of: usize) -> usize {
        usize::try_from(self.env.random() % of as u64).unwrap()
    }

    /// One of the jobs of all clients.
    fn some_job(&self) -> Option<Job> {
        let jobs = self.world.jobs.lock().unwrap();
        let nth = self.chance(jobs.len().max(1));
        jobs.get(nth).cloned()
    }

    async fn enlist(&mut self) {
        let owner = new_owner(&self.env);
        self.owner = owner.id;
        let renewed = self.client.clone().renew(owner, LONG_LEASE).await;
        assert!(matches!(renewed, Renewed::Held { .. }), "{renewed:?}");
    }

    async fn record(&mut self) {
        let now = self.env.now();
        let args = Args::from_json("null").unwrap();
        let task = TaskName::new("conformance.task").unwrap();
        let mut job = Job::new(self.env.job_id(), task, args, now);
        job.queue = QueueName::new(["jobs", "jobs.other"][self.chance(2)]).unwrap();
        match self.chance(8) {
            0 => job.run_at = Some(now + Duration::from_millis(5)),
            1 => job.expires_at = Some(now + Duration::from_millis(5)),
            _ => {}
        }
        let body = JsonCodec.encode(&job).unwrap();
        let record = NewRecord::of(&job, body, now);
        self.client.clone().record(record).await;
        self.world.jobs.lock().unwrap().push(job);
    }

    async fn claim(&mut self) {
        let Some(job) = self.some_job() else { return };
        let answer = self.client.clone().claim(job.clone(), self.owner).await;
        if let ClaimAnswer::Run { epoch, .. } = answer {
            let new = self.world.runs.lock().unwrap().insert((job.id, epoch));
            assert!(new, "epoch {epoch} of {} was granted twice", job.id);
            self.running.push((job, epoch));
        }
    }

    async fn settle(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let nth = self.chance(self.running.len());
        let (job, epoch) = self.running[nth].clone();
        let soon = Duration::from_millis(self.env.random() % 10);
        let outcome = match self.chance(8) {
            0 => fatal(&self.env, 1),
            1 | 2 => retry(&self.env, 1, soon),
            3 => release(),
            4 => release_for(&self.env, soon, "a storm"),
            5 => Outcome::Cancelled,
            _ => success(),
        };
        let settled = self.client.clone().settle(job.clone(), epoch, outcome);
        if let JobSettled::Settled(_) = settled.await {
            let new = self.world.ends.lock().unwrap().insert((job.id, epoch));
            assert!(new, "epoch {epoch} of {} ended twice", job.id);
        }
        // Now and then it is settled once more.
        if self.chance(3) > 0 {
            self.running.swap_remove(nth);
        }
    }

    async fn alter(&mut self) {
        let Some(job) = self.some_job() else { return };
        let alteration = [Alteration::Cancel, Alteration::Retry][self.chance(2)];
        self.client.clone().alter(job.id, alteration).await;
    }

    fn publication(&self) -> Publication {
        Publication {
            id: self.env.batch_id(),
            owner: new_owner(&self.env),
        }
    }

    async fn due(&mut self) {
        let publication = self.publication();
        let due = Due {
            now: self.env.now(),
            max: 10,
            publication: Some(publication.clone()),
        };
        self.client.clone().due(due).await;
        if self.chance(2) == 0 {
            self.client.clone().confirm(publication.id).await;
        }
    }

    async fn lost(&mut self) {
        let lost = Lost {
            now: self.env.now(),
            open_for: Duration::from_millis(20),
            gone: HashSet::new(),
            evidence: vec![QueueName::new("jobs").unwrap()],
            max: 10,
            publication: self.publication(),
        };
        self.client.clone().lost(lost).await;
    }

    /// Looks at a job: what it is now must follow from what it was.
    async fn look(&mut self) {
        for _ in 0..5 {
            let Some(job) = self.some_job() else { return };
            let mut found = self.client.0.index().get(&[job.id]).await.unwrap();
            let now = found.remove(0).expect("nothing was dropped or pruned");
            assert_sound(&now);
            if let Some(before) = self.seen.insert(job.id, now.clone()) {
                let (old, new) = (&before.standing, &now.standing);
                assert!(new.epoch >= old.epoch, "{before:?}, and then {now:?}");
                assert!(new.copy >= old.copy, "{before:?}, and then {now:?}");
                if old.state == JobState::Succeeded {
                    assert_eq!(now, before, "a success is for ever");
                }
            }
        }
    }

    /// Its process dies, and a new one takes its place.
    async fn die(&mut self) {
        self.client.clone().retire(self.owner).await;
        self.enlist().await;
    }
}

/// Checks that the parts of a record go together.
pub(crate) fn assert_sound(record: &JobRecord) {
    let standing = &record.standing;
    let state = standing.state;
    let running = state == JobState::Running;
    let waits = matches!(state, JobState::Scheduled | JobState::Retrying);
    let succeeded = state == JobState::Succeeded;
    let dead = state == JobState::Dead;
    let poison = standing.reason == Some(DeadReason::Poison);
    let failures = standing.failed_attempts + standing.crashes;
    let errors = u32::try_from(record.errors.len()).unwrap();
    for (holds, rule) in [
        (standing.owner.is_some() == running, "who runs has an owner"),
        (standing.run_at.is_some() == waits, "who waits has a time"),
        (
            standing.finished_at.is_some() == state.is_terminal(),
            "what has ended has a time of its end",
        ),
        (record.result.is_some() == succeeded, "success and result"),
        (standing.reason.is_some() == dead, "death and its reason"),
        (standing.crashes <= CRASH_LIMIT, "crashes have a limit"),
        (
            poison == (standing.crashes == CRASH_LIMIT),
            "the last crash is poison",
        ),
        (running || !standing.cancel_requested, "a wish is for a run"),
        (
            (standing.epoch > 0) == record.started_at.is_some(),
            "a run has a start",
        ),
        (
            standing.epoch >= u64::from(failures),
            "a failure needs a run",
        ),
        (errors >= failures.min(20), "each failure has its error"),
    ] {
        assert!(holds, "{rule}: {record:?}");
    }
}
