//! Runs each example as a user does and checks what it prints.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

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

/// A `welcome` that runs, on the broker of this URL.
struct Welcome {
    process: Child,
    lines: mpsc::Receiver<String>,
    reader: JoinHandle<()>,
    _folder: TempDir,
}

impl Welcome {
    fn start(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Folders for tests have names that never come again, and a server may be an old one.
        let name = folder.path().file_name().unwrap().to_string_lossy();
        let namespace = name.trim_start_matches('.');
        let config = format!("[broker]\nurl = \"{url}\"\nnamespace = \"{namespace}\"\n");
        fs::write(folder.path().join("bananas.toml"), config).unwrap();
        let mut process = example("welcome")
            .current_dir(folder.path())
            .env("SENDER", "us@example.org")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        let reader = std::thread::Builder::new()
            .spawn(move || {
                output
                    .lines()
                    .map_while(Result::ok)
                    .for_each(|line| drop(sender.send(line)))
            })
            .unwrap();
        Self {
            process,
            lines,
            reader,
            _folder: folder,
        }
    }

    /// Its first line, after which it is told to end.
    fn end(mut self, url: &str) {
        let line = self.lines.recv_timeout(DEADLINE);
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.process.wait().unwrap();
        self.reader.join().unwrap();
        let line = line.unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!(line, "us@example.org welcomes user 42 (attempt 1)", "{url}");
        assert!(status.success(), "{url}: {status}");
    }
}

#[test]
fn welcome_greets_the_user_after_ten_seconds_and_ends_when_told_to() {
    Welcome::start("memory:").end("memory:");
}

#[test]
fn welcome_greets_on_every_server_by_nothing_but_another_url() {
    let mut running = Vec::new();
    for server in ["REDIS", "AMQP", "NATS", "NATS_OLD", "SQS"] {
        let variable = format!("BANANAS_TEST_{server}_URL");
        let Ok(url) = std::env::var(&variable) else {
            let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
            assert!(!required, "{variable} names no server");
            let said = writeln!(std::io::stderr(), "SKIPPED: {variable} names no server");
            said.unwrap();
            continue;
        };
        // An emulator of SQS is named as AWS names endpoints.
        let url = match url.strip_prefix("http://") {
            Some(address) => format!("sqs://KEY:SECRET@{address}?region=us-east-1"),
            None => url,
        };
        running.push((Welcome::start(&url), url));
    }
    for (welcome, url) in running {
        welcome.end(&url);
    }
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
