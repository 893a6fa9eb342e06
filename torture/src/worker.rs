//! What a worker process does: it runs jobs until its standard input is closed.
//!
//! The run holds the other end, so no process is left behind when that ends, however it ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bananas::config::Config;
use bananas::{App, Track};
use tokio::io::AsyncReadExt;
use tracing_subscriber::EnvFilter;

use crate::args::{Role, WorkerRole};
use crate::witness::Voice;
use crate::work::{Post, work};

/// How long closing may take; what is left then ends with the process.
const CLOSE: Duration = Duration::from_secs(5);

/// What is logged unless `BANANAS_LOG` says otherwise.
const LOG: &str = "info";

pub(crate) async fn run(role: Role) -> anyhow::Result<()> {
    let Role::Worker(WorkerRole {
        name,
        config,
        witness,
        lasts,
    }) = role;
    let filter = std::env::var("BANANAS_LOG").unwrap_or_else(|_| LOG.to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let voice = Voice::connect(&witness)
        .with_context(|| format!("the witness at {} does not listen", witness.display()))?;
    let config = Config::read("the configuration of a worker", &config, [])?;
    let is_fenced = config
        .queues
        .values()
        .all(|queue| queue.track == Some(Track::Full));
    let app = App::open(config).await?;
    let post = Post {
        name: name.into(),
        voice: Arc::new(voice),
        env: Arc::clone(app.env()),
        lasts,
        is_fenced,
    };
    app.worker()
        .state(post)
        .handle(work)
        .run_until(input_closed())
        .await?;
    app.close(CLOSE).await?;
    Ok(())
}

async fn input_closed() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 64];
    while let Ok(1..) = input.read(&mut buffer).await {}
}
