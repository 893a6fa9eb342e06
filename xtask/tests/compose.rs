//! `cargo xtask brokers` where Docker runs. A program that stands in for Docker writes down how it is called, and
//! says that what was started runs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Keeps a line for each call in `calls`, and the services that run in `running`.
const DOCKER: &str = r#"#!/bin/sh
echo "$*" >>calls
case "$*" in
    info | "compose version") exit 0 ;;
    "compose up --detach --wait --wait-timeout 600 nats") echo nats was pulled; exit 1 ;;
    "compose up --detach --wait --wait-timeout 600 "*)
        shift 6
        for name; do echo "$name" >>running; done ;;
    "compose rm --force --stop --volumes "*)
        shift 5
        for name; do sed -i "/^$name\$/d" running; done ;;
    "compose ps --services --status running") cat running ;;
    "compose logs "*) echo the log of nats ;;
    *) echo "docker cannot do: $*" >&2; exit 64 ;;
esac
"#;

/// A workspace without anything in it, and the path to the program.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        fs::write(folder.path().join("running"), "").unwrap();
        let desk = Self(folder);
        fs::create_dir(desk.path("bin")).unwrap();
        let docker = desk.path("bin/docker");
        fs::write(&docker, DOCKER).unwrap();
        fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs it, and answers with whether it was fine, and what it printed.
    fn brokers(&self, arguments: &[&str]) -> (bool, String) {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("brokers").args(arguments);
        command.current_dir(self.0.path());
        command.env("CARGO_TARGET_DIR", self.path("target"));
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.success(), text)
    }

    /// The calls since the last look, without those that ask whether Docker is there.
    fn calls(&self) -> Vec<String> {
        let text = self.read("calls");
        fs::write(self.path("calls"), "").unwrap();
        let is_work = |line: &&str| !["info", "compose version"].contains(line);
        text.lines().filter(is_work).map(str::to_owned).collect()
    }
}

#[test]
fn containers_are_started_shown_and_removed_with_their_data() {
    let desk = Desk::new();
    let (fine, text) = desk.brokers(&["up", "redis", "postgres"]);
    assert!(fine, "{text}");
    let up = "compose up --detach --wait --wait-timeout 600 redis postgres";
    assert_eq!(desk.calls(), [up]);
    let redis = "export BANANAS_TEST_REDIS_URL=redis://127.0.0.1:7379\n";
    assert!(text.contains(redis), "{text}");
    assert!(desk.read("target/brokers/env").contains(redis));

    let (fine, text) = desk.brokers(&["status"]);
    assert!(fine, "{text}");
    let line = text
        .lines()
        .find(|line| line.starts_with("redis "))
        .unwrap();
    assert!(line.contains("in Docker"), "{text}");
    assert_eq!(desk.calls(), ["compose ps --services --status running"]);

    let (fine, _) = desk.brokers(&["down", "redis"]);
    assert!(fine);
    assert_eq!(desk.calls(), ["compose rm --force --stop --volumes redis"]);
    assert!(!desk.read("target/brokers/env").contains("REDIS"));
    assert!(desk.read("target/brokers/env").contains("POSTGRES"));

    assert!(desk.brokers(&["down"]).0);
    assert_eq!(
        desk.calls(),
        ["compose rm --force --stop --volumes postgres"]
    );
    assert!(desk.brokers(&["down"]).0, "down twice");
    assert_eq!(desk.calls(), Vec::<String>::new());
}

#[test]
fn a_container_that_has_ended_is_seen() {
    let desk = Desk::new();
    assert!(desk.brokers(&["up", "redis"]).0);
    fs::write(desk.path("running"), "").unwrap();
    let (fine, text) = desk.brokers(&["status"]);
    assert!(!fine);
    assert!(text.contains("ended"), "{text}");
}

#[test]
fn a_container_that_does_not_get_healthy_shows_its_log_and_can_be_removed() {
    let desk = Desk::new();
    let (fine, text) = desk.brokers(&["up", "nats"]);
    assert!(!fine);
    assert!(text.contains("the log of nats"), "{text}");
    desk.calls();
    assert!(desk.brokers(&["down"]).0);
    assert_eq!(desk.calls(), ["compose rm --force --stop --volumes nats"]);
}

#[test]
fn without_docker_nothing_of_it_is_called() {
    let desk = Desk::new();
    let docker = "#!/bin/sh\necho \"$*\" >>calls\nexit 1\n";
    fs::write(desk.path("bin/docker"), docker).unwrap();
    let (fine, text) = desk.brokers(&["up", "redis"]);
    assert_eq!(fine, has_redis(), "{text}");
    assert_eq!(desk.calls(), Vec::<String>::new());
    assert!(text.contains("private"), "{text}");
    assert!(desk.brokers(&["down"]).0);
}

fn has_redis() -> bool {
    let path = std::env::var("PATH").unwrap();
    std::env::split_paths(&path)
        .chain([
            Path::new("/usr/sbin").to_owned(),
            Path::new("/usr/local/sbin").to_owned(),
        ])
        .any(|folder| folder.join("redis-server").is_file())
}
