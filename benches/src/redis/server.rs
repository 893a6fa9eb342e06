//! A Redis server of our own, and the CPU time that it has used.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

/// How long it may take to start.
const WAIT: Duration = Duration::from_secs(10);

/// A private server without persistence, so that its CPU time is that of the commands.
pub(super) struct Server {
    process: Child,
    pub(super) port: u16,
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
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "no", "--save", "", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server must be in PATH")?;
        let server = Self {
            process,
            port,
            _folder: folder,
        };
        let start = Instant::now();
        while server.connect().await.is_err() {
            ensure!(start.elapsed() < WAIT, "the server does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(server)
    }

    pub(super) async fn connect(&self) -> Result<MultiplexedConnection> {
        let client = redis::Client::open(("127.0.0.1", self.port))?;
        Ok(client.get_multiplexed_async_connection().await?)
    }
}

/// The CPU time that the server has used, in microseconds.
pub(super) async fn used(connection: &mut MultiplexedConnection) -> Result<f64> {
    let info: String = redis::cmd("INFO")
        .arg("cpu")
        .query_async(connection)
        .await?;
    let of = |name: &str| -> Option<f64> {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    let user = of("used_cpu_user:").context("no used_cpu_user")?;
    let system = of("used_cpu_sys:").context("no used_cpu_sys")?;
    Ok((user + system) * 1e6)
}
