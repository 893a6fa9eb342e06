//! This process as an owner, and whether another process on this host still lives.

use std::fs;
use std::sync::Arc;

use bananas_core::{Env, Owner};
use rustix::process::{Pid, getpid, test_kill_process};
use rustix::system::uname;

/// A new owner for this process.
#[must_use]
pub fn owner(env: &Arc<dyn Env>) -> Owner {
    let pid = getpid().as_raw_nonzero().get().unsigned_abs();
    Owner {
        id: env.owner_id(),
        host: uname().nodename().to_string_lossy().into_owned(),
        boot_id: boot_id(),
        pid,
        pid_started: stat(pid).map_or(0, |stat| stat.started),
    }
}

/// Names this boot of this host and the space of its process ids; empty where the system does not say.
///
/// Two containers on one host share the boot but not the pids: without the space, each would take the other's
/// processes for dead.
fn boot_id() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let space = fs::read_link("/proc/self/ns/pid");
    match (boot, space) {
        (Ok(boot), Ok(space)) => format!("{}/{}", boot.trim(), space.display()),
        _ => String::new(),
    }
}

/// Whether the process of an owner is surely gone: it ran on this host, and runs no more.
#[must_use]
pub fn is_surely_gone(owner: &Owner) -> bool {
    owner.is_surely_gone(&boot_id(), is_alive)
}

/// Whether the process with this pid and start time runs. In doubt it does.
fn is_alive(pid: u32, started: u64) -> bool {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    if test_kill_process(raw) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    // A zombie is dead, even if nobody has collected it yet; and a pid can be used again.
    stat(pid).is_none_or(|stat| !stat.ended && (started == 0 || stat.started == started))
}

/// What `/proc/PID/stat` says.
struct Stat {
    ended: bool,
    started: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may contain anything, also parentheses.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    // The start time is field 22; the state was field 3.
    let started = fields.nth(18)?.parse().ok()?;
    Some(Stat {
        ended: matches!(state, "Z" | "X" | "x"),
        started,
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use bananas_core::TokioEnv;

    use super::*;

    #[tokio::test]
    async fn this_process_is_alive_and_says_where_it_is() {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let owner = owner(&env);
        assert!(!owner.host.is_empty() && !owner.boot_id.is_empty());
        assert!(is_alive(owner.pid, owner.pid_started));
        assert!(
            !is_alive(owner.pid, owner.pid_started + 1),
            "the pid was used again"
        );
    }

    #[test]
    fn a_killed_process_is_dead_even_before_its_parent_collects_it() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let started = stat(child.id()).unwrap().started;
        assert!(is_alive(child.id(), started));
        child.kill().unwrap();
        while !stat(child.id()).unwrap().ended {
            std::thread::yield_now();
        }
        assert!(!is_alive(child.id(), started), "it is a zombie");
        child.wait().unwrap();
        assert!(!is_alive(child.id(), started));
    }
}
