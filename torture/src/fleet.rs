//! [`Fleet`]: the worker processes of a run, each with a way to the server that can be spoilt for it alone.
//!
//! They are children of this process and nothing else is ever signalled: a child keeps its pid until it has been
//! waited for here.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bananas::Env;
use conformance_tests::fault::Proxy;
use conformance_tests::judge::{Name, What};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::args::Plan;
use crate::host_clock;
use crate::target::Target;
use crate::witness::Witness;

/// How long worker processes may take to end in order.
const DISMISSAL: Duration = Duration::from_secs(40);

/// The worker processes.
#[derive(Debug)]
pub(crate) struct Fleet {
    env: Arc<dyn Env>,
    folder: PathBuf,
    witness: Arc<Witness>,
    lasts: Duration,
    ships: Vec<Ship>,
}

/// One worker process, and whoever takes its place.
#[derive(Debug)]
pub(crate) struct Ship {
    /// What the witness calls the process that is there now.
    pub(crate) name: Name,
    /// Its way to the server; a file has none.
    pub(crate) proxy: Option<Proxy>,
    number: usize,
    starts: u32,
    config: String,
    child: Child,
}

impl Fleet {
    /// Starts so many worker processes.
    pub(crate) fn launch(
        (env, folder): (&Arc<dyn Env>, PathBuf),
        (target, witness): (&Target, &Arc<Witness>),
        plan: &Plan,
    ) -> anyhow::Result<Self> {
        let mut fleet = Self {
            env: Arc::clone(env),
            folder,
            witness: Arc::clone(witness),
            lasts: plan.lasts,
            ships: Vec::new(),
        };
        for number in 0..usize::try_from(plan.workers)? {
            let start = |server: SocketAddr| Proxy::start(env, server);
            let proxy = target.address().map(start).transpose()?;
            let config = target.config(proxy.as_ref().map(Proxy::address), plan.concurrency);
            let (name, child) = fleet.start(number, 1, &config)?;
            fleet.ships.push(Ship {
                name,
                proxy,
                number,
                starts: 1,
                config,
                child,
            });
        }
        Ok(fleet)
    }

    pub(crate) fn ships(&self) -> &[Ship] {
        &self.ships
    }

    /// Kills a process without a warning, and starts another in its place.
    pub(crate) async fn replace(&mut self, place: usize) -> anyhow::Result<()> {
        let ship = self.ships.get_mut(place).context("there is no such ship")?;
        // Recorded before and after: neither a run that begins in between nor one that repeats it at once is
        // without its cause.
        ended(&self.witness, &ship.name, true);
        let at = host_clock::now();
        ship.child.kill().await?;
        ended(&self.witness, &ship.name, true);
        self.witness.orphan(&ship.name, at);
        let (number, starts, config) = (ship.number, ship.starts + 1, ship.config.clone());
        let (name, child) = self.start(number, starts, &config)?;
        let ship = self.ships.get_mut(place).context("there is no such ship")?;
        (ship.name, ship.child, ship.starts) = (name, child, starts);
        Ok(())
    }

    /// The process that ended by itself, and how, if one did.
    pub(crate) fn casualty(&mut self) -> Option<String> {
        self.ships.iter_mut().find_map(|ship| {
            let status = ship.child.try_wait().ok()??;
            Some(format!("{} ended by itself: {status}", ship.name))
        })
    }

    /// Asks all to end in order, waits for that, and kills those that do not.
    pub(crate) async fn dismiss(&mut self) {
        for ship in &mut self.ships {
            // The end of its input tells it.
            drop(ship.child.stdin.take());
        }
        let deadline = self.env.monotonic() + DISMISSAL;
        for ship in &mut self.ships {
            let ended_well = self.env.until(deadline, ship.child.wait()).await.is_ok();
            if !ended_well {
                // An error says that it has just ended.
                ship.child.kill().await.unwrap_or_default();
            }
            ended(&self.witness, &ship.name, !ended_well);
        }
    }

    fn start(&self, number: usize, starts: u32, config: &str) -> anyhow::Result<(Name, Child)> {
        let name = format!("worker-{}-{starts}", number + 1);
        let program = std::env::current_exe().context("this program cannot find its own file")?;
        let log = File::create(self.folder.join(&name).with_extension("log"))?;
        let child = Command::new(program)
            .arg("worker")
            .args(["--name", &name, "--config", config])
            .arg("--lasts")
            .arg(humantime::format_duration(self.lasts).to_string())
            .arg("--witness")
            .arg(self.witness.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Of its own, so that Ctrl-C reaches this process alone.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("a worker process cannot be started")?;
        let owner = Name::from(name);
        self.witness.record(What::ProcessStart {
            owner: Name::clone(&owner),
        });
        Ok((owner, child))
    }
}

impl Ship {
    /// Sends its process a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.id().context("the worker has ended")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid is not 0")?;
        Ok(kill_process(pid, signal)?)
    }
}

fn ended(witness: &Witness, owner: &Name, killed: bool) {
    let owner = Name::clone(owner);
    witness.record(What::ProcessEnd { owner, killed });
}
