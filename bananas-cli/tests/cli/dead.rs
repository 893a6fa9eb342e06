//! Jobs that were set aside.

use crate::stage::Stage;

#[test]
fn a_dead_job_is_listed_shown_retried_and_dropped() {
    let stage = Stage::with(
        "[tasks.fail]\nmax_attempts = 1\n[tasks.fail.exec]\n\
         shell = \"if [ -e hold ]; then echo broken on purpose >&2; exit 7; fi; echo 1\"\n",
    );
    let _worker = stage.worker("worker", &[]);
    let id = stage.enqueue(&["fail"]);
    stage
        .run(&["wait", &id, "--timeout", "60s"])
        .ends_with(3)
        .says("broken on purpose");
    let listed = stage.run(&["dead", "list", "--json"]).ok().json();
    assert_eq!(
        (&listed["id"], &listed["reason"]),
        (&id.as_str().into(), &"attempts_used_up".into())
    );
    let text = stage.run(&["dead", "list"]).ok().stdout;
    assert!(text.contains(&id) && text.contains("fail"), "{text}");
    let text = stage.run(&["dead", "show", &id]).ok().stdout;
    assert!(
        text.contains("broken on purpose") && text.contains("attempt 1 failed"),
        "{text}"
    );
    assert!(text.contains("dead (attempts used up)"), "{text}");
    stage.release();
    stage.run(&["dead", "retry", &id]).ok();
    let job = stage.until_state(&id, "succeeded");
    assert_eq!(
        (&job["result"], &job["failed_attempts"]),
        (&1.into(), &0.into())
    );
    stage
        .run(&["dead", "drop", &id])
        .ends_with(1)
        .says("it is succeeded");
}

#[test]
fn dropping_forgets_dead_jobs_only() {
    let stage = Stage::new();
    let _worker = stage.worker("worker", &[]);
    let dead = stage.enqueue(&["fail"]);
    let spared = stage.enqueue(&["fail", "--queue", "other"]);
    let waiting = stage.enqueue(&["hello", "--delay", "1h"]);
    stage.until_state(&dead, "dead");
    stage
        .run(&["dead", "drop", &waiting])
        .ends_with(1)
        .says("it is scheduled");
    let done = stage
        .run(&["dead", "drop", "--all", "--queue", "default", "--yes"])
        .ok();
    assert_eq!(done.stdout, format!("{dead} is dropped\n"));
    stage
        .run(&["jobs", "show", &dead])
        .ends_with(1)
        .says("there is no job")
        .says(&dead);
    stage.show(&spared);
    stage
        .run(&["dead", "retry", &dead])
        .ends_with(1)
        .says("no such job");
    stage
        .run(&["dead", "drop", "--all"])
        .ends_with(2)
        .says("add --yes");
}
