//! Waiting, and what the exit codes say.

use crate::stage::Stage;

#[test]
fn wait_says_how_the_jobs_ended() {
    let stage = Stage::new();
    let good = stage.enqueue(&["hello", r#"{"name": "x"}"#]);
    let bad = stage.enqueue(&["fail"]);
    stage
        .run(&["wait", &good, &bad, "--timeout", "0s"])
        .ends_with(4);
    let _worker = stage.worker("worker", &[]);
    let done = stage.run(&["wait", &good, "--timeout", "60s"]).ok();
    assert!(done.stdout.contains("1 succeeded"), "{done:?}");
    let done = stage
        .run(&["wait", &good, &bad, "--timeout", "60s", "--json"])
        .ends_with(3);
    let summary = done.json();
    assert_eq!(
        (&summary["succeeded"], &summary["dead"]),
        (&1.into(), &1.into())
    );
    assert_eq!(summary["left"], 0);
}

#[test]
fn wait_for_a_queue_ends_when_nothing_is_left_on_it() {
    let stage = Stage::new();
    stage
        .run_with_input(&["enqueue", "hello", "--each"], b"1\n2\n3\n")
        .ok();
    stage.enqueue(&["hold", "--queue", "other"]);
    stage
        .run(&["wait", "--queue", "default", "--timeout", "0s"])
        .ends_with(4);
    let _worker = stage.worker("worker", &["--queues", "default"]);
    // `{name}` is no field of a number: these jobs are dead at once.
    let done = stage.run(&["wait", "--queue", "default", "--timeout", "60s"]);
    assert!(matches!(done.code, Some(0 | 3)), "{done:?}");
    let list = stage
        .run(&[
            "jobs", "list", "--queue", "default", "--state", "dead", "--json",
        ])
        .ok();
    assert_eq!(list.json_lines().len(), 3);
    let done = stage.run(&["wait", "--timeout", "0s"]).ends_with(4);
    assert!(done.stdout.contains("1 not ended in time"), "{done:?}");
    stage.run(&["wait", "--queue", "nothing-here"]).ok();
}

#[test]
fn waiting_for_a_job_that_does_not_exist_is_an_error() {
    let stage = Stage::new();
    stage.enqueue(&["hello"]);
    let id = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f";
    stage
        .run(&["wait", id])
        .ends_with(1)
        .says("there is no job")
        .says(id);
    stage
        .run(&["wait", "42"])
        .ends_with(2)
        .says("\"42\" is not a job id");
}

#[test]
fn a_job_that_keeps_no_record_counts_as_ended() {
    let stage = Stage::new();
    let id = stage.enqueue(&["hold", "--track", "none"]);
    let _worker = stage.worker("worker", &[]);
    stage.until_state(&id, "running");
    stage.release();
    let done = stage.run(&["wait", &id, "--timeout", "60s"]);
    // It may have gone before the first look; then there is no such job any more.
    assert!(
        done.code == Some(0) || done.stderr.contains("there is no job"),
        "{done:?}"
    );
    stage
        .run(&["enqueue", "hold", "--track", "none", "--wait"])
        .ends_with(2)
        .says("--track outcome");
}

#[test]
fn a_wait_in_vain_says_why_the_job_does_not_end() {
    let stage = Stage::new();
    let id = stage.enqueue(&["no-such-task"]);
    let _worker = stage.worker("worker", &[]);
    stage.until_job(&id, |job| job["note"].is_string());
    stage
        .run(&["wait", &id, "--timeout", "0s"])
        .ends_with(4)
        .says(&id)
        .says("no worker for task \"no-such-task\"");
}
