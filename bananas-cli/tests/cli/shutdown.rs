//! How a worker ends.

use rustix::process::Signal;

use crate::stage::{Stage, is_running};

fn running_job(stage: &Stage) -> (String, String) {
    let id = stage.enqueue(&["hold"]);
    let started = stage.until("start of the job", || stage.started().pop());
    (id, started)
}

#[test]
fn a_first_signal_lets_the_running_job_end_and_takes_no_more() {
    let stage = Stage::new();
    let mut worker = stage.worker("worker", &["--concurrency", "1"]);
    let (id, _) = running_job(&stage);
    let next = stage.enqueue(&["hello", r#"{"name": "next"}"#]);
    worker.signal(&stage, Signal::TERM);
    // Longer than a look at the log would take: the job goes on until it is released.
    assert_eq!(
        stage.run(&["wait", &id, "--timeout", "500ms"]).code,
        Some(4)
    );
    stage.release();
    assert_eq!(worker.ended(&stage), Some(0), "{}", stage.log("worker"));
    assert_eq!(stage.show(&id)["state"], "succeeded");
    assert_eq!(stage.show(&next)["state"], "ready", "it takes no more");
}

#[test]
fn a_second_signal_gives_the_running_job_back_without_using_an_attempt() {
    let stage = Stage::new();
    let mut worker = stage.worker("worker", &[]);
    let (id, script) = running_job(&stage);
    worker.signal(&stage, Signal::TERM);
    worker.signal(&stage, Signal::INT);
    assert_eq!(worker.ended(&stage), Some(0), "{}", stage.log("worker"));
    let job = stage.show(&id);
    assert_eq!(job["state"], "ready", "{job}");
    assert_eq!(
        (&job["failed_attempts"], &job["crashes"]),
        (&0.into(), &0.into())
    );
    stage.until("end of the script", || (!is_running(&script)).then_some(()));
    let _next = stage.worker("next", &[]);
    stage.release();
    stage.until_state(&id, "succeeded");
}

#[test]
fn an_idle_worker_ends_well() {
    let stage = Stage::new();
    let mut worker = stage.worker("worker", &["--log-format", "json"]);
    stage.until("start line", || {
        stage.log("worker").contains("worker starts").then_some(())
    });
    worker.signal(&stage, Signal::INT);
    assert_eq!(worker.ended(&stage), Some(0));
    let log = stage.log("worker");
    let start: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(start["backend"], "sqlite");
    assert_eq!(
        (&start["durability"], &start["queues"]),
        (&"D3".into(), &"default".into())
    );
    assert_eq!(start["tasks"], "fail,hello,hold");
}

#[test]
fn a_worker_without_a_task_says_how_to_write_one() {
    let stage = Stage::with("");
    stage
        .run(&["worker"])
        .ends_with(2)
        .says("[tasks.hello.exec]")
        .says("bananas.toml");
}
