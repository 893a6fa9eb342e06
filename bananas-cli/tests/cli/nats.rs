//! The commands on a real NATS server, and what it lacks: bodies above a mebibyte, and before 2.12 delays.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::stage::{DEADLINE, Stage};

/// A server of this test on a free port, killed when dropped.
struct NatsServer {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl NatsServer {
    /// `None`, said aloud, where there is no `nats-server` and need not be.
    fn start() -> Option<Self> {
        let mut ask = Command::new("nats-server");
        ask.arg("--version").stdout(Stdio::null());
        if ask.status().is_err() {
            let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
            assert!(!required, "there is no nats-server in PATH");
            let said = writeln!(std::io::stderr(), "SKIPPED: no nats-server in PATH");
            said.unwrap();
            return None;
        }
        // Somebody else may take a port between the look and the start.
        let server = (0..10).find_map(|_| Self::launch().comes_up());
        Some(server.expect("nats-server does not start"))
    }

    fn launch() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]);
        command.arg(folder.path()).stderr(Stdio::null());
        Self {
            process: command.spawn().unwrap(),
            port,
            _folder: folder,
        }
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the deadline of a test is real time"
    )]
    fn comes_up(mut self) -> Option<Self> {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if self.process.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(start.elapsed() < DEADLINE, "nats-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        // The one that answers is this one, and not somebody else's on the same port.
        self.process.try_wait().unwrap().is_none().then_some(self)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn an_argument_of_three_mebibytes_runs_on_a_broker_that_takes_one() {
    let Some(nats) = NatsServer::start() else {
        return;
    };
    let argument = format!("\"{}\"", "x".repeat(3 * 1024 * 1024));
    for track in ["full", "none"] {
        let stage = Stage::with(&format!(
            "[broker]\nurl = \"nats://127.0.0.1:{}\"\nnamespace = \"{track}\"\n\
             [tasks.size]\ntrack = \"{track}\"\nexec = {{ shell = \"wc -c > size.tmp; mv size.tmp size\" }}\n",
            nats.port
        ));
        std::fs::write(stage.path("large.json"), &argument).unwrap();
        stage.run(&["enqueue", "size", "@large.json"]).ok();
        let _worker = stage.worker("one", &[]);
        let size: usize = stage.until("the job has run", || {
            let size = std::fs::read_to_string(stage.path("size")).ok()?;
            size.trim().parse().ok()
        });
        assert!(size >= argument.len(), "{size}");
    }
}

/// Whether the server in PATH has no delays.
fn has_no_delays() -> bool {
    let output = Command::new("nats-server").arg("--version").output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let version = text.trim().rsplit_once('v').unwrap().1;
    let mut numbers = version.split('.').map(|number| number.parse().unwrap());
    let version: (u32, u32) = (numbers.next().unwrap(), numbers.next().unwrap());
    version < (2, 12)
}

#[test]
fn an_untracked_job_waits_outside_the_broker_and_outlives_its_worker() {
    let Some(nats) = NatsServer::start() else {
        return;
    };
    let stage = Stage::with(&format!(
        "[broker]\nurl = \"nats://127.0.0.1:{}\"\n\
         [tasks.touch]\ntrack = \"none\"\nexec = {{ shell = \"touch ran\" }}\n",
        nats.port
    ));
    let worker = stage.worker("one", &[]);
    let id = stage.enqueue(&["touch", "--delay", "5s"]);
    if has_no_delays() {
        assert_eq!(stage.show(&id)["state"], "scheduled");
    }
    drop(worker);
    let _other = stage.worker("other", &[]);
    stage.until("the job has run", || {
        stage.path("ran").exists().then_some(())
    });
    stage.until("nothing is left of it", || {
        let jobs = stage.run(&["jobs", "list", "--json"]).ok();
        jobs.json_lines().is_empty().then_some(())
    });
}
