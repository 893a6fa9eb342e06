//! The whole life of a job, in separate processes.

use crate::stage::Stage;

#[test]
fn a_job_enqueued_by_one_process_is_run_by_a_second_and_read_by_a_third() {
    let stage = Stage::new();
    let id = stage.enqueue(&["hello", r#"{"name": "world"}"#]);
    assert_eq!(stage.show(&id)["state"], "ready");
    let _worker = stage.worker("worker", &[]);
    stage.run(&["wait", &id, "--timeout", "60s"]).ok();
    let job = stage.show(&id);
    assert_eq!(job["state"], "succeeded");
    assert_eq!(job["result"].as_str().unwrap().trim_end(), "hello, world");
    assert_eq!(job["args"]["name"], "world");
    assert_eq!(
        (&job["crashes"], &job["failed_attempts"]),
        (&0.into(), &0.into())
    );
    let text = stage.run(&["jobs", "show", &id]).ok().stdout;
    for part in [
        &id,
        "succeeded",
        "hello, world",
        "attempts   0 failed",
        "ran ",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn enqueue_can_wait_for_the_result() {
    let stage = Stage::new();
    let _worker = stage.worker("worker", &[]);
    let done = stage
        .run(&["enqueue", "hello", r#"{"name": "you"}"#, "--wait", "60s"])
        .ok();
    assert!(
        done.stdout.contains(" succeeded ") && done.stdout.contains("hello, you"),
        "{done:?}"
    );
    let done = stage
        .run(&["enqueue", "fail", "--wait", "60s", "--json"])
        .ends_with(3);
    assert_eq!(done.json()["state"], "dead");
    let done = stage
        .run(&["enqueue", "hold", "--wait", "100ms"])
        .ends_with(4);
    done.says("1 not ended in time");
}

#[test]
fn the_defaults_of_the_configuration_apply_and_options_win_over_them() {
    let config = "[tasks.mail]\nqueue = \"mail\"\npriority = 70\n";
    let stage = Stage::with(config);
    let job = stage.show(&stage.enqueue(&["mail"]));
    assert_eq!(
        (&job["queue"], &job["priority"]),
        (&"mail".into(), &70.into())
    );
    assert!(job["args"].is_null());
    let options = [
        "mail",
        "1",
        "--queue",
        "fast",
        "--priority",
        "9",
        "--max-attempts",
        "3",
    ];
    let job = stage.show(&stage.enqueue(&options));
    assert_eq!(
        (&job["queue"], &job["priority"]),
        (&"fast".into(), &9.into())
    );
    assert_eq!((&job["args"], &job["max_attempts"]), (&1.into(), &3.into()));
}

#[test]
fn a_job_can_be_put_off_named_and_enqueued_only_once() {
    let stage = Stage::new();
    let id = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f";
    let at = ["hello", "--at", "2131-05-04T09:30:00+02:00", "--id", id];
    assert_eq!(stage.enqueue(&at), id);
    let job = stage.show(id);
    assert_eq!(
        (&job["state"], &job["run_at"]),
        (&"scheduled".into(), &"2131-05-04T07:30:00.000000Z".into())
    );
    let again = stage.run(&["enqueue", "hello", "--id", id, "--json"]).ok();
    assert_eq!(again.json()["duplicate"], true);
    let first = stage.enqueue(&["hello", "[1]", "--unique-for", "1h", "--delay", "1h"]);
    let second = stage
        .run(&["enqueue", "hello", "[1]", "--unique-for", "1h"])
        .ok();
    assert_eq!(second.stdout.trim(), first);
    second.says("was there already");
    assert_ne!(
        stage.enqueue(&["hello", "[2]", "--unique-for", "1h"]),
        first
    );
}

#[test]
fn a_job_of_an_unknown_task_waits_and_says_that_there_is_no_worker_for_it() {
    let stage = Stage::new();
    let _worker = stage.worker("worker", &[]);
    let id = stage.enqueue(&["nobody"]);
    let job = stage.until_job(&id, |job| job["note"].is_string());
    assert!(
        job["note"].as_str().unwrap().contains("no worker for"),
        "{job}"
    );
    assert_eq!(job["failed_attempts"], 0);
    let list = stage.run(&["jobs", "list"]).ok().stdout;
    assert!(list.contains("no worker for"), "{list}");
}
