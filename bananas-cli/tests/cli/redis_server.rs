//! A Redis server of one test, on a free port of the loopback address.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long its start may take, on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Killed when dropped.
pub(crate) struct RedisServer {
    process: Child,
    port: u16,
    settings: Vec<String>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts one with these settings; `None`, said aloud, where there is no `redis-server` and need not be.
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        let mut ask = Command::new("redis-server");
        ask.arg("--version").stdout(Stdio::null());
        if ask.status().is_err() {
            let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
            assert!(!required, "there is no redis-server in PATH");
            let said = writeln!(std::io::stderr(), "SKIPPED: no redis-server in PATH");
            said.unwrap();
            return None;
        }
        let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
        // Somebody else may take a port between the look and the start.
        let started = (0..10).find_map(|_| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            drop(listener);
            let folder = tempfile::tempdir().unwrap();
            let process = launch(port, &settings, &folder);
            let server = Self {
                process,
                port,
                settings: settings.clone(),
                folder,
            };
            server.comes_up()
        });
        Some(started.expect("redis-server does not start"))
    }

    /// Starts it once more, with what it has kept.
    pub(crate) fn start_again(&mut self) {
        self.process = launch(self.port, &self.settings, &self.folder);
        assert!(self.is_up(), "redis-server does not start again");
    }

    fn comes_up(mut self) -> Option<Self> {
        self.is_up().then_some(self)
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the deadline of a test is real time"
    )]
    fn is_up(&mut self) -> bool {
        let start = Instant::now();
        while self.ask("PING").as_deref() != Some("+PONG") {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(start.elapsed() < START, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        // The one that answers is this one, and not somebody else's on the same port.
        self.process.try_wait().unwrap().is_none()
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Says something to it; it must answer `OK`.
    pub(crate) fn tell(&self, line: &str) {
        assert_eq!(self.ask(line).as_deref(), Some("+OK"), "{line}");
    }

    /// How many keys it holds.
    pub(crate) fn keys(&self) -> u32 {
        let answer = self.ask("DBSIZE").unwrap();
        answer.trim_start_matches(':').parse().unwrap()
    }

    /// Ends it, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// What it answers to a command.
    pub(crate) fn ask(&self, line: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(START)).ok()?;
        write!(stream, "{line}\r\n").ok()?;
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        Some(text.trim_end().to_owned())
    }
}

fn launch(port: u16, settings: &[String], folder: &TempDir) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--save", "", "--dir"]).arg(folder.path());
    command.args(settings).stdout(Stdio::null());
    command.spawn().unwrap()
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
