//! What a message costs on an emulator of Amazon SQS, beside the client library of AWS alone; and how many requests,
//! which is what Amazon bills. How fast the service itself is, an emulator does not say.

mod raw;

use std::sync::Arc;

use anyhow::{Context, Result};
use bananas_broker_sqs::{Requests, SqsBroker, SqsConfig};
use bananas_core::{Env, TokioEnv};

use self::raw::Raw;
use crate::broker::{self, Ours, Plan, Side};
use crate::report::Report;

/// Measures on the emulator at this endpoint.
pub(crate) async fn measure(endpoint: &str, plan: Plan, report: &mut Report) -> Result<()> {
    let authority = endpoint.strip_prefix("http://");
    let authority = authority.context("an endpoint begins with http://")?;
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let url = format!("sqs://KEY:SECRET@{authority}?region=us-east-1");
    let mut config = SqsConfig::from_url(&url)?;
    config.namespace = format!("bench{:016x}", env.random());
    let broker = SqsBroker::open(config, env).await?;
    let mut ours = Ours::open(Arc::<SqsBroker>::clone(&broker), plan).await?;
    let mut raw = Raw::open(endpoint, plan).await?;
    let names = ("sqs", "aws-sdk-sqs");
    broker::measure(names, (&mut ours, &mut raw), None, plan, report).await?;
    let before = broker.requests();
    ours.publish_pipelined(plan.jobs).await?;
    ours.consume(plan.jobs).await?;
    let after = broker.requests();
    let counts = |of: Requests| [of.total(), of.send, of.receive, of.delete];
    let names = ["all", "send", "receive", "delete"];
    for ((name, before), after) in names.into_iter().zip(counts(before)).zip(counts(after)) {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let each = (after - before) as f64 / plan.jobs as f64;
        report.figure("sqs", &format!("requests, {name}"), each, "per job");
    }
    Ok(())
}
