//! A NATS server of our own.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// How long it may take to start.
const WAIT: Duration = Duration::from_secs(10);

/// A private server with its files in a folder of its own.
pub(super) struct Server {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to save; that it is gone already is as good.
        self.process.kill().unwrap_or_default();
        drop(self.process.wait());
    }
}

impl Server {
    pub(super) async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let process = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("nats-server must be in PATH")?;
        let server = Self {
            process,
            port,
            _folder: folder,
        };
        let start = Instant::now();
        while async_nats::connect(server.url()).await.is_err() {
            ensure!(start.elapsed() < WAIT, "the server does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(server)
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}
