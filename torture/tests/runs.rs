//! Short runs of the program itself: one that passes, and those that must not.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs the program, and answers with its exit code and its report.
fn torture(line: &str) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_torture"))
        .args(line.split_whitespace())
        .arg("--json")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), report)
}

/// Whether there is a server, which must be where that is asked for.
fn has_redis() -> bool {
    let mut ask = Command::new("redis-server");
    let is_there = ask.arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
        assert!(!required, "there is no redis-server in PATH");
        println!("skipped: there is no redis-server in PATH");
    }
    is_there
}

#[test]
fn every_worker_process_runs_jobs_again_after_restarts_and_half_open_connections() {
    if !has_redis() {
        return;
    }
    // The figures that count are those of long runs; here other tests take the machine's time.
    let line = "--broker redis --rounds 2 --workers 2 --seed 1 --bound 20s";
    let (code, report) = torture(line);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["verdict"], "passed");
    assert_eq!(report["faults"]["restart"]["n"], 2);
    assert_eq!(report["faults"]["half_open"]["n"], 2);
    let recovery = &report["faults"]["half_open"]["recovery_ms"];
    assert!(recovery["max"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(
        (&report["lost"], &report["unsettled"]),
        (&0.into(), &0.into())
    );
    assert!(report["jobs"].as_u64().unwrap() > 20, "{report}");
}

#[test]
fn jobs_that_are_recorded_elsewhere_than_in_the_broker_outlive_restarts_too() {
    if !has_redis() {
        return;
    }
    let line = "--broker redis --store sqlite --rounds 1 --workers 2 --seed 3 --bound 20s";
    let (code, report) = torture(line);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["store"], "sqlite");
}

#[test]
fn untracked_jobs_survive_on_the_broker_alone() {
    if !has_redis() {
        return;
    }
    let line = "--broker redis --rounds 1 --workers 2 --track none --seed 2 --bound 20s";
    let (code, report) = torture(line);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["track"], "none");
}

#[test]
fn a_worker_process_that_is_stopped_is_found_and_its_jobs_are_not_lost() {
    if !has_redis() {
        return;
    }
    let line = "--broker redis --faults hang --rounds 3 --workers 3 --bound 2s --patience 1s";
    let (code, report) = torture(line);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["verdict"], "stalled");
    let never = |stall: &&Value| stall["recovery_ms"].is_null();
    let stalls = report["stalls"].as_array().unwrap();
    assert_eq!(stalls.iter().filter(never).count(), 1, "{report}");
    assert_eq!(report["faults"]["hang"]["n"], 1, "it is broken off");
    assert_eq!(report["lost"], 0);
    std::fs::remove_dir_all(report["folder"].as_str().unwrap()).unwrap();
}

#[test]
fn faults_that_a_file_cannot_suffer_are_left_out_and_said_so() {
    let line = "--broker sqlite --faults restart,kill --rounds 1 --workers 2 --bound 20s";
    let (code, report) = torture(line);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["skipped"][0], "restart");
    assert_eq!(report["faults"]["kill"]["n"], 1);
}

#[test]
fn jobs_of_a_killed_worker_are_begun_again_and_too_few_jobs_prove_nothing() {
    let line = "--broker sqlite --faults kill --jobs 200 --workers 2 --bound 20s --seed 4";
    let (code, report) = torture(line);
    assert_eq!(code, Some(7), "{report}");
    assert_eq!(report["verdict"], "too_few");
    assert!(report["accepted"].as_u64().unwrap() >= 200, "{report}");
    assert_eq!(report["worker_kills"], report["faults"]["kill"]["n"]);
    let max = report["recovery_ms"]["kill"]["max"].as_u64();
    assert!((1..20_000).contains(&max.unwrap()), "{report}");
    assert_eq!(report["unexplained_duplicates"], 0);
}

#[test]
fn many_short_jobs_are_judged_with_faults_between_them() {
    let line = "--broker sqlite --faults kill --jobs 1200 --lasts 1ms --workers 2 --bound 20s";
    let (code, report) = torture(line);
    assert_eq!(code, Some(0), "{report}");
    assert!(report["accepted"].as_u64().unwrap() >= 1_200, "{report}");
    assert!(report["loss_rate_at_most"].as_f64().unwrap() < 0.003);
    assert_eq!(report["settled_twice"], 0);
}

#[test]
fn a_paused_worker_and_slow_ways_lose_nothing() {
    if !has_redis() {
        return;
    }
    let line = "--broker redis --faults latency,pause --rounds 1 --workers 2 --seed 5 --bound 20s";
    let (code, report) = torture(line);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["faults"]["pause"]["n"], 1);
    assert_eq!(report["faults"]["latency"]["n"], 1);
    assert_eq!(report["unexplained_duplicates"], 0, "{report}");
}

#[test]
fn a_run_without_a_server_or_with_a_wrong_line_could_not_be_done() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torture"));
    let output = command.env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("redis-server"), "{text}");
    assert_eq!(torture("--faults earthquake").0, Some(6));
}
