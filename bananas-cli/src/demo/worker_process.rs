//! What a worker process of the demo does: it runs jobs until its standard input is closed.
//!
//! The demo holds the other end. When it lets go, because the work is done or because it was killed itself,
//! the worker ends: no process is left behind.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::args::DemoWorkerArgs;
use super::digest::{Pace, digest};
use super::home::{self, Home};

/// Runs jobs of the demo until standard input is closed.
pub(crate) async fn run_worker(args: DemoWorkerArgs) -> anyhow::Result<ExitCode> {
    let app = Home::given()?.open(args.concurrency).await?;
    let pace = Pace {
        least: Duration::from_micros(args.pace_us),
        env: Arc::clone(app.env()),
    };
    app.worker()
        .state(pace)
        .handle(digest)
        .run_until(stdin_closed())
        .await?;
    app.close(home::CLOSE).await?;
    Ok(ExitCode::SUCCESS)
}

async fn stdin_closed() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 64];
    while let Ok(1..) = input.read(&mut buffer).await {}
}
