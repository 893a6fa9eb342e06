//! Servers that a check starts, kills, pauses and starts again.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Env, Error, ErrorKind, Result, Tick};
use rustix::process::Signal;
use tokio::net::TcpStream;

use super::process_group::ProcessGroup;
use super::server_spec::{Ready, ServerSpec};

/// Where ports are picked: below the range from which the system gives ports to clients and to those who ask
/// for any, so that nobody gets the port of a server that is down for a moment.
const PORTS: std::ops::Range<u16> = 15_000..30_000;

/// How many ports are tried.
const TRIES: usize = 10;

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// How long one attempt to connect may take, to a server that may be starting.
const ATTEMPT: Duration = Duration::from_secs(1);

/// How long the processes that a killed server had started may take to go.
const REST: Duration = Duration::from_secs(2);

/// How much of the log is shown when a start fails, in bytes.
const SHOWN: usize = 4_000;

/// A server on the loopback address that was started here, with all the processes that it starts.
///
/// What it prints goes to `server.log` in its folder. Dropping it kills it; so does the end of this program,
/// however it ends.
#[derive(Debug)]
pub struct ServerProcess {
    env: Arc<dyn Env>,
    spec: ServerSpec,
    port: u16,
    group: Option<ProcessGroup>,
    /// Where the log of the latest start begins.
    log_start: u64,
}

/// Why a start came to nothing.
enum Failed {
    /// Somebody else has the port.
    InUse(Error),
    Other(Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Other(broken(error))
    }
}

impl ServerProcess {
    /// Starts a server on a port that is free, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it cannot be started, ends, or is not ready in time. The text ends with what it printed.
    pub async fn start(env: &Arc<dyn Env>, spec: ServerSpec) -> Result<Self> {
        let mut server = Self {
            env: Arc::clone(env),
            spec,
            port: 0,
            group: None,
            log_start: 0,
        };
        fs::create_dir_all(&server.spec.folder).map_err(broken)?;
        let mut tries = 1;
        loop {
            server.port = free_port(env).map_err(broken)?;
            match server.launch().await {
                Ok(()) => return Ok(server),
                // Somebody was faster between our look and the server's.
                Err(Failed::InUse(_)) if tries < TRIES => tries += 1,
                Err(Failed::InUse(error) | Failed::Other(error)) => return Err(error),
            }
        }
    }

    /// Starts it again after its end, on the same port and in the same folder, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// `Conflict` when it was not ended; otherwise as for [`start`](Self::start).
    pub async fn start_again(&mut self) -> Result<()> {
        if let Some(group) = &self.group {
            let text = format!("the server with process id {} was not ended", group.pid());
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        let deadline = self.env.monotonic() + self.spec.deadline;
        loop {
            match self.launch().await {
                Ok(()) => return Ok(()),
                // Connections of its former life can hold the port for a while.
                Err(Failed::InUse(_)) if self.env.monotonic() < deadline => {
                    self.env.sleep(PAUSE).await;
                }
                Err(Failed::InUse(error) | Failed::Other(error)) => return Err(error),
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The process that was started, `None` after its end.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.group.as_ref().map(ProcessGroup::pid)
    }

    /// What it has printed, in all its lives.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.spec.folder.join("server.log")
    }

    /// Kills it and all that it has started, and waits for the end. It has no chance to save anything.
    ///
    /// # Errors
    ///
    /// `NotFound` when it was ended before.
    pub async fn kill(&mut self) -> Result<()> {
        let group = self.group.take().ok_or_else(gone)?;
        let pid = group.kill();
        let rest = async {
            while ProcessGroup::is_left(pid) {
                self.env.sleep(PAUSE).await;
            }
        };
        // They have the signal; where the system does not show that they are dead, this is enough.
        self.env.within(REST, rest).await.ok();
        Ok(())
    }

    /// Asks it to end in order (`SIGTERM`), and waits for that.
    ///
    /// # Errors
    ///
    /// `NotFound` when it was ended before, `Timeout` when it did not end within the deadline of its
    /// specification; it runs on then. A paused server does not end.
    pub async fn terminate(&mut self) -> Result<()> {
        let group = self.group.as_ref().ok_or_else(gone)?;
        group.signal(Signal::TERM).map_err(broken)?;
        let deadline = self.env.monotonic() + self.spec.deadline;
        while group.ended().map_err(broken)?.is_none() {
            if self.env.monotonic() >= deadline {
                let text = format!("the server runs on {:?} after SIGTERM", self.spec.deadline);
                return Err(Error::new(ErrorKind::Timeout, text));
            }
            self.env.sleep(PAUSE).await;
        }
        self.kill().await
    }

    /// Stops all its processes where they are (`SIGSTOP`). Connections stay open, and the system still accepts
    /// new ones in its name.
    ///
    /// # Errors
    ///
    /// `NotFound` when it was ended before.
    pub fn pause(&self) -> Result<()> {
        let group = self.group.as_ref().ok_or_else(gone)?;
        group.stop().map_err(broken)
    }

    /// Lets it go on after a [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// `NotFound` when it was ended before.
    pub fn resume(&self) -> Result<()> {
        let group = self.group.as_ref().ok_or_else(gone)?;
        group.signal(Signal::CONT).map_err(broken)
    }

    async fn launch(&mut self) -> Result<(), Failed> {
        let log = File::options().create(true).append(true).open(self.log())?;
        self.log_start = log.metadata()?.len();
        let mut command = Command::new(&self.spec.program);
        for arg in &self.spec.args {
            command.arg(self.spec.filled(arg, self.port));
        }
        for (name, value) in &self.spec.variables {
            command.env(name, self.spec.filled(value, self.port));
        }
        command.current_dir(&self.spec.folder);
        command.stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let unstarted = |error| self.failed(&format!("it cannot be started: {error}"));
        let group = ProcessGroup::start(&mut command);
        let group = group.map_err(|error| Failed::Other(unstarted(error)))?;
        self.until_ready(&group).await?;
        self.group = Some(group);
        Ok(())
    }

    async fn until_ready(&self, group: &ProcessGroup) -> Result<(), Failed> {
        let deadline: Tick = self.env.monotonic() + self.spec.deadline;
        loop {
            let ready = self.is_ready().await?;
            // After the look, so that nobody else's server on this port is taken for ours.
            if let Some(end) = group.ended()? {
                return Err(self.ended_early(&end));
            }
            if ready {
                return Ok(());
            }
            if self.env.monotonic() >= deadline {
                let late = format!("it was not ready after {:?}", self.spec.deadline);
                return Err(Failed::Other(self.failed(&late)));
            }
            self.env.sleep(PAUSE).await;
        }
    }

    async fn is_ready(&self) -> io::Result<bool> {
        if let Ready::Prints(text) = &self.spec.ready
            && !self.printed()?.contains(text)
        {
            return Ok(false);
        }
        let connected = TcpStream::connect(self.address());
        let connected = self.env.within(ATTEMPT, connected).await;
        Ok(matches!(connected, Ok(Ok(_))))
    }

    /// What it has printed since its latest start.
    fn printed(&self) -> io::Result<String> {
        let mut log = File::open(self.log())?;
        log.seek(SeekFrom::Start(self.log_start))?;
        let mut printed = Vec::new();
        log.read_to_end(&mut printed)?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }

    fn failed(&self, why: &str) -> Error {
        let printed = self.printed().unwrap_or_default();
        let shown = printed.floor_char_boundary(printed.len().saturating_sub(SHOWN));
        let program = self.spec.program.to_string_lossy();
        let (port, shown) = (self.port, &printed[shown..]);
        let text = format!("the server {program:?} on port {port}: {why}; it printed:\n{shown}");
        Error::new(ErrorKind::Unavailable, text)
    }

    /// What its end before it was ready means.
    fn ended_early(&self, end: &str) -> Failed {
        let error = self.failed(&format!("it ended with {end}"));
        let printed = self.printed().unwrap_or_default().to_lowercase();
        let in_use = ["in use", "eaddrinuse"];
        if in_use.iter().any(|text| printed.contains(text)) {
            Failed::InUse(error)
        } else {
            Failed::Other(error)
        }
    }
}

/// A port on which nobody listens at this moment.
fn free_port(env: &Arc<dyn Env>) -> io::Result<u16> {
    let mut refused = None;
    for _ in 0..100 {
        let chance = env.random() % (PORTS.len() as u64);
        let port = PORTS.start + u16::try_from(chance).unwrap_or_default();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "the server was ended before")
}

fn broken(error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, "a server process cannot be handled").because(error)
}
