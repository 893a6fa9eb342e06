//! `bananas demo` on a server, by nothing but the URL of the broker.

use std::process::Command;

use crate::redis_server::RedisServer;
use crate::stage::Stage;

#[test]
fn the_demo_runs_on_the_server_that_is_configured_and_leaves_nothing_there() {
    let Some(server) = RedisServer::start(&["--appendonly", "yes"]) else {
        return;
    };
    let url = server.url();
    let stage = Stage::with(&format!("[broker]\nurl = \"{url}\"\n"));
    std::fs::create_dir(stage.path("files")).unwrap();
    for number in 0..40 {
        std::fs::write(
            stage.path(&format!("files/{number}")),
            format!("{number}\n"),
        )
        .unwrap();
    }
    let report = stage
        .run(&["demo", "files", "--json", "--verify"])
        .ok()
        .json();
    let broker = report["broker"].to_string();
    assert!(
        broker.contains(&url) && broker.contains("bananas-demo-"),
        "{report}"
    );
    for (name, number) in [("succeeded", 40), ("lost", 0), ("killed_workers", 1)] {
        assert_eq!(report[name], number, "{name} in {report}");
    }
    assert_eq!(server.keys(), 0);
    // A demo must never meet the jobs that its user has.
    assert!(!stage.path("bananas.db").exists());

    let kept = stage
        .run(&["demo", "files", "--json", "--keep"])
        .ok()
        .json();
    assert!(server.keys() > 0);
    let look_on = kept["look_on"].as_str().unwrap();
    // As a person does it, in the shell.
    let line = look_on.replace("bananas jobs", "\"$0\" jobs");
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{line} --limit 100 --json | wc -l"));
    shell
        .arg(env!("CARGO_BIN_EXE_bananas"))
        .current_dir(stage.path("."));
    let shown = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    assert_eq!(shown.trim(), "40", "{line}");
    let logs = kept["logs"].as_str().unwrap();
    std::fs::remove_dir_all(logs).unwrap();
}
