//! A worker that dies.

use rustix::process::Signal;

use crate::stage::Stage;

#[test]
fn a_job_of_a_killed_worker_runs_again_once_and_its_crash_is_counted() {
    let stage = Stage::new();
    let mut first = stage.worker("first", &[]);
    let id = stage.enqueue(&["hold"]);
    stage.until("start of the job", || {
        Some(stage.started()).filter(|started| started.len() == 1)
    });
    let _second = stage.worker("second", &[]);
    stage.until("two workers", || {
        let queues = stage.run(&["queues", "--json"]).ok().json();
        let alive = queues["workers"]
            .as_array()?
            .iter()
            .filter(|worker| worker["alive"] == true);
        (alive.count() == 2).then_some(())
    });
    let owner = stage.show(&id)["owner"].clone();
    let text = stage.run(&["jobs", "show", &id]).ok().stdout;
    assert!(text.contains(&format!("process {}", first.pid())), "{text}");
    first.signal(&stage, Signal::KILL);
    first.ended(&stage);
    stage.until("second run", || {
        Some(stage.started()).filter(|started| started.len() == 2)
    });
    let job = stage.show(&id);
    assert_eq!(
        (&job["state"], &job["crashes"]),
        (&"running".into(), &1.into())
    );
    assert_ne!(job["owner"], owner);
    stage.release();
    let job = stage.until_state(&id, "succeeded");
    assert_eq!(
        (&job["crashes"], &job["failed_attempts"]),
        (&1.into(), &0.into())
    );
    assert_eq!(
        (job["result"].as_str(), &job["errors"][0]["cause"]),
        (Some("released"), &"crashed".into())
    );
    assert_eq!(stage.started().len(), 2, "it ran again once");
    let text = stage.run(&["jobs", "show", &id]).ok().stdout;
    assert!(
        text.contains("crashes    1") && text.contains("died"),
        "{text}"
    );
}
