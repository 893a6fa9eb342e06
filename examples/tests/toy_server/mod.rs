//! A toy server in a process of its own, with its data in a folder of its own.
#![allow(dead_code, reason = "no test needs all of it")]

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A server that ends with this, and with this process however that ends.
#[derive(Debug)]
pub(crate) struct ToyServer {
    folder: TempDir,
    address: SocketAddr,
    process: Child,
}

impl ToyServer {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (process, address) = launch(&folder, 0);
        Self {
            folder,
            address,
            process,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again at the same place.
    pub(crate) fn start_again(&mut self) {
        let (process, address) = launch(&self.folder, self.address.port());
        (self.process, self.address) = (process, address);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Adds to its log what a crash in the middle of a write leaves behind.
    pub(crate) fn tear_log(&self, tail: &[u8]) {
        let path = self.folder.path().join("toy.log");
        let mut log = OpenOptions::new().append(true).open(path).unwrap();
        log.write_all(tail).unwrap();
    }
}

fn launch(folder: &TempDir, port: u16) -> (Child, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toy-server"));
    command.arg("--data").arg(folder.path());
    command.args(["--while-stdin", "--port", &port.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("ready ").unwrap();
    (process, address.parse().unwrap())
}

impl Drop for ToyServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
