//! A real server, started and ended as `cargo xtask brokers` does it.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

fn redis() -> &'static Server {
    wanted(&["redis".to_owned()]).unwrap()[0]
}

/// Whether the program is there. In CI it must be; elsewhere it is said that nothing was tested.
fn has_redis() -> bool {
    let there = start::program("redis-server", "redis-server");
    if let Err(error) = &there {
        let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
        assert!(!required, "BANANAS_TEST_REQUIRED is set, but {error}");
        writeln!(std::io::stderr(), "SKIPPED: {error}").unwrap();
    }
    there.is_ok()
}

fn url(place: &Place) -> String {
    let record = Record::read(place, "redis").unwrap();
    record.exports[0].1.clone()
}

fn pid(place: &Place) -> u32 {
    let record = Record::read(place, "redis").unwrap();
    record.processes[0].pid
}

fn is_alive(url: &str) -> bool {
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    start::answer(port, b"PING\r\n").is_some_and(|found| found == b"+PONG\r\n")
}

#[test]
fn a_server_is_started_once_and_ended_with_its_data() {
    if !has_redis() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path());
    assert!(up(&place, &[redis()]).unwrap());
    let (first, pid_of_first) = (url(&place), pid(&place));
    assert!(is_alive(&first));
    let expected = format!("export BANANAS_TEST_REDIS_URL={first}\n");
    assert_eq!(env_file::text(&place).unwrap(), expected);

    assert!(up(&place, &[redis()]).unwrap());
    assert_eq!(
        (url(&place), pid(&place)),
        (first.clone(), pid_of_first),
        "started twice"
    );

    assert!(down(&place, &[redis()]).unwrap());
    assert!(!is_alive(&first));
    assert!(!place.folder("redis").exists());
    assert_eq!(env_file::text(&place).unwrap(), "");
    assert!(down(&place, &[redis()]).unwrap(), "down twice");
}

#[test]
fn a_server_that_was_killed_is_seen_and_started_again() {
    if !has_redis() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path());
    assert!(up(&place, &[redis()]).unwrap());
    let killed = Process::of(pid(&place)).unwrap();
    let mut command = Command::new("kill");
    command.args(["-s", "KILL", &killed.pid.to_string()]);
    assert!(command.status().unwrap().success());
    let deadline = deadline::Deadline::in_seconds(60);
    while killed.is_running() && !deadline.is_over() {
        deadline::pause();
    }
    assert!(!is_up(&place, redis()).unwrap());
    assert!(!status::run(folder.path(), &place).unwrap());
    assert!(up(&place, &[redis()]).unwrap());
    assert!(is_alive(&url(&place)));
    assert!(status::run(folder.path(), &place).unwrap());
    assert!(down(&place, &[redis()]).unwrap());
}

#[test]
fn what_was_not_started_here_is_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path());
    let mut command = Command::new("sleep");
    let mut stranger = command.arg("600").stdin(Stdio::null()).spawn().unwrap();
    std::fs::create_dir_all(place.folder("redis")).unwrap();
    let mut process = Process::of(stranger.id()).unwrap();
    "0".clone_into(&mut process.started);
    let record = Record {
        processes: vec![process],
        ..Record::default()
    };
    record.write(&place, "redis").unwrap();
    assert!(down(&place, &[redis()]).unwrap());
    assert_eq!(stranger.try_wait().unwrap(), None);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_failed_start_leaves_nothing_and_the_others_go_on() {
    let broken = Server {
        name: "broken",
        variable: "X",
        compose_url: "",
        start: |start| {
            let mut command = Command::new("sh");
            command.args(["-c", "echo out of order; sleep 600"]);
            start.spawn(command)?;
            anyhow::bail!("it is broken")
        },
    };
    let fine = Server {
        name: "fine",
        variable: "Y",
        compose_url: "",
        start: |start| {
            let mut command = Command::new("sleep");
            command.arg("600");
            start.spawn(command)?;
            Ok(vec![("Y".to_owned(), "here".to_owned())])
        },
    };
    let (broken, fine): (&'static Server, &'static Server) =
        (Box::leak(Box::new(broken)), Box::leak(Box::new(fine)));
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path());
    assert!(!up(&place, &[broken, fine]).unwrap());
    assert!(!place.folder("broken").exists());
    assert!(is_up(&place, fine).unwrap());
    assert!(down(&place, &[broken, fine]).unwrap());
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let text = wanted(&["rabbit".to_owned()]).unwrap_err().to_string();
    assert!(
        text.contains("\"rabbit\"") && text.contains("rabbitmq"),
        "{text}"
    );
    assert_eq!(wanted(&[]).unwrap().len(), SERVERS.len());
}
