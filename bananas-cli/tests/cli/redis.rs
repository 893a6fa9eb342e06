//! The commands on a real Redis server, with nothing changed but the URL of the broker.

use crate::redis_server::RedisServer;
use crate::stage::{Done, Stage, TASKS};

/// With `everysec` Redis may answer before it writes, for up to two seconds.
const LASTING: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

fn stage_on(redis: &RedisServer) -> Stage {
    Stage::with(&format!("[broker]\nurl = \"{}\"\n{TASKS}", redis.url()))
}

#[test]
fn a_variable_or_the_command_line_names_the_broker_as_well() {
    let Some(redis) = RedisServer::start(&LASTING) else {
        return;
    };
    let stage = Stage::new();
    let shown = stage.run(&["config", "check", "--url", &redis.url()]).ok();
    assert!(shown.stdout.contains(&redis.url()), "{shown:?}");
    let mut command = stage.command(&["config", "check", "--json"]);
    let output = command.env("BANANAS_BROKER_URL", redis.url()).output();
    let view = Done::of(output.unwrap()).ok().json();
    assert_eq!(view["config"]["broker"]["url"], redis.url());
    let id = stage.enqueue(&["hello", "--url", &redis.url()]);
    let jobs = stage.run(&["jobs", "list", "--json", "--url", &redis.url()]);
    assert_eq!(jobs.ok().json_lines()[0]["id"], id);
}

#[test]
fn jobs_and_workers_outlast_the_kill_of_a_server_that_keeps_a_log() {
    let Some(mut redis) = RedisServer::start(&LASTING) else {
        return;
    };
    let stage = stage_on(&redis);
    let args: String = (0..50)
        .map(|n| format!("{{\"name\": \"{n}\"}}\n"))
        .collect();
    let enqueued = stage.run_with_input(&["enqueue", "hello", "--each"], args.as_bytes());
    assert_eq!(enqueued.ok().stdout.lines().count(), 50);
    redis.kill();
    stage
        .run(&["enqueue", "hello"])
        .ends_with(1)
        .says("no connection");
    redis.start_again();
    let _worker = stage.worker("one", &[]);
    stage.run(&["wait", "--timeout", "60s"]).ok();

    redis.kill();
    redis.start_again();
    let again = ["enqueue", "hello", "{\"name\": \"again\"}", "--wait"];
    let done = stage.run(&again).ok();
    assert!(done.stdout.contains("hello, again"), "{done:?}");
    let queues = stage.run(&["queues", "--json"]).ok().json();
    assert_eq!(queues["queues"][0]["counts"]["succeeded"], 51);
}

#[test]
fn a_remote_redis_is_checked_without_a_connection() {
    let url = "rediss://app:hunter2@db.example:6380/1?timeout_ms=900";
    let stage = Stage::with(&format!("[broker]\nurl = \"{url}\"\n"));
    let done = stage.run(&["config", "check"]).ok();
    assert!(!done.stdout.contains("hunter2"), "{done:?}");
    assert!(done.stdout.contains("app:***@db.example"), "{done:?}");
}
