//! Workers that do everything at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bananas_core::{Alteration, Claimed, Env, JobFilter, JobId, JobSettled, JobState, OwnerId};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::hand_worker::{HandWorker, LONG_LEASE};
use crate::outcomes::{fatal, release, release_for, retry, success};
use crate::patience::Patience;
use crate::race::all_at_once;
use crate::storm::assert_sound;

checks!(LedgerCase:
    after_a_storm_of_workers_every_job_has_ended_once_and_the_counts_are_exact,
);

/// What all workers of a storm know.
#[derive(Default)]
struct World {
    /// Who runs a job, as far as its worker knows.
    running: HashMap<JobId, OwnerId>,
    /// Owners whose process is dead.
    dead: HashSet<OwnerId>,
    runs: HashSet<(JobId, u64)>,
    ends: HashSet<(JobId, u64)>,
}

struct Stormer {
    env: Arc<dyn Env>,
    world: Arc<Mutex<World>>,
    worker: HandWorker,
    /// How many of its runs go wrong in one way or the other.
    trouble: u64,
}

impl Stormer {
    /// Takes some jobs, and lets their runs end in all ways there are.
    async fn work(&mut self) {
        let claimed = self.worker.look(5).await;
        {
            let mut world = self.world.lock().unwrap();
            for run in &claimed {
                let new = world.runs.insert((run.job.id, run.epoch));
                assert!(new, "epoch {} was granted twice", run.epoch);
                let before = world.running.insert(run.job.id, run.owner);
                let alone = before.is_none_or(|owner| world.dead.contains(&owner));
                assert!(alone, "{} runs twice at once", run.job.id);
            }
        }
        for run in claimed {
            self.end(&run).await;
        }
    }

    async fn end(&mut self, run: &Claimed) {
        let id = run.job.id;
        let soon = Duration::from_millis(self.env.random() % 20);
        let outcome = match self.env.random() % 12 {
            chance if chance >= self.trouble => success(),
            0 => fatal(&self.env, run.attempt),
            1 | 2 => retry(&self.env, run.attempt, soon),
            3 => release(),
            4 => release_for(&self.env, soon, "a storm"),
            _ => {
                let index = self.worker.ledger.index().unwrap();
                index.alter(&[id], Alteration::Cancel).await.unwrap();
                release()
            }
        };
        // Nobody else may have it before this is settled, and somebody may as soon as it is.
        self.world.lock().unwrap().running.remove(&id);
        let settled = self.worker.settle(run, outcome).await;
        assert!(matches!(settled, JobSettled::Settled(_)), "{settled:?}");
        let new = self.world.lock().unwrap().ends.insert((id, run.epoch));
        assert!(new, "epoch {} ended twice", run.epoch);
    }
}

/// Works for a while; one process dies on the way with what it has just taken.
async fn storm(mut stormer: Stormer, other: HandWorker, steps: usize) {
    for _ in 0..steps {
        stormer.work().await;
    }
    let taken = stormer.worker.look(2).await;
    {
        let mut world = stormer.world.lock().unwrap();
        world.dead.insert(stormer.worker.owner.id);
        for run in taken {
            world.running.insert(run.job.id, run.owner);
        }
    }
    let dying = std::mem::replace(&mut stormer.worker, other);
    dying.die().await;
    for _ in 0..steps {
        stormer.work().await;
    }
}

/// Proves L22, L30, S1, S2, S30, S40, S62.
async fn after_a_storm_of_workers_every_job_has_ended_once_and_the_counts_are_exact(
    case: LedgerCase,
) {
    let clients = [Arc::clone(&case.ledger), case.second_client().await];
    let world = Arc::new(Mutex::default());
    let stormer = |worker, trouble| Stormer {
        env: Arc::clone(&case.env),
        world: Arc::clone(&world),
        worker,
        trouble,
    };
    let all = case.enqueue_all(case.jobs(200)).await;
    let mut storms = Vec::new();
    for n in 0..4 {
        let worker = case.worker_on(&clients[n % 2], LONG_LEASE).await;
        let next = case.worker_on(&clients[n % 2], LONG_LEASE).await;
        storms.push(storm(stormer(worker, 6), next, 10));
    }
    all_at_once(&case.env, storms).await;
    let patience = Patience::new(&case.env);
    let mut last = stormer(case.worker().await, 0);
    loop {
        last.work().await;
        let found = case.index().get(&all).await.unwrap();
        let ended = |found: &bananas_core::JobRecord| found.standing.state.is_terminal();
        if found.iter().flatten().all(ended) {
            break;
        }
        patience.check("all jobs have ended");
    }
    let page = case.index().query(&JobFilter::default(), None, 1_000).await;
    let mut listed = BTreeMap::<JobState, u64>::new();
    for job in page.unwrap().jobs {
        assert_sound(&job);
        *listed.entry(job.standing.state).or_default() += 1;
    }
    let counts = case.index().counts().await.unwrap();
    let counts = counts.iter().map(|count| (count.state, count.jobs));
    assert_eq!(counts.collect::<BTreeMap<_, _>>(), listed);
    assert_eq!(listed.values().sum::<u64>(), 200);
}
