//! Cancelling jobs.

use crate::stage::{Stage, is_running};

#[test]
fn cancelling_a_running_job_ends_its_whole_process_group() {
    let config = r#"
        [tasks.family.exec]
        shell = '''
        sh -c 'echo $$ >> started; while [ -e hold ]; do sleep 0.05; done' &
        echo $$ >> started
        wait
        '''
    "#;
    let stage = Stage::with(config);
    let _worker = stage.worker("worker", &[]);
    let id = stage.enqueue(&["family"]);
    let family = stage.until("start", || {
        Some(stage.started()).filter(|pids| pids.len() == 2)
    });
    assert!(family.iter().all(|pid| is_running(pid)));
    let done = stage.run(&["jobs", "cancel", &id, "--json"]).ok();
    assert_eq!(done.json()["outcome"], "requested");
    let job = stage.until_state(&id, "cancelled");
    assert_eq!(job["failed_attempts"], 0);
    stage.until("end of the group", || {
        (!family.iter().any(|pid| is_running(pid))).then_some(())
    });
}

#[test]
fn a_waiting_job_is_cancelled_at_once_and_only_once() {
    let stage = Stage::new();
    let id = stage.enqueue(&["hello"]);
    let done = stage.run(&["jobs", "cancel", &id]).ok();
    assert_eq!(done.stdout, format!("{id} is cancelled\n"));
    stage
        .run(&["jobs", "cancel", &id])
        .ends_with(1)
        .says("it is cancelled");
    stage.run(&["jobs", "retry", &id]).ok();
    let _worker = stage.worker("worker", &[]);
    stage.until_job(&id, |job| {
        job["state"] != "scheduled" && job["state"] != "ready"
    });
}

#[test]
fn all_jobs_that_match_are_cancelled_and_no_other() {
    let stage = Stage::new();
    let mail = stage.enqueue(&["hello", "--queue", "mail"]);
    let later = stage.enqueue(&["hello", "--queue", "mail", "--delay", "1h"]);
    let other = stage.enqueue(&["hello"]);
    let all = [
        "jobs", "cancel", "--all", "--queue", "mail", "--state", "ready",
    ];
    stage
        .run(&all)
        .ends_with(2)
        .says("--yes")
        .says("ready (1) on queue mail");
    let mut yes = all.to_vec();
    yes.push("--yes");
    let done = stage.run(&yes).ok();
    assert_eq!(done.stdout, format!("{mail} is cancelled\n"));
    for (id, state) in [
        (&mail, "cancelled"),
        (&later, "scheduled"),
        (&other, "ready"),
    ] {
        assert_eq!(stage.show(id)["state"], state);
    }
    stage.run(&["jobs", "cancel", "--all", "--yes"]).ok();
    for id in [&later, &other] {
        assert_eq!(stage.show(id)["state"], "cancelled");
    }
}

#[test]
fn more_jobs_than_a_page_are_all_cancelled() {
    let stage = Stage::new();
    let lines = "1\n".repeat(1_201);
    stage
        .run_with_input(&["enqueue", "hello", "--each"], lines.as_bytes())
        .ok();
    let done = stage
        .run(&["jobs", "cancel", "--all", "--task", "hello", "-y", "--json"])
        .ok();
    assert_eq!(done.json_lines().len(), 1_201);
    let queues = stage.run(&["queues", "--json"]).ok().json();
    assert_eq!(queues["queues"][0]["counts"]["cancelled"], 1_201);
}
