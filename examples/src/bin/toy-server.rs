//! The toy broker's server as a program: `toy-server --data DIR [--port N]`.
//!
//! It prints `ready 127.0.0.1:PORT` when it listens.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks")]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bananas_core::{Env, TokioEnv};
use examples::toy::ToyServer;
use tokio::net::TcpListener;

const USAGE: &str = "usage: toy-server --data DIR [--port N]";

/// The folder of the data, and the port; 0 is any that is free.
fn arguments() -> Option<(PathBuf, u16)> {
    let (mut data, mut port) = (None, 0);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--data" => data = words.next(),
            "--port" => port = words.next()?.parse().ok()?,
            _ => return None,
        }
    }
    Some((data?.into(), port))
}

async fn run(data: PathBuf, port: u16) -> io::Result<()> {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let server = ToyServer::open(&data, env)?;
    println!("ready {}", listener.local_addr()?);
    io::stdout().flush()?;
    server.serve(listener).await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some((data, port)) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(data, port).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("toy-server: {e}");
            ExitCode::FAILURE
        }
    }
}
