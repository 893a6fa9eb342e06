//! The same commands on every kind of server, with nothing changed but the URL of the broker. Those that record no
//! jobs have a file beside them for it.

use std::io::Write;

use crate::stage::{Stage, TASKS};

/// A place of its own on the server that this variable names; `None`, said aloud, where there is none and need not
/// be.
fn stage(variable: &str, tasks: &str) -> Option<Stage> {
    let Ok(url) = std::env::var(variable) else {
        let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
        assert!(!required, "{variable} names no server");
        let said = writeln!(std::io::stderr(), "SKIPPED: {variable} names no server");
        said.unwrap();
        return None;
    };
    // An emulator of SQS is named as AWS names endpoints.
    let url = match url.strip_prefix("http://") {
        Some(address) => format!("sqs://KEY:SECRET@{address}?region=us-east-1"),
        None => url,
    };
    // Folders for tests have names that never come again, and the server may be an old one.
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().file_name().unwrap().to_string_lossy();
    let namespace = format!("test{}", name.trim_start_matches('.'));
    let config = format!("[broker]\nurl = \"{url}\"\nnamespace = \"{namespace}\"\n{tasks}");
    Some(Stage::with(&config))
}

/// Jobs that succeed, fail, are tried again, wait, and are cancelled.
fn run_jobs(stage: &Stage) {
    stage.run(&["config", "check"]).ok();
    let mut worker = stage.worker("one", &[]);
    let hello = ["enqueue", "hello", "{\"name\": \"you\"}", "--wait"];
    let done = stage.run(&hello).ok();
    assert!(done.stdout.contains("hello, you"), "{done:?}");
    stage.run(&["enqueue", "fail", "--wait"]).ends_with(3);
    let dead = stage.run(&["dead", "list", "--json"]).ok().json_lines();
    assert_eq!(dead.len(), 1);
    let id = dead[0]["id"].as_str().unwrap();
    stage.run(&["dead", "retry", id]).ok();
    stage.until_state(id, "dead");
    let later = stage.enqueue(&["hello", "{\"name\": \"later\"}", "--delay", "1h"]);
    stage.until_state(&later, "scheduled");
    stage.run(&["jobs", "cancel", &later]).ok();
    stage.until_state(&later, "cancelled");
    let soon = "{\"name\": \"soon\"}";
    let soon = ["enqueue", "hello", soon, "--delay", "100ms", "--wait"];
    stage.run(&soon).ok();
    let queues = stage.run(&["queues", "--json"]).ok().json();
    let counts = &queues["queues"][0]["counts"];
    assert_eq!(
        (&counts["succeeded"], &counts["cancelled"]),
        (&2.into(), &1.into())
    );
    assert_eq!(queues["workers"].as_array().unwrap().len(), 1);
    stage.run(&["wait"]).ok();
    worker.signal(stage, rustix::process::Signal::TERM);
    assert_eq!(worker.ended(stage), Some(0));
}

fn run_demo(variable: &str) {
    let Some(stage) = stage(variable, "") else {
        return;
    };
    std::fs::create_dir(stage.path("files")).unwrap();
    for number in 0..40 {
        let path = stage.path(&format!("files/{number}"));
        std::fs::write(path, format!("{number}\n")).unwrap();
    }
    let report = stage.run(&["demo", "files", "--json", "--verify"]);
    let report = report.ok().json();
    for (name, number) in [("succeeded", 40), ("lost", 0), ("killed_workers", 1)] {
        assert_eq!(report[name], number, "{name} in {report}");
    }
    // A demo must never meet the jobs that its user has.
    assert!(!stage.path("bananas.db").exists());
}

#[test]
fn the_same_jobs_run_on_redis() {
    if let Some(stage) = stage("BANANAS_TEST_REDIS_URL", TASKS) {
        run_jobs(&stage);
        assert!(!stage.path("bananas.db").exists());
    }
}

#[test]
fn the_same_jobs_run_on_rabbitmq() {
    if let Some(stage) = stage("BANANAS_TEST_AMQP_URL", TASKS) {
        run_jobs(&stage);
        assert!(stage.path("bananas.db").exists());
    }
}

#[test]
fn the_same_jobs_run_on_nats() {
    if let Some(stage) = stage("BANANAS_TEST_NATS_URL", TASKS) {
        run_jobs(&stage);
    }
}

#[test]
fn the_same_jobs_run_on_a_nats_server_without_delays() {
    if let Some(stage) = stage("BANANAS_TEST_NATS_OLD_URL", TASKS) {
        run_jobs(&stage);
    }
}

#[test]
fn the_same_jobs_run_on_sqs_and_the_worker_says_how_many_requests_it_made() {
    if let Some(stage) = stage("BANANAS_TEST_SQS_URL", TASKS) {
        run_jobs(&stage);
        let log = stage.log("one");
        assert!(
            log.contains("sqs_requests: ") && log.contains(" receive, "),
            "{log}"
        );
    }
}

#[test]
fn the_demo_runs_on_nats() {
    run_demo("BANANAS_TEST_NATS_URL");
}

#[test]
fn the_demo_runs_on_a_nats_server_without_delays() {
    run_demo("BANANAS_TEST_NATS_OLD_URL");
}

#[test]
fn the_demo_runs_on_sqs() {
    run_demo("BANANAS_TEST_SQS_URL");
}
