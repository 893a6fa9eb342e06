//! What a message costs on RabbitMQ, beside lapin alone.

mod raw;
mod server;

use std::sync::Arc;

use anyhow::Result;
use bananas_broker_amqp::{AmqpBroker, AmqpConfig, QueueType};
use bananas_core::{Env, TokioEnv};

use self::raw::Raw;
use self::server::Server;
use crate::broker::{self, Ours, Plan};
use crate::report::Report;

/// Which queues.
pub(crate) fn kind(is_classic: bool) -> QueueType {
    if is_classic {
        QueueType::Classic
    } else {
        QueueType::Quorum
    }
}

/// Measures queues of one kind on a server that is started for it.
pub(crate) async fn measure(kind: QueueType, plan: Plan, report: &mut Report) -> Result<()> {
    let server = Server::start().await?;
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let mut config = AmqpConfig::from_url(&server.url())?;
    config.queue_type = kind;
    let broker = Arc::new(AmqpBroker::open(config, env).await?);
    let mut ours = Ours::open(broker, plan).await?;
    let mut raw = Raw::open(&server.url(), kind, plan).await?;
    let target = match kind {
        QueueType::Quorum => "rabbitmq-quorum",
        QueueType::Classic => "rabbitmq-classic",
    };
    let pid = Some(server.pid()?);
    broker::measure((target, "lapin"), (&mut ours, &mut raw), pid, plan, report).await
}
