//! The commands on a real RabbitMQ server, which records no jobs: beside it is a store in SQLite.

use std::io::Write;

use crate::stage::{Stage, TASKS};

/// A place of its own on the server that `BANANAS_TEST_AMQP_URL` names; `None`, said aloud, where there is none
/// and need not be.
fn stage() -> Option<Stage> {
    let Ok(url) = std::env::var("BANANAS_TEST_AMQP_URL") else {
        let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
        assert!(!required, "BANANAS_TEST_AMQP_URL names no server");
        let said = writeln!(
            std::io::stderr(),
            "SKIPPED: BANANAS_TEST_AMQP_URL names no server"
        );
        said.unwrap();
        return None;
    };
    // Folders for tests have names that never come again, and the server may be an old one.
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().file_name().unwrap().to_string_lossy();
    let namespace = format!("test{name}");
    let config = format!("[broker]\nurl = \"{url}\"\nnamespace = \"{namespace}\"\n{TASKS}");
    Some(Stage::with(&config))
}

#[test]
fn the_doctor_says_which_server_it_is_and_what_it_does_not_tell() {
    let Some(stage) = stage() else {
        return;
    };
    let health = stage.run(&["doctor", "--json"]).ends_with(1).json();
    let broker = &health["backends"][0];
    assert_eq!(broker["role"], "broker");
    let facts = broker["facts"].as_array().unwrap();
    let value = |name: &str| {
        let fact = facts.iter().find(|fact| fact["name"] == name);
        fact.unwrap_or_else(|| panic!("no {name:?} in {health}"))
    };
    assert!(
        value("durability")["value"]
            .as_str()
            .unwrap()
            .starts_with("D3")
    );
    assert_eq!(value("publishing")["level"], "info");
    assert_eq!(value("settings")["level"], "warning");
}
