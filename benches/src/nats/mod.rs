//! What a message costs on NATS JetStream, beside its client library alone.

mod raw;
mod server;

use std::sync::Arc;

use anyhow::Result;
use bananas_broker_nats::{NatsConfig, NatsEngine};
use bananas_core::{Env, TokioEnv};

pub(crate) use self::raw::Acks;
use self::raw::Raw;
use self::server::Server;
use crate::broker::{self, Ours, Plan};
use crate::report::Report;

/// Measures on a server that is started for it. The other side acknowledges in this way.
pub(crate) async fn measure(acks: Acks, plan: Plan, report: &mut Report) -> Result<()> {
    let server = Server::start().await?;
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let engine = NatsEngine::open(NatsConfig::from_url(&server.url())?, env).await?;
    let mut ours = Ours::open(engine.broker(), plan).await?;
    let mut raw = Raw::open(&server.url(), acks, plan).await?;
    let target = match acks {
        Acks::Confirmed => "nats",
        Acks::Plain => "nats, library unconfirmed",
    };
    let (sides, pid) = ((&mut ours, &mut raw), Some(server.pid()));
    broker::measure((target, "async-nats"), sides, pid, plan, report).await
}
