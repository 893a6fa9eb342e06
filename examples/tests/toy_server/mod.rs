//! A toy server in a process of its own, with its data in a folder of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A server that ends with this, and with this process however that ends.
#[derive(Debug)]
pub(crate) struct ToyServer {
    folder: TempDir,
    address: String,
    process: Child,
}

impl ToyServer {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (process, address) = launch(&folder, "0");
        Self {
            folder,
            address,
            process,
        }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

fn launch(folder: &TempDir, port: &str) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toy-server"));
    command
        .arg("--data")
        .arg(folder.path())
        .args(["--port", port, "--while-stdin"]);
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("ready ");
    let address = address
        .expect("the server says where it listens")
        .to_owned();
    (process, address)
}

impl Drop for ToyServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
