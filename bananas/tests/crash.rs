//! Worker processes that die, and what becomes of their jobs.
//!
//! The program starts itself again as the worker that dies.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test may"
)]

use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bananas::config::Config;
use bananas::prelude::*;
use bananas::{DeadReason, JobFilter, JobRecord, JobState, TaskError};
use libtest_mimic::{Arguments, Trial};

/// Its presence makes the program a worker on the database it names.
const CHILD_URL: &str = "BANANAS_TEST_CHILD_URL";
/// How many workers have died before this one.
const CHILD_DEATHS: &str = "BANANAS_TEST_CHILD_DEATHS";

const INNOCENT: usize = 200;

/// How many jobs are in this process's hands.
static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

#[derive(Task, Serialize, Deserialize)]
#[task(name = "crash.innocent")]
struct Innocent {
    number: usize,
}

#[derive(Task, Serialize, Deserialize)]
#[task(name = "crash.deadly")]
struct Deadly;

fn deaths() -> usize {
    std::env::var(CHILD_DEATHS).unwrap().parse().unwrap()
}

async fn innocent(_job: Innocent, context: JobContext) -> TaskResult {
    IN_FLIGHT.fetch_add(1, Ordering::SeqCst);
    if deaths() == 0 {
        // In flight until the process dies.
        context.cancelled().await;
        return Err(TaskError::fatal("the first worker was to die"));
    }
    Ok(())
}

async fn deadly(_job: Deadly) -> TaskResult {
    while deaths() == 0 && IN_FLIGHT.load(Ordering::SeqCst) < INNOCENT {
        tokio::task::yield_now().await;
    }
    std::process::abort();
}

fn config(url: &str) -> Config {
    let text = format!("[broker]\nurl = {url:?}\n[worker]\nconcurrency = 250\n");
    Config::read("test", &text, []).unwrap()
}

#[tokio::main]
async fn worker(url: &str) -> Result<(), bananas::Error> {
    let app = App::open(config(url)).await?;
    let until = bananas::shutdown_signal();
    app.worker()
        .handle(innocent)
        .handle(deadly)
        .run_until(until)
        .await
}

fn start(url: &str, deaths: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(CHILD_URL, url)
        .env(CHILD_DEATHS, deaths.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

async fn open_jobs(app: &App) -> u64 {
    let counts = app.client().jobs().unwrap().counts().await.unwrap();
    counts
        .iter()
        .filter(|count| !count.state.is_terminal())
        .map(|count| count.jobs)
        .sum()
}

/// Restarts the worker as often as it dies, until every job has ended; answers the deaths.
async fn run_to_the_end(app: &App, url: &str) -> usize {
    let deadline = app.env().monotonic() + Duration::from_secs(120);
    let mut deaths = 0;
    let mut child = start(url, deaths);
    while open_jobs(app).await > 0 {
        assert!(
            app.env().monotonic() < deadline,
            "jobs are still open after {deaths} deaths"
        );
        let ended: Option<ExitStatus> = child.try_wait().unwrap();
        if let Some(status) = ended {
            assert!(
                status.code().is_none(),
                "the worker ended by itself: {status}"
            );
            deaths += 1;
            child = start(url, deaths);
        }
        app.client()
            .jobs()
            .unwrap()
            .watch(Duration::from_millis(50))
            .await
            .unwrap();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(
        child.wait().unwrap().success(),
        "a worker without jobs ends well"
    );
    deaths
}

#[tokio::main]
async fn the_job_that_kills_its_worker_three_times_is_dead_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("jobs.db").display());
    let app = App::open(config(&url)).await.unwrap();
    for job in app
        .client()
        .enqueue_many((0..INNOCENT).map(|number| Innocent { number }))
        .await
    {
        job.unwrap();
    }
    let deadly = app.client().enqueue(Deadly).await.unwrap();

    assert_eq!(run_to_the_end(&app, &url).await, 3);

    let index = app.client().jobs().unwrap();
    let page = index
        .query(&JobFilter::default(), None, 1_000)
        .await
        .unwrap();
    assert_eq!(page.jobs.len(), INNOCENT + 1);
    let (dead, ended): (Vec<JobRecord>, Vec<JobRecord>) = page
        .jobs
        .into_iter()
        .partition(|job| job.standing.state == JobState::Dead);
    assert_eq!(
        dead.iter().map(|job| job.id).collect::<Vec<_>>(),
        [deadly.id()]
    );
    assert_eq!(dead[0].standing.reason, Some(DeadReason::Poison));
    assert_eq!(dead[0].standing.crashes, 3);
    assert_eq!(
        dead[0].errors.len(),
        3,
        "each crash is listed: {:?}",
        dead[0].errors
    );
    for job in ended {
        assert_eq!(job.standing.state, JobState::Succeeded, "{:?}", job.errors);
        assert!(
            job.standing.crashes <= 1,
            "an innocent job collects one crash at most"
        );
        assert_eq!(job.standing.failed_attempts, 0, "a crash uses no attempt");
    }
}

fn main() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        worker(&url).unwrap();
        return;
    }
    let trials = vec![Trial::test(
        "the_job_that_kills_its_worker_three_times_is_dead_and_no_other",
        || {
            the_job_that_kills_its_worker_three_times_is_dead_and_no_other();
            Ok(())
        },
    )];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
