//! `bananas doctor`, on SQLite and on real Redis servers.

use serde_json::Value;

use crate::redis_server::RedisServer;
use crate::stage::{Done, Stage, TASKS};

/// Asks for the health, as a program would.
fn examine(stage: &Stage, args: &[&str]) -> Done {
    let mut all = vec!["doctor", "--json"];
    all.extend(args);
    stage.run(&all)
}

/// What a backend said about something.
fn fact<'a>(health: &'a Value, role: &str, name: &str) -> &'a Value {
    let backends = health["backends"].as_array().unwrap();
    let of_role = |backend: &&Value| backend["role"] == role;
    let backend = backends.iter().find(of_role).unwrap();
    let facts = backend["facts"].as_array().unwrap();
    let found = facts.iter().find(|fact| fact["name"] == name);
    found.unwrap_or_else(|| panic!("no {name:?} of {role:?} in {health}"))
}

#[test]
fn it_makes_no_database_and_looks_at_one_that_is_there() {
    let stage = Stage::new();
    let health = examine(&stage, &[]).ends_with(1).json();
    let file = fact(&health, "broker", "file");
    assert_eq!(file["level"], "warning");
    assert!(file["value"].as_str().unwrap().contains("not there yet"));
    assert!(!stage.path("bananas.db").exists());

    stage.enqueue(&["hello"]);
    // The folder of the test may be in memory, which is a warning.
    let done = examine(&stage, &[]);
    assert!(matches!(done.code, Some(0 | 1)), "{done:?}");
    let health = done.json();
    let both = "broker and store";
    assert_eq!(health["backends"].as_array().unwrap().len(), 1);
    assert_eq!(health["backends"][0]["durability"], "D3");
    assert_eq!(fact(&health, both, "durability")["level"], "info");
    assert_eq!(fact(&health, both, "journal mode")["value"], "wal");
    let shown = stage.run(&["doctor"]).stdout;
    assert!(shown.contains("D3, survives the loss of power"), "{shown}");
}

#[test]
fn memory_is_always_said_to_keep_nothing() {
    let stage = Stage::new();
    let health = examine(&stage, &["--url", "memory:"]).ends_with(1).json();
    let class = fact(&health, "broker and store", "durability");
    assert_eq!(class["level"], "warning");
    assert!(class["value"].as_str().unwrap().starts_with("D0, "));
}

#[test]
fn a_database_weaker_than_required_is_a_danger_and_says_what_to_change() {
    let stage = Stage::with("[broker]\nurl = \"sqlite://jobs.db\"\nrequire_durability = \"D3\"\n");
    stage.enqueue(&["hello"]);
    let weaker =
        "[broker]\nurl = \"sqlite://jobs.db?synchronous=normal\"\nrequire_durability = \"D3\"\n";
    let weaker = format!("{weaker}{TASKS}");
    std::fs::write(stage.path("bananas.toml"), weaker).unwrap();
    let health = examine(&stage, &[]).ends_with(2).json();
    let required = fact(&health, "broker and store", "required durability");
    assert_eq!(required["level"], "danger");
    stage
        .run(&["worker"])
        .ends_with(2)
        .says("require_durability is D3")
        .says("gives D2")
        .says("leave ?synchronous=normal out");
}

#[test]
fn a_mistake_in_the_configuration_is_a_danger() {
    let stage = Stage::with("[broker]\nurl = \"mysql://me:hunter2@host\"\n");
    let done = examine(&stage, &[]).ends_with(2);
    assert!(!done.stdout.contains("hunter2"), "{done:?}");
    let stage = Stage::with("[brokr]\n");
    let done = examine(&stage, &[]).ends_with(2);
    assert_eq!(done.json()["level"], "danger");
    stage.run(&["doctor"]).ends_with(2).says("brokr");
}

#[test]
fn a_redis_without_its_append_only_file_is_a_warning_and_refused_where_more_is_required() {
    let Some(redis) = RedisServer::start(&["--appendonly", "no"]) else {
        return;
    };
    let required = "[broker]\nrequire_durability = \"D2\"\n[store]\nurl = \"sqlite://jobs.db\"\n";
    let stage = Stage::with("[store]\nurl = \"sqlite://jobs.db\"\n");
    let run = |command: &str| {
        let mut command = stage.command(&[command, "--json"]);
        command.env("BANANAS_BROKER_URL", redis.url());
        Done::of(command.output().unwrap())
    };
    let health = run("doctor").ends_with(1).json();
    let class = fact(&health, "broker", "durability");
    assert_eq!(class["level"], "warning");
    assert!(class["value"].as_str().unwrap().starts_with("D1, "));
    assert!(class["advice"].as_str().unwrap().contains("appendonly yes"));
    let version = health["backends"][0]["version"].as_str().unwrap();
    assert!(version.contains('.'), "{version}");

    let required = format!("{required}{TASKS}");
    std::fs::write(stage.path("bananas.toml"), required).unwrap();
    let health = run("doctor").ends_with(2).json();
    let danger = fact(&health, "broker", "required durability");
    assert_eq!(danger["level"], "danger");
    assert!(danger["value"].as_str().unwrap().contains("D1"));
    run("worker")
        .ends_with(2)
        .says("require_durability is D2 (survives the kill of the server")
        .says("gives D1")
        .says("appendonly yes");

    redis.tell("CONFIG SET appendonly yes");
    stage.until("append-only file", || {
        let health = run("doctor").json();
        let found = fact(&health, "broker", "required durability")["level"] == "info";
        found.then_some(())
    });
}

#[test]
fn a_redis_that_may_throw_jobs_away_is_refused_or_a_danger() {
    let settings = ["--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"];
    let Some(redis) = RedisServer::start(&settings) else {
        return;
    };
    let stage = Stage::new();
    let health = examine(&stage, &["--url", &redis.url()])
        .ends_with(2)
        .json();
    let refusal = fact(&health, "broker", "connection");
    assert_eq!(refusal["level"], "danger");
    assert!(refusal["value"].as_str().unwrap().contains("noeviction"));
    let accepted = format!("{}?eviction=accepted", redis.url());
    let health = examine(&stage, &["--url", &accepted]).ends_with(2).json();
    let policy = fact(&health, "broker and store", "eviction policy");
    assert_eq!(
        (&policy["level"], &policy["value"]),
        (&"danger".into(), &"allkeys-lru".into())
    );
}

#[test]
fn a_redis_that_does_not_tell_its_settings_is_a_warning() {
    let Some(redis) = RedisServer::start(&["--appendonly", "yes"]) else {
        return;
    };
    redis.tell("ACL SETUSER app on >hidden ~* &* +@all -config -info");
    let url = redis.url().replace("redis://", "redis://app:hidden@");
    let stage = Stage::new();
    let done = examine(&stage, &["--url", &url]).ends_with(1);
    assert!(!done.stdout.contains("hidden"), "{done:?}");
    let health = done.json();
    for name in ["durability", "settings", "state"] {
        let of_both = fact(&health, "broker and store", name);
        assert_eq!(of_both["level"], "warning");
    }
    assert_eq!(health["backends"][0]["durability"], "D1");
}

#[test]
fn a_redis_that_cannot_be_reached_is_a_danger_and_the_store_is_still_looked_at() {
    let Some(mut redis) = RedisServer::start(&[]) else {
        return;
    };
    let stage = Stage::with("[store]\nurl = \"sqlite://jobs.db\"\n");
    let url = redis.url().replace("redis://", "redis://:hidden@");
    redis.kill();
    let mut command = stage.command(&["doctor", "--json"]);
    let command = command.env("BANANAS_BROKER_URL", format!("{url}?timeout_ms=500"));
    let done = Done::of(command.output().unwrap()).ends_with(2);
    assert!(!done.stdout.contains("hidden"), "{done:?}");
    let health = done.json();
    assert_eq!(health["backends"][0]["opened"], false);
    assert_eq!(fact(&health, "broker", "connection")["level"], "danger");
    assert_eq!(fact(&health, "store", "file")["level"], "warning");
}
