//! Servers of a test's own, of every version that is here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bananas_core::{Env, TokioEnv};
use conformance_tests::fault::{ServerProcess, ServerSpec};
use tempfile::TempDir;

/// A server and its folder.
pub(crate) struct Server {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) process: ServerProcess,
    /// Whether it delivers messages at a time.
    pub(crate) schedules: bool,
    folder: TempDir,
}

impl Server {
    /// The file in which it remembers what a consumer of a stream was given.
    pub(crate) fn remembered(&self, stream: &str, consumer: &str) -> PathBuf {
        let streams = self.folder.path().join("data/jetstream/$G/streams");
        streams
            .join(stream)
            .join("obs")
            .join(consumer)
            .join("o.dat")
    }
}

/// A server of each version, with these lines in its configuration; none where there is no program, unless one
/// must be.
pub(crate) async fn all(settings: &str) -> Vec<Server> {
    let mut programs = vec![PathBuf::from("nats-server")];
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../brokers/programs");
    for entry in std::fs::read_dir(installed).into_iter().flatten().flatten() {
        programs.push(entry.path().join("bin/nats-server"));
    }
    let mut servers = Vec::new();
    for program in programs {
        if let Some(schedules) = schedules(&program) {
            servers.push(start(&program, settings, schedules).await);
        }
    }
    let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
    assert!(!servers.is_empty() || !required, "there is no nats-server");
    if servers.is_empty() {
        println!("skipped: there is no nats-server in PATH");
    }
    servers
}

/// Whether a program is of version 2.12 or newer; `None` if there is none.
fn schedules(program: &Path) -> Option<bool> {
    let mut ask = Command::new(program);
    let output = ask.arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.trim().rsplit_once('v')?.1.split('.');
    let major: u32 = numbers.next()?.parse().ok()?;
    let minor: u32 = numbers.next()?.parse().ok()?;
    Some((major, minor) >= (2, 12))
}

async fn start(program: &Path, settings: &str, schedules: bool) -> Server {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("server.conf");
    let text = format!("jetstream {{ store_dir: data }}\n{settings}\n");
    std::fs::write(&config, text).unwrap();
    let words = "-a 127.0.0.1 -p {port} -c server.conf".split(' ');
    let spec = words.fold(ServerSpec::new(program, folder.path()), ServerSpec::arg);
    Server {
        process: ServerProcess::start(&env, spec).await.unwrap(),
        env,
        schedules,
        folder,
    }
}
