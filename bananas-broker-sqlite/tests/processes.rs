//! Several real processes on one file: one is killed in a storm of writes, and wake-ups cross processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::field_reassign_with_default,
    reason = "a test fails by panicking; the configuration cannot be written as one value from outside"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_sqlite::{SqliteConfig, SqliteEngine};
use bananas_core::{
    Args, Env, Job, JobId, JobState, Ledger, Outcome, Owner, QueueName, SourceSpec, TokioEnv,
};
use bytes::Bytes;

/// Makes this test binary a child that plays the role named in it.
const ROLE: &str = "BANANAS_SQLITE_TEST_ROLE";
const FILE: &str = "BANANAS_SQLITE_TEST_FILE";
const PATIENCE: Duration = Duration::from_secs(30);

fn mail() -> QueueName {
    QueueName::new("mail").unwrap()
}

fn job(env: &dyn Env) -> Job {
    let args = Args::from_json("{\"user_id\":42}").unwrap();
    let mut job = Job::new(
        env.job_id(),
        "email.welcome".parse().unwrap(),
        args,
        env.now(),
    );
    job.queue = mail();
    job
}

async fn open(file: &Path, env: &Arc<dyn Env>) -> Arc<SqliteEngine> {
    let mut config = SqliteConfig::default();
    config.path = file.to_owned();
    SqliteEngine::open(config, Arc::clone(env)).await.unwrap()
}

async fn enlisted(ledger: &Arc<dyn Ledger>, env: &dyn Env) -> Owner {
    let owner = Owner {
        id: env.owner_id(),
        host: "here".to_owned(),
        boot_id: String::new(),
        pid: std::process::id(),
        pid_started: 0,
    };
    ledger.renew(&owner, PATIENCE).await.unwrap();
    owner
}

/// Starts this binary again, running only the test that plays the roles.
fn child(role: &str, file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "plays_a_role_as_a_child_process", "--nocapture"])
        .env(ROLE, role)
        .env(FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn plays_a_role_as_a_child_process() {
    let (Ok(role), Some(file)) = (std::env::var(ROLE), std::env::var_os(FILE)) else {
        return;
    };
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let engine = open(Path::new(&file), &env).await;
    match role.as_str() {
        "storm" => storm(&engine.ledger(), &env).await,
        "echo" => echo(&engine.ledger(), &env).await,
        _ => panic!("role {role:?} is unknown"),
    }
}

/// Enqueues and settles without end; says on stdout what was answered `Ok`.
async fn storm(ledger: &Arc<dyn Ledger>, env: &Arc<dyn Env>) {
    let owner = enlisted(ledger, &**env).await;
    let mut source = ledger.open(SourceSpec::new(mail(), owner)).await.unwrap();
    loop {
        let jobs: Vec<Job> = (0..20).map(|_| job(&**env)).collect();
        for accepted in ledger.enqueue(jobs).await {
            println!("accepted {}", accepted.unwrap().id);
        }
        let claimed = source.next(10, 1, PATIENCE).await.unwrap();
        let ids: Vec<JobId> = claimed.iter().map(|claimed| claimed.job.id).collect();
        let ends = claimed.into_iter().map(|claimed| {
            let result = Bytes::from_static(b"1");
            (claimed, Outcome::Succeeded { result })
        });
        for (settled, id) in ledger.settle(ends.collect()).await.into_iter().zip(ids) {
            settled.unwrap();
            println!("settled {id}");
        }
    }
}

/// Answers each job with another one; to be killed when it is no longer needed.
async fn echo(ledger: &Arc<dyn Ledger>, env: &Arc<dyn Env>) {
    let owner = enlisted(ledger, &**env).await;
    let mut source = ledger.open(SourceSpec::new(mail(), owner)).await.unwrap();
    println!("listening");
    loop {
        for claimed in source.next(10, 1, Duration::from_secs(1)).await.unwrap() {
            let mut answer = job(&**env);
            answer.queue = QueueName::new("answers").unwrap();
            ledger.enqueue(vec![answer]).await.remove(0).unwrap();
            let result = Bytes::from_static(b"1");
            ledger
                .settle(vec![(claimed, Outcome::Succeeded { result })])
                .await;
        }
    }
}

/// The id in a line such as `accepted ID`, where the test harness may have put its own words before.
fn id_after(line: &str, word: &str) -> Option<JobId> {
    line.split(word).nth(1)?.trim().parse().ok()
}

#[tokio::test]
async fn what_a_killed_process_was_promised_is_there_and_the_file_is_sound() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("jobs.db");
    for round in 0..3 {
        let mut storm = child("storm", &file);
        let mut lines = BufReader::new(storm.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let (mut accepted, mut settled) = (Vec::new(), Vec::new());
        let sort = |line: &str, accepted: &mut Vec<JobId>, settled: &mut Vec<JobId>| {
            accepted.extend(id_after(line, "accepted "));
            settled.extend(id_after(line, "settled "));
        };
        while settled.len() < 150 {
            let line = lines.next().expect("the storm ended by itself");
            sort(&line, &mut accepted, &mut settled);
        }
        storm.kill().unwrap();
        // What it said before it died counts, too.
        for line in lines {
            sort(&line, &mut accepted, &mut settled);
        }
        storm.wait().unwrap();
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let engine = open(&file, &env).await;
        let store = engine.store();
        let found = store.index().get(&accepted).await.unwrap();
        assert!(
            found.iter().all(Option::is_some),
            "round {round}: an accepted job is gone"
        );
        for job in store.index().get(&settled).await.unwrap() {
            assert_eq!(
                job.unwrap().standing.state,
                JobState::Succeeded,
                "round {round}"
            );
        }
        store.close(PATIENCE).await.unwrap();
        let file = rusqlite::Connection::open(&file).unwrap();
        let check: String = file
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok", "round {round}");
        let wrong: i64 = file
            .query_row(
                "SELECT (SELECT sum(jobs) FROM counts) - (SELECT count(*) FROM jobs)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(wrong, 0, "round {round}: counts are exact");
    }
}

#[tokio::test]
async fn a_job_wakes_a_worker_in_another_process() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("jobs.db");
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let ledger = open(&file, &env).await.ledger();
    let owner = enlisted(&ledger, &*env).await;
    let mut other = child("echo", &file);
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("listening") {}
    let answers = SourceSpec::new(QueueName::new("answers").unwrap(), owner);
    let mut source = ledger.open(answers).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..30 {
        let start = env.monotonic();
        ledger.enqueue(vec![job(&*env)]).await.remove(0).unwrap();
        let answer = source.next(1, 1, PATIENCE).await.unwrap();
        assert_eq!(answer.len(), 1);
        times.push(env.monotonic().since(start));
    }
    other.kill().unwrap();
    other.wait().unwrap();
    times.sort();
    println!(
        "there and back: median {:?}, longest {:?}",
        times[15], times[29]
    );
    assert!(times[29] < Duration::from_secs(10));
}
