//! Workers are killed one after the other, and the record of enqueuer and handlers is judged.
//!
//! The program starts itself again as each of the workers. What they write down survives them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test may"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bananas::config::Config;
use bananas::prelude::*;
use bananas::{JobFilter, JobState, TaskError};
use bananas_core::Env;
use conformance_tests::judge::{
    Cause, Enqueue, Finish, HistoryEnd, HistoryFile, Job, Name, Place, Proof, Rules, Start, What,
    Witness, judge, read_files,
};
use libtest_mimic::{Arguments, Trial};

/// Its presence makes the program a worker of this name.
const NAME: &str = "BANANAS_TEST_WORKER_NAME";
/// The folder of the database and of the histories.
const FOLDER: &str = "BANANAS_TEST_WORKER_FOLDER";

const JOBS: usize = 400;
const KILLS: usize = 6;

/// What the handlers of this process write down, and under which name.
static RECORD: OnceLock<(HistoryFile, Name)> = OnceLock::new();

#[derive(Task, Serialize, Deserialize)]
#[task(name = "judged.work")]
struct Work {
    number: usize,
}

async fn work(work: Work, State(env): State<Arc<dyn Env>>, context: JobContext) -> TaskResult {
    let (history, owner) = RECORD.get().unwrap();
    let (job, run) = (Job::from(context.id()), context.fencing_token());
    history.record(What::Start(Start {
        job,
        run,
        owner: Name::clone(owner),
        attempt: Some(context.attempt()),
        epoch: Some(run),
        lease_until: None,
        body: Some(work.number as u64),
    }));
    env.sleep(Duration::from_millis(20)).await;
    let fails = work.number % 10 == 3 && context.attempt() == 1;
    let finish = match fails {
        true => Finish::Failed,
        false => Finish::Succeeded,
    };
    history.record(What::End { job, run, finish });
    match fails {
        true => Err(TaskError::retry_after(
            Duration::from_millis(50),
            "the first time fails",
        )),
        false => Ok(()),
    }
}

fn config(folder: &Path) -> Config {
    let url = format!("sqlite://{}", folder.join("jobs.db").display());
    let text = format!("[broker]\nurl = {url:?}\n[worker]\nconcurrency = 8\n");
    Config::read("test", &text, []).unwrap()
}

fn history(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).with_extension("jsonl")
}

#[tokio::main]
async fn worker(name: &str) -> Result<(), bananas::Error> {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let file = HistoryFile::create(history(&folder, name)).unwrap();
    RECORD.set((file, name.into())).unwrap();
    let app = App::open(config(&folder)).await?;
    let until = bananas::shutdown_signal();
    let env = Arc::clone(app.env());
    app.worker().state(env).handle(work).run_until(until).await
}

/// The workers that run, and the record of who was killed.
struct Crew<'a> {
    folder: &'a Path,
    record: &'a HistoryFile,
    started: usize,
    running: Vec<(Name, Child)>,
}

impl Crew<'_> {
    fn start(&mut self) {
        self.started += 1;
        let name = format!("worker-{}", self.started);
        let child = Command::new(std::env::current_exe().unwrap())
            .env(NAME, &name)
            .env(FOLDER, self.folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let owner: Name = name.into();
        self.record.record(What::ProcessStart {
            owner: Name::clone(&owner),
        });
        self.running.push((owner, child));
    }

    /// Kills the oldest. Its end is recorded before and after: neither a run that begins in between nor one
    /// that repeats it at once is without its cause.
    fn kill(&mut self) {
        let (owner, mut child) = self.running.remove(0);
        self.ended(&owner, true);
        child.kill().unwrap();
        child.wait().unwrap();
        self.ended(&owner, true);
    }

    fn shut_down(&mut self) {
        for (owner, mut child) in std::mem::take(&mut self.running) {
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            assert!(child.wait().unwrap().success(), "{owner} ends well");
            self.ended(&owner, false);
        }
    }

    fn ended(&self, owner: &Name, killed: bool) {
        let owner = Name::clone(owner);
        self.record.record(What::ProcessEnd { owner, killed });
    }
}

async fn enqueue_all(app: &App, record: &HistoryFile) {
    for number in 0..JOBS {
        let id = app.env().job_id();
        let job = Job::from(id);
        record.record(What::Enqueue(Enqueue {
            job,
            queue: "default".into(),
            key: None,
            priority: 50,
            delayed: false,
            body: number as u64,
        }));
        app.client().enqueue(Work { number }).id(id).await.unwrap();
        record.record(What::Accepted { job });
    }
}

/// Waits until at most so many jobs are open.
async fn open_jobs_fall_to(app: &App, jobs: usize) {
    let deadline = app.env().monotonic() + Duration::from_secs(120);
    let index = app.client().jobs().unwrap();
    loop {
        let counts = index.counts().await.unwrap();
        let open = counts.iter().filter(|count| !count.state.is_terminal());
        let open: u64 = open.map(|count| count.jobs).sum();
        if open <= jobs as u64 {
            return;
        }
        let now = app.env().monotonic();
        assert!(now < deadline, "{open} jobs are open and not {jobs}");
        index.watch(Duration::from_millis(20)).await.unwrap();
    }
}

async fn list(app: &App, record: &HistoryFile) {
    let index = app.client().jobs().unwrap();
    let page = index.query(&JobFilter::default(), None, 2 * JOBS).await;
    for found in page.unwrap().jobs {
        let place = match found.standing.state {
            JobState::Succeeded => Place::Succeeded,
            JobState::Dead => Place::Dead,
            other => panic!("{other:?} is no end"),
        };
        let job = Job::from(found.id);
        record.record(What::Found { job, place });
    }
}

#[tokio::main]
async fn no_job_is_lost_and_none_runs_twice_without_a_cause_while_workers_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let record = HistoryFile::create(history(folder, "client")).unwrap();
    record.record(What::Promised(Box::new(Rules {
        dedupe: true,
        tracked: true,
        proof: Proof::Runs,
        end: HistoryEnd::Drained,
        ..Rules::default()
    })));
    let app = App::open(config(folder)).await.unwrap();
    let mut crew = Crew {
        folder,
        record: &record,
        started: 0,
        running: Vec::new(),
    };
    crew.start();
    crew.start();
    enqueue_all(&app, &record).await;
    for kill in 1..=KILLS {
        open_jobs_fall_to(&app, JOBS - kill * JOBS / (KILLS + 1)).await;
        crew.kill();
        crew.start();
    }
    open_jobs_fall_to(&app, 0).await;
    crew.shut_down();
    list(&app, &record).await;

    let workers = (1..=crew.started).map(|n| history(folder, &format!("worker-{n}")));
    let files = workers.filter(|path| path.exists());
    let events = read_files(files.chain([history(folder, "client")])).unwrap();
    let verdict = judge(&events, &Rules::promised(&events));
    verdict.assert_clean();
    assert_eq!(verdict.counts.ok, JOBS as u64, "{verdict}");
    assert!(verdict.explained(Cause::Killed) > 0, "{verdict}");
}

fn main() {
    if let Ok(name) = std::env::var(NAME) {
        worker(&name).unwrap();
        return;
    }
    let trials = vec![Trial::test(
        "no_job_is_lost_and_none_runs_twice_without_a_cause_while_workers_are_killed",
        || {
            no_job_is_lost_and_none_runs_twice_without_a_cause_while_workers_are_killed();
            Ok(())
        },
    )];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
