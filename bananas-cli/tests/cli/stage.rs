//! A folder with a configuration, in which commands and workers run.
//!
//! Scripts of the tests hold on while the file `hold` exists. It goes away with the folder, so that nothing
//! that a killed worker left behind outlives its test.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    dir: TempDir,
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A worker process, killed when dropped.
pub(crate) struct Worker(Child);

/// A task that greets, one that holds on, and one that fails.
pub(crate) const TASKS: &str = r#"
[tasks.hello.exec]
argv = ["echo", "hello, {name}"]

[tasks.hold.exec]
shell = '''
echo $$ >> started
while [ -e hold ]; do sleep 0.05; done
echo '"released"'
'''

[tasks.fail]
max_attempts = 1
[tasks.fail.exec]
shell = "echo broken on purpose >&2; exit 7"
"#;

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(TASKS)
    }

    pub(crate) fn with(config: &str) -> Self {
        let stage = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::write(stage.path("bananas.toml"), config).unwrap();
        std::fs::write(stage.path("hold"), "").unwrap();
        stage
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Lets the scripts that hold on end.
    pub(crate) fn release(&self) {
        std::fs::remove_file(self.path("hold")).unwrap();
    }

    /// The processes of scripts that have started.
    pub(crate) fn started(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("started")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bananas"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BANANAS_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        Done::of(self.command(args).output().unwrap())
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Done {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input));
            Done::of(child.wait_with_output().unwrap())
        })
    }

    /// Enqueues one job and answers with its id.
    pub(crate) fn enqueue(&self, args: &[&str]) -> String {
        let mut all = vec!["enqueue"];
        all.extend(args);
        self.run(&all).ok().stdout.trim().to_owned()
    }

    pub(crate) fn show(&self, id: &str) -> Value {
        self.run(&["jobs", "show", "--json", id]).ok().json()
    }

    /// Waits until a job is as it should be.
    pub(crate) fn until_job(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.until(&format!("job {id}"), || {
            Some(self.show(id)).filter(|job| is_so(job))
        })
    }

    /// Waits until a job is in a state.
    pub(crate) fn until_state(&self, id: &str, state: &str) -> Value {
        self.until_job(id, |job| job["state"] == state)
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the deadline of a test is real time"
    )]
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            let jobs = || self.run(&["jobs", "list"]).stdout;
            assert!(
                start.elapsed() < DEADLINE,
                "no {what} in {DEADLINE:?}; jobs:\n{}",
                jobs()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts a worker; its log is in the file `NAME.log`.
    pub(crate) fn worker(&self, name: &str, args: &[&str]) -> Worker {
        let mut all = vec!["worker"];
        all.extend(args);
        let log = std::fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        Worker(
            self.command(&all)
                .stderr(log)
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap()
    }
}

impl Done {
    pub(crate) fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn ok(self) -> Self {
        self.ends_with(0)
    }

    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Standard error holds this.
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in {self:#?}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in {self:#?}"))
    }

    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Worker {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal, once the process takes signals: before, it would just end.
    pub(crate) fn signal(&self, stage: &Stage, signal: Signal) {
        if signal != Signal::KILL {
            stage.until("handler of signals", || self.catches(signal).then_some(()));
        }
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn catches(&self, signal: Signal) -> bool {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
    }

    /// Waits until it has ended, and answers with its exit code.
    pub(crate) fn ended(&mut self, stage: &Stage) -> Option<i32> {
        stage
            .until("end of the worker", || self.0.try_wait().unwrap())
            .code()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether a process runs and is no zombie.
pub(crate) fn is_running(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")) else {
        return false;
    };
    !stat
        .rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
}
