//! The process group of one program: all that it starts and does not set apart itself.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::Env;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::Child;

/// How long a program may take to obey SIGTERM.
pub(super) const TERM: Duration = Duration::from_secs(5);

/// How long killed processes may take to be gone.
const KILL: Duration = Duration::from_secs(2);

/// How often it is looked whether a group has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A process group that does not outlive this value: dropping it kills what is left.
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

impl Group {
    /// The group that a child leads.
    pub(super) fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        Self(pid.and_then(Pid::from_raw))
    }

    /// Asks the group to end, waits a while, kills what is left, and waits until that is gone too: the job
    /// may run again as soon as this returns.
    pub(super) async fn end(self, child: &mut Child, env: &Arc<dyn Env>) {
        let Some(pid) = self.0 else { return };
        // Errors here mean that there is nobody left to end.
        if kill_process_group(pid, Signal::TERM).is_err() {
            return;
        }
        let deadline = env.monotonic() + TERM;
        if env.until(deadline, gone(child, pid, env)).await.is_ok() {
            return;
        }
        if kill_process_group(pid, Signal::KILL).is_ok() {
            // Not for ever: members that nobody collects stay in the group as zombies.
            env.within(KILL, gone(child, pid, env)).await.ok();
        }
    }
}

/// Waits until no process of the group is left.
async fn gone(child: &mut Child, pid: Pid, env: &Arc<dyn Env>) {
    // The leader must be collected, or the group never goes.
    drop(child.wait().await);
    while test_kill_process_group(pid).is_ok() {
        env.sleep(LOOK).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It fails when the group has ended, which is what is wanted.
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}
