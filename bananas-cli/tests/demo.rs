//! `bananas demo` on folders of all kinds, as a user runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "cli/redis_server.rs"]
mod redis_server;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bananas::amqp::{AmqpBroker, AmqpConfig};
use bananas::{Broker, Env, QueueName, TokioEnv};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use redis_server::RedisServer;

/// Far more than any of these runs takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder to digest, and one for temporary files, which has to be empty at the end.
struct Ground {
    folder: TempDir,
    temporary: TempDir,
    contents: Vec<Vec<u8>>,
}

impl Ground {
    fn new() -> Self {
        let [folder, temporary] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        Self {
            folder,
            temporary,
            contents: Vec::new(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that the demo has to count.
    fn file(&mut self, name: impl AsRef<OsStr>, content: &[u8]) {
        self.left_out(name, content);
        self.contents.push(content.to_vec());
    }

    /// Writes a file that the demo has to leave out.
    fn left_out(&self, name: impl AsRef<OsStr>, content: &[u8]) {
        let path = self.path().join(Path::new(name.as_ref()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn files(&mut self, count: usize) {
        for number in 0..count {
            self.file(
                format!("file-{number:05}"),
                format!("line {number}\n").as_bytes(),
            );
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bananas"));
        command
            .env("TMPDIR", self.temporary.path())
            .arg("demo")
            .arg(self.path());
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs the demo to its good end and answers with its JSON.
    fn report(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["--json"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        report_of(&output.stdout)
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self.command().args(arguments).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::Builder::new()
            .spawn(move || {
                errors
                    .lines()
                    .map_while(Result::ok)
                    .for_each(|line| drop(sender.send(line)))
            })
            .unwrap();
        let mut running = Running {
            child,
            workers: Vec::new(),
            lines,
        };
        // "demo: 8 files below /x; worker processes 12, 13, 14 run 1 job each at a time"
        let line = running.wait_for_line("worker processes");
        let pids = line
            .split("worker processes ")
            .nth(1)
            .unwrap_or_else(|| panic!("{line}"));
        let pids = pids.split(" run").next().unwrap().split(", ");
        running.workers = pids.map(|pid| pid.parse().unwrap()).collect();
        running
    }

    fn temporary_files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.temporary.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    fn assert_figures(&self, report: &Value) {
        let mut copies: HashMap<&[u8], usize> = HashMap::new();
        for content in &self.contents {
            *copies.entry(content).or_default() += 1;
        }
        let again = copies.iter().filter(|(_, count)| **count > 1);
        let lines = self
            .contents
            .iter()
            .flatten()
            .filter(|byte| **byte == b'\n')
            .count();
        let expected = [
            ("succeeded", self.contents.len()),
            ("bytes", self.contents.iter().map(Vec::len).sum()),
            ("lines", lines),
            ("duplicates", self.contents.len() - copies.len()),
            ("duplicate_groups", again.clone().count()),
            (
                "duplicate_bytes",
                again
                    .map(|(content, count)| content.len() * (count - 1))
                    .sum(),
            ),
            ("lost", 0),
            ("mismatched", 0),
            ("killed_workers", 1),
        ];
        for (name, value) in expected {
            assert_eq!(report[name], value, "{name} in {report}");
        }
        assert!(report["rerun"].as_u64().unwrap() >= 1, "{report}");
        assert_eq!(report["rerun"], report["kill"]["running"], "{report}");
        assert!(
            report["jobs_per_second"].as_f64().unwrap() > 0.0,
            "{report}"
        );
    }
}

/// A demo that runs, with its worker processes.
struct Running {
    child: Child,
    workers: Vec<i32>,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn wait_for_line(&self, word: &str) -> String {
        let mut lines = std::iter::from_fn(|| self.lines.recv_timeout(DEADLINE).ok());
        lines
            .find(|line| line.contains(word))
            .unwrap_or_else(|| panic!("no line with {word:?}"))
    }

    fn end(self) -> Output {
        self.child.wait_with_output().unwrap()
    }
}

fn report_of(stdout: &[u8]) -> Value {
    let text = std::str::from_utf8(stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Makes a file that its folder shows and that no path reaches, for its path is longer than the system takes:
/// even root cannot read it, whom permissions do not stop.
fn put_out_of_reach(root: &Path) {
    const LONGEST_NAME: usize = 255;
    let mut left = 4_050 - root.as_os_str().len() - 1 - LONGEST_NAME;
    let mut deep = PathBuf::new();
    while left > 1 {
        let name = LONGEST_NAME.min(left - 1);
        deep.push("d".repeat(name));
        left -= name + 1;
    }
    let short = root.join("e");
    fs::create_dir_all(short.join(&deep)).unwrap();
    fs::write(short.join(&deep).join("f".repeat(200)), "out of reach").unwrap();
    fs::rename(&short, root.join("e".repeat(LONGEST_NAME))).unwrap();
}

/// Whether a process runs; one that has ended and was not yet waited for does not.
fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[expect(
    clippy::disallowed_methods,
    reason = "processes are waited for in real time"
)]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !condition() {
        assert!(
            Instant::now() < until,
            "{what} did not happen in {DEADLINE:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn every_figure_is_that_of_the_folder() {
    let mut ground = Ground::new();
    ground.file("a/b/c/deep.txt", b"one\ntwo\nthree");
    ground.file("a/copy.txt", b"the same\n");
    ground.file("b/copy of copy.txt", b"the same\n");
    ground.file("b/third\ncopy", b"the same\n");
    ground.file("empty", b"");
    ground.file(OsStr::from_bytes(b"not/utf-8 \xff\xfe"), b"bytes\n");
    ground.file("large", &b"0123456789 a line of text\n".repeat(50_000));
    ground.file(".hidden", b"hidden\n");
    ground.left_out(".git/HEAD", b"ref");
    ground.left_out("a/target/debug/x", b"x");
    ground.left_out("node_modules/y", b"y");
    std::os::unix::fs::symlink("large", ground.path().join("link")).unwrap();
    std::os::unix::fs::symlink("a", ground.path().join("folder link")).unwrap();
    std::os::unix::fs::symlink("nowhere", ground.path().join("dangling")).unwrap();
    let report = ground.report(&["--verify"]);
    ground.assert_figures(&report);
    assert_eq!(report["files"], ground.contents.len());
    assert_eq!(report["compared"], ground.contents.len());
    assert_eq!(report["workers"], 3);
    assert_eq!(report["database"], Value::Null);
    assert_eq!(ground.temporary_files(), [] as [PathBuf; 0]);
}

#[test]
fn jobs_that_wait_on_redis_are_not_lost_either_and_their_queue_is_removed() {
    let Some(redis) = RedisServer::start(&["--appendonly", "yes"]) else {
        return;
    };
    let mut ground = Ground::new();
    ground.files(8);
    let report = ground.report(&["--url", &redis.url()]);
    ground.assert_figures(&report);
    assert_eq!(report["broker"]["url"], redis.url());
    assert_eq!(redis.keys(), 0, "something stays behind");
    assert_eq!(ground.temporary_files(), Vec::<PathBuf>::new());
    for place in ["sqlite://jobs.db", "memory:"] {
        let output = ground.run(&["--url", place]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("--database"), "{text}");
    }
}

#[test]
fn jobs_that_wait_on_rabbitmq_are_recorded_in_a_file_and_not_lost_either() {
    let Ok(url) = std::env::var("BANANAS_TEST_AMQP_URL") else {
        let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
        assert!(!required, "BANANAS_TEST_AMQP_URL names no server");
        let said = "SKIPPED: BANANAS_TEST_AMQP_URL names no server";
        writeln!(std::io::stderr(), "{said}").unwrap();
        return;
    };
    let mut ground = Ground::new();
    ground.files(8);
    let report = ground.report(&["--url", &url]);
    ground.assert_figures(&report);
    assert_eq!(ground.temporary_files(), Vec::<PathBuf>::new());
    let namespace = report["broker"]["namespace"].as_str().unwrap();
    assert_eq!(left_on_rabbitmq(&url, namespace), [""; 0]);
}

/// The queues of the demo that are still there: its own and the lanes beside it.
#[tokio::main(flavor = "current_thread")]
async fn left_on_rabbitmq(url: &str, namespace: &str) -> Vec<String> {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let mut config = AmqpConfig::from_url(url).unwrap();
    config.namespace = namespace.to_owned();
    let broker = AmqpBroker::open(config, env).await.unwrap();
    let names = ["demo", "demo:high1", "demo:low1"];
    let names = names.map(|name| QueueName::new(name).unwrap());
    let there = broker.admin().unwrap().depth(&names).await.unwrap();
    there.iter().map(|it| it.queue.to_string()).collect()
}

#[test]
fn all_includes_what_tools_make() {
    let mut ground = Ground::new();
    ground.file("a", b"a");
    ground.file(".git/HEAD", b"ref");
    ground.file("target/x", b"x");
    ground.file("node_modules/y", b"y");
    ground.assert_figures(&ground.report(&["--all"]));
    assert_eq!(ground.report(&[])["files"], 1);
}

#[test]
fn thousands_of_files_need_no_slowing_down_to_catch_a_worker() {
    let mut ground = Ground::new();
    ground.files(2_500);
    let report = ground.report(&[]);
    ground.assert_figures(&report);
    assert_eq!(report["pace_ms"], 0);
}

#[test]
fn one_worker_with_one_file_is_killed_in_the_middle_of_it() {
    let mut ground = Ground::new();
    ground.files(1);
    let report = ground.report(&["--workers", "1"]);
    ground.assert_figures(&report);
    assert_eq!(report["rerun"], 1);
}

#[test]
fn a_file_that_cannot_be_read_is_no_loss() {
    let mut ground = Ground::new();
    ground.files(5);
    put_out_of_reach(ground.path());
    let mut unreadable = 1;
    ground.left_out("locked", b"secret");
    let locked = ground.path().join("locked");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read it all the same; then it is a file like the others.
    match fs::read(&locked) {
        Ok(content) => ground.contents.push(content),
        Err(_) => unreadable += 1,
    }
    let report = ground.report(&[]);
    ground.assert_figures(&report);
    assert_eq!(report["files"], 7, "{report}");
    assert_eq!(report["unreadable"], unreadable, "{report}");
    assert_eq!(report["remarks"][0]["what"], "unreadable", "{report}");
    let reason = report["remarks"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("too long"), "{reason}");
}

#[test]
fn a_file_that_vanishes_is_no_loss_and_one_that_appears_is_none_either() {
    let mut ground = Ground::new();
    ground.files(7);
    ground.left_out("z-last", b"gone before its turn");
    let running = ground.start(&["--json", "--workers", "1", "--pace", "700ms"]);
    // Half of the jobs have ended then; three of the others are before this one.
    running.wait_for_line("SIGKILL");
    fs::remove_file(ground.path().join("z-last")).unwrap();
    ground.left_out("new", b"too late");
    let output = running.end();
    assert!(output.status.success(), "{output:?}");
    let report = report_of(&output.stdout);
    ground.assert_figures(&report);
    assert_eq!(
        (&report["files"], &report["vanished"]),
        (&8.into(), &1.into()),
        "{report}"
    );
    assert_eq!(report["appeared"], 1, "{report}");
    let reason = report["remarks"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("No such file"), "{reason}");
}

#[test]
fn the_database_stays_where_it_was_asked_for_and_is_not_counted_itself() {
    let mut ground = Ground::new();
    ground.files(5);
    let database = ground.path().join("jobs.db");
    let path = database.to_str().unwrap();
    let report = ground.report(&["--database", path]);
    ground.assert_figures(&report);
    assert_eq!(report["files"], 5);
    let url = report["database"].as_str().unwrap();
    let jobs = Command::new(env!("CARGO_BIN_EXE_bananas"))
        .args([
            "jobs",
            "list",
            "--json",
            "--state",
            "succeeded",
            "--url",
            url,
        ])
        .output()
        .unwrap();
    assert!(jobs.status.success(), "{jobs:?}");
    assert_eq!(String::from_utf8(jobs.stdout).unwrap().lines().count(), 5);
    let again = ground.run(&["--database", path]);
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("exists already")
    );
}

#[test]
fn what_is_kept_is_named_in_the_report() {
    let mut ground = Ground::new();
    ground.files(3);
    let output = ground.run(&["--keep"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let [kept] = ground.temporary_files().try_into().unwrap();
    assert!(
        text.contains("bananas jobs list --url 'sqlite://"),
        "{text}"
    );
    assert!(
        text.contains(kept.file_name().unwrap().to_str().unwrap()),
        "{text}"
    );
    assert!(kept.join("demo.db").exists() && kept.join("worker-1.log").exists());
}

#[test]
fn an_empty_folder_is_nothing_to_do() {
    let ground = Ground::new();
    let output = ground.run(&[]);
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("no files there")
    );
    let report = ground.report(&[]);
    for name in ["files", "lost", "killed_workers", "rerun", "succeeded"] {
        assert_eq!(report[name], 0, "{name} in {report}");
    }
    assert_eq!(ground.temporary_files(), [] as [PathBuf; 0]);
}

#[test]
fn a_folder_that_is_none_is_a_usage_error_that_names_it() {
    let mut ground = Ground::new();
    ground.files(1);
    for (name, word) in [
        ("missing", "cannot be found"),
        ("file-00000", "is not a folder"),
    ] {
        let path = ground.path().join(name);
        let output = Command::new(env!("CARGO_BIN_EXE_bananas"))
            .arg("demo")
            .arg(&path)
            .output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains(word) && text.contains(path.to_str().unwrap()),
            "{text}"
        );
    }
}

#[test]
fn a_worker_that_dies_by_itself_is_replaced_and_reported() {
    let mut ground = Ground::new();
    ground.files(8);
    let running = ground.start(&["--json", "--workers", "2", "--pace", "500ms"]);
    let pid = running.workers[1];
    signal(pid, Signal::KILL);
    let output = running.end();
    assert!(output.status.success(), "{output:?}");
    let report = report_of(&output.stdout);
    assert_eq!(
        (&report["succeeded"], &report["lost"]),
        (&8.into(), &0.into()),
        "{report}"
    );
    assert_eq!(report["died_workers"][0]["pid"], pid, "{report}");
    assert_eq!(
        report["died_workers"].as_array().unwrap().len(),
        1,
        "{report}"
    );
}

#[test]
fn ctrl_c_leaves_neither_processes_nor_files() {
    let mut ground = Ground::new();
    ground.files(20);
    let running = ground.start(&["--pace", "5s"]);
    let workers = running.workers.clone();
    assert_eq!(workers.iter().filter(|pid| is_alive(**pid)).count(), 3);
    signal(i32::try_from(running.child.id()).unwrap(), Signal::INT);
    let output = running.end();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(!workers.into_iter().any(is_alive));
    assert_eq!(ground.temporary_files(), [] as [PathBuf; 0]);
}

#[test]
fn workers_end_when_the_demo_itself_is_killed() {
    let mut ground = Ground::new();
    ground.files(20);
    let mut running = ground.start(&["--pace", "300ms"]);
    // From then on the others are surely at work.
    running.wait_for_line("SIGKILL");
    let workers = running.workers.clone();
    assert_eq!(workers.iter().filter(|pid| is_alive(**pid)).count(), 2);
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    wait_until("the end of the workers", || {
        !workers.iter().any(|pid| is_alive(*pid))
    });
}
