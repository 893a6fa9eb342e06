//! The configuration and its mistakes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::stage::{Done, Stage};

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    let stage = Stage::with("[worker]\nconcurency = 5\n");
    let text = "bananas.toml:2:1";
    for args in [
        &["config", "check"][..],
        &["jobs", "list"],
        &["enqueue", "x"],
        &["worker"],
    ] {
        stage
            .run(args)
            .ends_with(2)
            .says(text)
            .says("did you mean `concurrency`?");
    }
    let done = stage.run(&["config", "check", "--json"]).ends_with(2);
    let view = done.json();
    assert_eq!(view["ok"], false);
    assert!(view["error"].as_str().unwrap().contains(text), "{view}");
}

#[test]
fn what_is_in_force_is_shown_without_secrets() {
    let stage = Stage::with(
        "[broker]\nurl = \"sqlite://jobs.db?synchronous=normal\"\n[store]\nurl = \"memory:\"\n\
         [tasks.a.exec]\nargv = [\"x\"]\nenv = { TOKEN = \"secret\" }\n",
    );
    let mut command = stage.command(&["config", "check", "--json"]);
    let output = command
        .env("BANANAS_WORKER_CONCURRENCY", "7")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let view: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&view["ok"], &view["file"]),
        (&true.into(), &"bananas.toml".into())
    );
    assert_eq!(view["config"]["worker"]["concurrency"], 7);
    assert_eq!(
        view["config"]["broker"]["url"],
        "sqlite://jobs.db?synchronous=normal"
    );
    assert_eq!(view["variables"][0], "BANANAS_WORKER_CONCURRENCY");
    let shown = stage.run(&["config", "check"]).ok().stdout;
    assert!(
        shown.contains("shutdown_grace = \"25s\"") && !shown.contains("secret"),
        "{shown}"
    );
    // What is shown is a configuration again.
    std::fs::write(stage.path("again.toml"), &shown).unwrap();
    let again = stage.run(&["config", "check", "again.toml"]).ok().stdout;
    assert_eq!(
        again.lines().skip(1).collect::<Vec<_>>(),
        shown.lines().skip(1).collect::<Vec<_>>()
    );
}

#[test]
fn wrong_files_and_urls_are_named() {
    let stage = Stage::with("[broker]\nurl = \"mysql://me:hunter2@host/db\"\n");
    let done = stage
        .run(&["config", "check"])
        .ends_with(2)
        .says("broker.url")
        .says("sqlite://");
    assert!(!done.stderr.contains("hunter2"), "{done:?}");
    let done = stage.run(&["jobs", "list"]).ends_with(2).says("mysql");
    assert!(!done.stderr.contains("hunter2"), "{done:?}");
    stage
        .run(&["jobs", "list", "--config", "none.toml"])
        .ends_with(2)
        .says("none.toml");
    stage
        .run(&["config", "check", "none.toml"])
        .ends_with(2)
        .says("none.toml");
    std::fs::write(stage.path("latin.toml"), b"# \xe4\n").unwrap();
    stage
        .run(&["config", "check", "latin.toml"])
        .ends_with(2)
        .says("UTF-8");
    stage
        .run(&["config", "check", "--url", "sqlite://x.db?sync=no"])
        .ends_with(2)
        .says("synchronous");
    stage
        .run(&["enqueue", "x", "--url", "memory:"])
        .ends_with(2)
        .says("inside one process");
}

#[test]
fn a_url_on_the_command_line_wins_and_a_variable_wins_over_the_file() {
    let stage = Stage::with("[broker]\nurl = \"sqlite://file.db\"\n");
    stage
        .run(&["enqueue", "x", "--url", "sqlite://line.db"])
        .ok();
    assert!(stage.path("line.db").exists() && !stage.path("file.db").exists());
    let mut command = stage.command(&["enqueue", "x"]);
    assert!(
        command
            .env("BANANAS_BROKER_URL", "sqlite://variable.db")
            .status()
            .unwrap()
            .success()
    );
    assert!(stage.path("variable.db").exists() && !stage.path("file.db").exists());
    std::fs::write(
        stage.path("other.toml"),
        "[broker]\nurl = \"sqlite://other.db\"\n",
    )
    .unwrap();
    let mut command = stage.command(&["enqueue", "x"]);
    assert!(
        command
            .env("BANANAS_CONFIG", "other.toml")
            .status()
            .unwrap()
            .success()
    );
    assert!(stage.path("other.db").exists());
}

#[test]
fn a_backend_less_durable_than_required_is_refused() {
    let stage = Stage::with(
        "[broker]\nurl = \"sqlite://jobs.db?synchronous=normal\"\nrequire_durability = \"D3\"\n",
    );
    stage
        .run(&["enqueue", "x"])
        .ends_with(2)
        .says("require_durability is D3")
        .says("D2");
}

#[test]
fn a_variable_that_is_empty_or_no_text_is_named_and_not_left_out() {
    let stage = Stage::new();
    let broken = OsStr::from_bytes(b"sqlite://jobs-\xff.db");
    let mut command = stage.command(&["enqueue", "hello"]);
    let output = command.env("BANANAS_BROKER_URL", broken).output().unwrap();
    Done::of(output)
        .ends_with(2)
        .says("BANANAS_BROKER_URL")
        .says("not UTF-8");
    let mut command = stage.command(&["enqueue", "hello"]);
    let output = command.env("BANANAS_CONFIG", "").output().unwrap();
    Done::of(output)
        .ends_with(2)
        .says("the path is empty")
        .says("unset BANANAS_CONFIG");
    assert!(!stage.path("bananas.db").exists());
}

#[test]
fn a_redis_url_is_read_and_a_mistake_in_it_named_without_the_password() {
    let stage = Stage::with("[broker]\nurl = \"redis://:hidden@db.example/1?timeout_ms=900\"\n");
    let done = stage.run(&["config", "check"]).ends_with(0);
    assert!(
        done.stdout.contains("redis://:***@db.example/1"),
        "{}",
        done.stdout
    );
    let stage = Stage::with("[broker]\nurl = \"redis://:hidden@db.example/1?timeout=900\"\n");
    let done = stage
        .run(&["config", "check"])
        .ends_with(2)
        .says("known are ca");
    assert!(!done.stderr.contains("hidden"), "{}", done.stderr);
}

#[test]
fn what_is_put_around_the_broker_is_shown_with_its_reason_and_jobs_run_through_it() {
    let stage = Stage::with(
        "[broker]\nurl = \"sqlite://jobs.db\"\n[queues.mail]\nlanes = 4\n\
         [tasks.a]\nqueue = \"mail\"\nexec = { argv = [\"true\"] }\n",
    );
    let reason = "PriorityLanes: the queue \"mail\" has 4 lanes, as queues.mail.lanes says";
    let shown = stage.run(&["config", "check"]).ok().stdout;
    assert!(shown.contains(&format!("# {reason}\n")), "{shown}");
    let view = stage.run(&["config", "check", "--json"]).ok().json();
    assert_eq!(view["wrappers"][0], reason);
    let _worker = stage.worker("worker", &[]);
    let urgent = ["enqueue", "a", "--priority", "90", "--wait", "60s"];
    let done = stage.run(&urgent).ok();
    assert!(done.stdout.contains(" succeeded "), "{done:?}");
}

#[test]
fn a_nats_url_is_read_and_neither_a_password_nor_a_token_is_shown() {
    let stage = Stage::with("[broker]\nurl = \"nats://me:hidden@db.example?lanes=5\"\n");
    let done = stage.run(&["config", "check"]).ends_with(0);
    let shown = done.stdout.contains("nats://me:***@db.example");
    assert!(shown, "{}", done.stdout);
    let stage = Stage::with("[broker]\nurl = \"nats://hidden@db.example\"\n");
    let done = stage.run(&["config", "check"]).ends_with(0);
    assert!(!done.stdout.contains("hidden"), "{}", done.stdout);
    let stage = Stage::with("[broker]\nurl = \"nats://hidden@db.example?lane=5\"\n");
    let done = stage
        .run(&["config", "check"])
        .ends_with(2)
        .says("known are ca");
    assert!(!done.stderr.contains("hidden"), "{}", done.stderr);
}

#[test]
fn what_a_broker_lacks_is_said_before_anybody_connects() {
    for (url, lines) in [
        (
            "sqs://eu-west-1",
            &[
                "# PriorityLanes: each queue has 3 lanes, as sqs tells no priorities apart\n",
                "# ClaimCheck: bodies over 764 KiB, up to 16384 KiB, are kept in the store, as sqs takes no larger ones\n",
                "# the store: delays beyond 15m of untracked jobs wait there, as sqs keeps none longer\n",
            ][..],
        ),
        (
            "nats://localhost?lanes=1",
            &[
                "# PriorityLanes: each queue has 3 lanes, as nats tells no priorities apart\n",
                "# ClaimCheck: bodies over 1008 KiB, up to 16384 KiB, are kept in the store, as nats takes no larger ones\n",
            ][..],
        ),
    ] {
        let stage = Stage::with(&format!("[broker]\nurl = \"{url}\"\n"));
        let shown = stage.run(&["config", "check"]).ok().stdout;
        for line in lines {
            assert!(shown.contains(line), "{line}{shown}");
        }
    }
}

#[test]
fn an_sqs_url_is_read_and_is_no_store() {
    let stage = Stage::with("[broker]\nurl = \"sqs://eu-west-1?kind=fifo\"\n");
    stage.run(&["config", "check"]).ok();
    let stage = Stage::with("[broker]\nurl = \"sqs://KEY:hunter2@localhost:1?kind=lifo\"\n");
    let done = stage.run(&["config", "check"]).ends_with(2);
    let done = done.says("broker.url").says("standard or fifo");
    assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
    let stage = Stage::with("[store]\nurl = \"sqs://eu-west-1\"\n");
    let done = stage.run(&["config", "check"]).ends_with(2);
    done.says("store.url").says("SQS records no jobs");
}
