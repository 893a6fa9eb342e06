//! Lists, tables, pages.

use std::process::Stdio;

use crate::stage::Stage;

fn filled(jobs: usize) -> Stage {
    let stage = Stage::new();
    let lines: String = (0..jobs).map(|n| format!("{n}\n")).collect();
    stage
        .run_with_input(&["enqueue", "hello", "--each"], lines.as_bytes())
        .ok();
    stage
}

#[test]
fn pages_show_every_job_once_the_newest_first() {
    let stage = filled(25);
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut args = vec!["jobs", "list", "--json", "--limit", "10"];
        if let Some(after) = &after {
            args.extend(["--after", after]);
        }
        let page = stage.run(&args).ok().json_lines();
        let ids = page
            .iter()
            .map(|job| job["id"].as_str().unwrap().to_owned());
        let before = seen.len();
        seen.extend(ids);
        if seen.len() == before {
            break;
        }
        after = seen.last().cloned();
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    sorted.dedup();
    assert_eq!((seen.len(), &seen), (25, &sorted));
    stage
        .run(&["jobs", "list", "--limit", "10"])
        .ok()
        .says("add --after");
}

#[test]
fn lists_are_filtered_by_state_queue_and_task() {
    let stage = filled(2);
    let other = stage.enqueue(&["other", "--queue", "mail", "--delay", "1h"]);
    for filter in [
        ["--state", "scheduled"],
        ["--queue", "mail"],
        ["--task", "other"],
    ] {
        let mut args = vec!["jobs", "list", "--json"];
        args.extend(filter);
        let found = stage.run(&args).ok().json_lines();
        assert_eq!(found.len(), 1, "{filter:?}");
        assert_eq!(found[0]["id"], other.as_str());
    }
    let both = [
        "jobs",
        "list",
        "--json",
        "--state",
        "scheduled",
        "--state",
        "ready",
    ];
    assert_eq!(stage.run(&both).ok().json_lines().len(), 3);
    stage
        .run(&["jobs", "list", "--state", "gone"])
        .ends_with(2)
        .says("it is one of scheduled");
    stage
        .run(&["jobs", "list", "--task", "nothing"])
        .ok()
        .says("no jobs match");
}

#[test]
fn tables_in_a_pipe_have_no_lines_drawn() {
    let stage = filled(1);
    let list = stage.run(&["jobs", "list"]).ok().stdout;
    assert!(
        list.is_ascii() && list.contains("ID") && list.contains("hello"),
        "{list}"
    );
    let queues = stage.run(&["queues"]).ok().stdout;
    assert!(queues.is_ascii() && queues.contains("default"), "{queues}");
    assert!(queues.contains("no worker is alive"), "{queues}");
}

#[test]
fn the_workers_alive_are_shown() {
    let stage = Stage::new();
    let worker = stage.worker("worker", &[]);
    let id = stage.enqueue(&["hold"]);
    stage.until_state(&id, "running");
    let queues = stage.run(&["queues", "--json"]).ok().json();
    let row = &queues["workers"][0];
    assert_eq!(
        (&row["pid"], &row["running"]),
        (&worker.pid().into(), &1.into())
    );
    assert_eq!(row["alive"], true);
    let text = stage.run(&["queues"]).ok().stdout;
    assert!(
        text.contains("WORKER") && text.contains(&worker.pid().to_string()),
        "{text}"
    );
}

#[test]
fn a_reader_that_goes_away_ends_a_list_quietly() {
    let stage = filled(2_000);
    let mut command = stage.command(&["jobs", "list", "--limit", "2000", "--json"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
