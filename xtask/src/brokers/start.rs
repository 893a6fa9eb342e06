//! [`Start`]: what starting a private server needs: ports, programs, processes, and patience.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::deadline::{Deadline, pause};
use super::place::{self, Place};
use super::process::Process;
use super::record::{Export, Record};

/// How long a server may take until it can be used, on a machine that is busy with other things.
const READY_S: u64 = 120;

/// How long a program that prepares something may take.
const PREPARED_S: u64 = 600;

/// How long one exchange with a server may take, which may be starting.
const EXCHANGE: Duration = Duration::from_secs(2);

/// How much of the log is shown after a failure, in lines.
const SHOWN: usize = 20;

/// Where ports are looked for: below the range from which the system gives ports to clients, and so far below
/// the end that a Redis node finds its second port 10000 above.
const PORTS: std::ops::Range<u16> = 15_000..25_000;

/// The start of one private server.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    place: &'a Place,
    name: &'static str,
    record: Record,
    children: Vec<Child>,
    ports: Vec<u16>,
}

impl<'a> Start<'a> {
    /// In an empty folder.
    pub(super) fn new(place: &'a Place, name: &'static str) -> Result<Self> {
        let folder = place.folder(name);
        place::remove(&folder)?;
        let text = || format!("cannot make the folder {}", folder.display());
        fs::create_dir_all(&folder).with_context(text)?;
        Ok(Self {
            place,
            name,
            record: Record::default(),
            children: Vec::new(),
            ports: Vec::new(),
        })
    }

    /// The server's folder.
    pub(super) fn folder(&self) -> PathBuf {
        self.place.folder(self.name)
    }

    /// A new folder in it.
    pub(super) fn make(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder().join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Where programs are installed that no package of the system has.
    pub(super) fn programs(&self) -> PathBuf {
        self.place.programs()
    }

    /// A port on which nobody listens, nor on the one 10000 above.
    pub(super) fn port(&mut self) -> Result<u16> {
        let span = PORTS.end - PORTS.start;
        // Not always from the same: others may be looking at the same time, in this process too.
        let chance = RandomState::new().build_hasher().finish();
        let first = u16::try_from(chance % u64::from(span)).unwrap_or(0);
        for step in 0..span {
            let port = PORTS.start + (first + step) % span;
            let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
            if !self.ports.contains(&port) && is_free(port) && is_free(port + 10_000) {
                self.ports.push(port);
                return Ok(port);
            }
        }
        bail!("no port from {} to {} is free", PORTS.start, PORTS.end)
    }

    /// A program that prepares something, run to its end; its output goes to the log.
    pub(super) fn run(&self, mut command: Command) -> Result<()> {
        let program = command.get_program().to_string_lossy().into_owned();
        self.log_to(&mut command)?;
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        match Deadline::in_seconds(PREPARED_S).wait(&mut child)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("{program} failed ({status})"),
            None => bail!("{program} did not end within {PREPARED_S} s"),
        }
    }

    /// Starts a process that stays, in a group of its own, and writes it down.
    pub(super) fn spawn(&mut self, mut command: Command) -> Result<()> {
        let program = command.get_program().to_string_lossy().into_owned();
        self.log_to(&mut command)?;
        command.process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let process = Process::of(child.id());
        self.children.push(child);
        match process {
            Some(process) => self.record.processes.push(process),
            None => bail!("{program} ended at once"),
        }
        self.record.write(self.place, self.name)
    }

    /// Writes down a folder elsewhere that belongs to the server.
    pub(super) fn owns(&mut self, folder: &Path) -> Result<()> {
        self.record.folders.push(folder.to_owned());
        self.record.write(self.place, self.name)
    }

    /// Waits until a look says that the server can be used.
    pub(super) fn until(&mut self, mut is_ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Deadline::in_seconds(READY_S);
        let mut remark = Deadline::in_seconds(10);
        loop {
            let ready = is_ready();
            // After the look, so that nobody else's server on this port is taken for ours.
            for child in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    bail!("it ended while it was starting ({status})");
                }
            }
            if ready {
                return Ok(());
            }
            if deadline.is_over() {
                bail!("it was not ready within {READY_S} s");
            }
            if remark.is_over() {
                println!("xtask: {} is still starting", self.name);
                remark = Deadline::in_seconds(10);
            }
            pause();
        }
    }

    /// Writes down where the server is.
    pub(super) fn finish(mut self, exports: Vec<Export>) -> Result<()> {
        self.record.exports = exports;
        self.record.write(self.place, self.name)
    }

    /// Prints the end of the log.
    pub(super) fn show_log(&self) {
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(SHOWN)) {
            println!("    {line}");
        }
    }

    fn log(&self) -> PathBuf {
        self.folder().join("log")
    }

    fn log_to(&self, command: &mut Command) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        command.stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        Ok(())
    }
}

/// The path of a program, or which package has it.
pub(super) fn program(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps some servers where only root looks.
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| missing(name, package))
}

/// What to say about a program that is not there.
pub(super) fn missing(name: &str, package: &str) -> String {
    format!("{name} is not installed; `apt-get install {package}` does it on Debian and Ubuntu")
}

/// What a server answers first to these bytes.
pub(super) fn answer(port: u16, question: &[u8]) -> Option<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, EXCHANGE).ok()?;
    stream.set_read_timeout(Some(EXCHANGE)).ok()?;
    stream.set_write_timeout(Some(EXCHANGE)).ok()?;
    stream.write_all(question).ok()?;
    let mut bytes = vec![0; 4096];
    let count = stream.read(&mut bytes).ok()?;
    bytes.truncate(count);
    Some(bytes)
}
