//! Runs each example as a user does and checks what it prints.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Far more than an example takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Cargo builds the examples of a crate before it runs its tests, beside the folder of this program.
fn example(name: &str) -> Command {
    let deps = std::env::current_exe().unwrap();
    let path: PathBuf = deps.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(
        path.exists(),
        "{} is not built; use `cargo test -p examples`",
        path.display()
    );
    let mut command = Command::new(path);
    let ours = std::env::vars().filter(|(name, _)| name.starts_with("BANANAS_"));
    ours.for_each(|(name, _)| {
        command.env_remove(name);
    });
    command
}

#[test]
fn welcome_greets_the_user_after_ten_seconds_and_ends_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("bananas.toml"),
        "[broker]\nurl = \"memory:\"\n",
    )
    .unwrap();
    let mut program = example("welcome")
        .current_dir(folder.path())
        .env("SENDER", "us@example.org")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(program.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::Builder::new()
        .spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(sender.send(line)))
        })
        .unwrap();
    let line = lines.recv_timeout(DEADLINE);
    let pid = rustix::process::Pid::from_child(&program);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = program.wait().unwrap();
    reader.join().unwrap();
    assert_eq!(line.unwrap(), "us@example.org welcomes user 42 (attempt 1)");
    assert!(status.success(), "{status}");
}

#[test]
fn welcome_without_a_configuration_file_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let output = example("welcome")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("bananas.toml"), "{text}");
}

#[test]
fn shop_charges_at_the_third_attempt_and_reminds_later() {
    let output = example("shop").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [first, second, third, receipt, reminder] = lines.as_slice() else {
        panic!("{text}")
    };
    for (attempt, line) in [first, second, third].into_iter().enumerate() {
        let expected = format!("charging 1999 cents for order 7, attempt {}", attempt + 1);
        assert_eq!(**line, expected);
    }
    assert!(
        receipt.starts_with("receipt ") && receipt.ends_with(" for order 7"),
        "{receipt}"
    );
    assert_eq!(*reminder, "how do you like order 7?");
}
