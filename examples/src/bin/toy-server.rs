//! The toy broker's server as a program: `toy-server --data DIR [--port N] [--while-stdin]`.
//!
//! It prints `ready 127.0.0.1:PORT` when it listens. With `--while-stdin` it ends when its standard input does,
//! so that it does not outlive the program that started it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks")]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bananas_core::{Env, TokioEnv};
use examples::toy::serve;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const USAGE: &str = "usage: toy-server --data DIR [--port N] [--while-stdin]";

#[derive(Debug, Default)]
struct Arguments {
    data: PathBuf,
    port: u16,
    while_stdin: bool,
}

fn arguments() -> Option<Arguments> {
    let mut arguments = Arguments::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--data" => arguments.data = words.next()?.into(),
            "--port" => arguments.port = words.next()?.parse().ok()?,
            "--while-stdin" => arguments.while_stdin = true,
            _ => return None,
        }
    }
    (!arguments.data.as_os_str().is_empty()).then_some(arguments)
}

async fn run(arguments: Arguments) -> io::Result<()> {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await?;
    println!("ready {}", listener.local_addr()?);
    io::stdout().flush()?;
    let stdin_ended = async {
        let mut unread = Vec::new();
        match arguments.while_stdin {
            true => drop(tokio::io::stdin().read_to_end(&mut unread).await),
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = serve(listener, &arguments.data, env) => ended,
        () = stdin_ended => Ok(()),
    }
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime.and_then(|runtime| {
        let ended = runtime.block_on(run(arguments));
        // A read of standard input cannot be interrupted, and need not be.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("toy-server: {e}");
            ExitCode::FAILURE
        }
    }
}
