//! A process and all that it starts, as one thing to signal.
//!
//! The group is named by the id of its first process, and that id stays ours only while that process has not
//! been reaped. So its end is seen without reaping it, the group is signalled, and only then it is reaped.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::{fs, io};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid,
};

/// A process that leads a group of its own. Dropping it kills the group.
#[derive(Debug)]
pub(super) struct ProcessGroup {
    leader: Child,
    pid: Pid,
    /// Kills the group when this program dies without a chance to do so.
    guard: Child,
    reaped: bool,
}

impl ProcessGroup {
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut leader = command.process_group(0).spawn()?;
        let pid = Pid::from_child(&leader);
        match guard(pid) {
            Ok(guard) => Ok(Self {
                leader,
                pid,
                guard,
                reaped: false,
            }),
            Err(error) => {
                kill_process_group(pid, Signal::KILL).ok();
                leader.wait().ok();
                Err(error)
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.leader.id()
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process_group(self.pid, signal)?)
    }

    /// Stops all of it, and waits until the leader stands still.
    pub(super) fn stop(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        // Nothing can ignore this signal, so that the wait is short.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.pid), options)?;
        Ok(())
    }

    /// How the leader ended, if it has. It is not reaped.
    pub(super) fn ended(&self) -> io::Result<Option<String>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.pid), options)?;
        Ok(status.map(|status| match status.exit_status() {
            Some(code) => format!("exit code {code}"),
            None => format!("signal {:?}", status.terminating_signal()),
        }))
    }

    /// Whether any process of the group still runs.
    pub(super) fn is_left(pid: Pid) -> bool {
        // A dead process counts for the signal until it is reaped, and whoever reaps orphans may take long.
        test_kill_process_group(pid).is_ok() && living(pid).unwrap_or(true)
    }

    /// Kills all of it and reaps the leader. What the leader started may take a moment longer to go.
    pub(super) fn kill(mut self) -> Pid {
        self.end();
        self.pid
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.reaped, true) {
            return;
        }
        // The guard goes while the id is still ours.
        self.guard.kill().ok();
        self.guard.wait().ok();
        kill_process_group(self.pid, Signal::KILL).ok();
        self.leader.wait().ok();
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether Linux lists a process of the group that is not dead. It is an error where there is no such list.
fn living(group: Pid) -> io::Result<bool> {
    for process in fs::read_dir("/proc")? {
        let stat = process?.path().join("stat");
        let Ok(stat) = fs::read_to_string(stat) else {
            continue;
        };
        // After the name, which is in brackets and may contain anything: state, parent, group.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let mut words = after_name.split_whitespace();
        let (state, of) = (words.next(), words.nth(1));
        if of == Some(group.to_string().as_str()) && !matches!(state, Some("Z" | "X")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A shell that waits for the end of its input, which comes when this program ends, however that may be.
fn guard(pid: Pid) -> io::Result<Child> {
    let script = format!("read _; kill -s KILL -- -{}", pid.as_raw_nonzero());
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.process_group(0).spawn()
}
