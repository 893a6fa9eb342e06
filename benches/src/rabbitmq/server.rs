//! A RabbitMQ server of our own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lapin::{Connection, ConnectionProperties};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// How long it may take to start.
const WAIT: Duration = Duration::from_secs(120);

/// Runs a node with this port and folder, in a group of processes of its own.
const SCRIPT: &str = include_str!("../../../conformance-tests/servers/rabbitmq.sh");

/// A private server.
pub(super) struct Server {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        if let Some(group) = group {
            // That it is gone already is as good.
            kill_process_group(group, Signal::KILL).unwrap_or_default();
        }
        drop(self.process.wait());
    }
}

impl Server {
    pub(super) async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let process = Command::new("sh")
            .args(["-c", SCRIPT])
            .env("PORT", port.to_string())
            .env("FOLDER", folder.path())
            .env("LOGIN", "guest")
            .env("PASSWORD", "guest")
            .process_group(0)
            .stdout(Stdio::null())
            .spawn()
            .context("sh must be in PATH")?;
        let mut server = Self {
            process,
            port,
            folder,
        };
        let start = Instant::now();
        let connects = async |url: &str| {
            let connected = Connection::connect(url, ConnectionProperties::default());
            connected.await.is_ok()
        };
        while !connects(&server.url()).await {
            let ended = server.process.try_wait()?;
            ensure!(
                ended.is_none(),
                "the server has ended; is rabbitmq-server installed?"
            );
            ensure!(start.elapsed() < WAIT, "the server does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(server)
    }

    pub(super) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// The process that does the work; the one that was started is a shell.
    pub(super) fn pid(&self) -> Result<u32> {
        let pid = fs::read_to_string(self.folder.path().join("pid"))?;
        Ok(pid.trim().parse()?)
    }
}

/// A port with another two below it, which the node needs for itself: outside of the range from which the system
/// gives ports to clients.
fn free_port() -> Result<u16> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (20_000..30_000)
        .step_by(7)
        .find(|port| {
            [0, 6_000, 12_000]
                .into_iter()
                .all(|below| is_free(port - below))
        })
        .context("no port is free")
}
