//! [`Process`]: a server's process, told from a later one that got the same id.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::deadline::{Deadline, pause};

/// How long an orderly end may take; RabbitMQ needs seconds, more on a busy machine.
const ORDERLY_S: u64 = 45;

/// How long the system may take to show that a killed process is gone.
const KILLED_S: u64 = 10;

/// The first process of a group of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id, and that of its group.
    pub(crate) pid: u32,
    /// When it was started, as the system counts.
    pub(super) started: String,
    /// Which start of the machine that was.
    pub(super) boot: String,
}

impl Process {
    /// One that runs.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let started = started(pid)?;
        let boot = boot();
        Some(Self { pid, started, boot })
    }

    /// Whether it runs: this very one, and no corpse.
    pub(crate) fn is_running(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Ends it with all that it has started: first asked, then killed. Answers whether it is gone.
    pub(crate) fn end(&self) -> Result<bool> {
        let somebody_else = Self::of(self.pid).is_some_and(|found| found != *self);
        if somebody_else || self.boot != boot() {
            return Ok(true);
        }
        // Also when the first process is gone: as long as one is left in its group, nobody else gets the id.
        self.signal("TERM")?;
        self.until_gone(ORDERLY_S);
        self.signal("KILL")?;
        Ok(self.until_gone(KILLED_S))
    }

    fn until_gone(&self, seconds: u64) -> bool {
        let deadline = Deadline::in_seconds(seconds);
        while self.is_running() && !deadline.is_over() {
            pause();
        }
        !self.is_running()
    }

    /// Signals the group. That there is none any more is no error.
    fn signal(&self, name: &str) -> Result<()> {
        let script = format!("kill -s {name} -- -{}", self.pid);
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stderr(Stdio::null());
        command.status().context("cannot start `sh`")?;
        Ok(())
    }
}

/// When a process that runs was started; nothing for one that does not, or is dead and not yet buried.
fn started(pid: u32) -> Option<String> {
    if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The name is in brackets and may contain anything; what comes behind it is words.
        let mut words = stat.rsplit(')').next()?.split_whitespace();
        let state = words.next()?;
        return (!["Z", "X"].contains(&state)).then(|| words.nth(18).map(str::to_owned))?;
    }
    if fs::exists("/proc/self/stat").unwrap_or(false) {
        return None;
    }
    let mut command = Command::new("ps");
    command.args(["-o", "stat=,lstart=", "-p", &pid.to_string()]);
    let shown = command.output().ok()?.stdout;
    let shown = String::from_utf8(shown).ok()?;
    let (state, started) = shown.trim().split_once(char::is_whitespace)?;
    // One word: it stands in a line of words.
    let started: Vec<&str> = started.split_whitespace().collect();
    (!state.starts_with('Z')).then(|| started.join("-"))
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() { "unknown" } else { id }.to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use super::*;

    #[test]
    fn a_process_is_ended_with_all_that_it_has_started() {
        let script = "sleep 600 & echo $!; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let mut child = command.process_group(0).spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        assert!(process.is_running());
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        let inner = Process::of(line.trim().parse().unwrap()).unwrap();
        assert!(process.end().unwrap());
        child.wait().unwrap();
        assert!(inner.until_gone(60), "the inner process runs on");
    }

    #[test]
    fn a_process_that_got_the_id_of_an_earlier_one_is_left_alone() {
        let mut command = Command::new("sleep");
        let mut child = command.arg("600").process_group(0).spawn().unwrap();
        let now = Process::of(child.id()).unwrap();
        for earlier in [
            Process {
                started: "1".to_owned(),
                ..now.clone()
            },
            Process {
                boot: "an earlier one".to_owned(),
                ..now.clone()
            },
        ] {
            assert!(!earlier.is_running());
            assert!(earlier.end().unwrap());
        }
        assert!(now.is_running(), "somebody else's process was ended");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!now.is_running());
    }
}
