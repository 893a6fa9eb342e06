//! Databases that are missing, broken or not ours.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crate::stage::{Done, Stage};

#[test]
fn looking_where_nothing_is_makes_no_database() {
    let stage = Stage::new();
    for args in [
        &["jobs", "list"][..],
        &["queues"],
        &["wait"],
        &["dead", "list"],
    ] {
        stage
            .run(args)
            .ends_with(2)
            .says("there is no database")
            .says("bananas.db");
    }
    assert!(!stage.path("bananas.db").exists());
    let nowhere = ["enqueue", "x", "--url", "sqlite://no/such/folder/jobs.db"];
    let done = stage.run(&nowhere);
    assert!(
        matches!(done.code, Some(1 | 2)) && done.stderr.contains("no/such/folder"),
        "{done:?}"
    );
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let stage = Stage::new();
    std::fs::write(
        stage.path("bananas.db"),
        "this is a text, not a database. ".repeat(200),
    )
    .unwrap();
    for args in [&["jobs", "list"][..], &["enqueue", "x"], &["worker"]] {
        stage.run(args).ends_with(1).says("bananas.db");
    }
}

#[test]
fn a_read_only_database_is_named() {
    let stage = Stage::new();
    stage.enqueue(&["hello"]);
    let path = stage.path("bananas.db");
    for name in ["bananas.db-wal", "bananas.db-shm"] {
        drop(std::fs::remove_file(stage.path(name)));
    }
    std::fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    std::fs::set_permissions(stage.path("."), Permissions::from_mode(0o755)).unwrap();
    let mut command = stage.command(&["enqueue", "hello"]);
    if OpenOptions::new().write(true).open(&path).is_ok() {
        // Nothing is read-only to root, so another user looks.
        command.uid(65534).gid(65534);
    }
    match command.output() {
        Ok(output) => {
            Done::of(output)
                .ends_with(1)
                .says("bananas.db")
                .says("read-only");
        }
        Err(e) => eprintln!("SKIPPED: another user cannot run the command: {e}"),
    }
}

#[test]
fn another_namespace_in_the_file_is_a_conflict_that_names_both() {
    let stage = Stage::new();
    stage.enqueue(&["hello"]);
    std::fs::write(
        stage.path("bananas.toml"),
        "[broker]\nnamespace = \"shop\"\n",
    )
    .unwrap();
    stage
        .run(&["enqueue", "hello"])
        .ends_with(2)
        .says("shop")
        .says("bananas");
}
