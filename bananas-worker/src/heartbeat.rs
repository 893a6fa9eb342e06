//! The heartbeat: renews the owner's lease, and stops everything in time when it cannot.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Renewed, Result};

use crate::engine::Engine;
use crate::runs::Tenure;
use crate::supervisor::Pulse;

/// Keeps an owner alive for this process: the present one, and when its lease is lost the next.
pub(crate) async fn beat(engine: Arc<Engine>, pulse: Arc<Pulse>) -> Result<()> {
    loop {
        let tenure = engine.tenancy.current();
        if !tenure.is_over() {
            hold(&engine, &tenure, &pulse).await;
            tenure.end();
        }
        // What runs under the old owner is or will be given to others: here it must stop, and count no more.
        engine.running.fence(&tenure);
        if engine.is_draining() {
            return Ok(());
        }
        let next = engine.enlist().await?;
        tracing::warn!(
            lost = %tenure.owner.id,
            owner = %next.owner.id,
            "the lease was lost; its jobs were stopped and the worker goes on as a new owner"
        );
        engine.tenancy.replace(next);
        pulse.turn(&engine.env);
    }
}

/// Renews until the lease is lost, or must be taken for lost.
async fn hold(engine: &Engine, tenure: &Tenure, pulse: &Pulse) {
    let env = &engine.env;
    let lease = engine.lease();
    let mut next = env.monotonic() + lease / 3;
    while !tenure.is_over() {
        pulse.turn(env);
        env.sleep_until(next.min(tenure.fence(lease))).await;
        // The lease counts from when the renewal was sent, not from when its answer came.
        let sent = env.monotonic();
        if sent >= tenure.fence(lease) {
            return;
        }
        let deadline = tenure.fence(lease).min(sent + lease / 4);
        let renewal = engine.ledger.renew(&tenure.owner, lease);
        let why = match env.until(deadline, renewal).await {
            Ok(Ok(Renewed::Held { .. })) => {
                tenure.renewed(sent);
                next = sent + engine.jittered(lease / 3);
                continue;
            }
            Ok(Ok(Renewed::Lost)) => return,
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("no answer within {:?}", deadline.since(sent)),
        };
        tracing::warn!(error = why, "the lease could not be renewed yet");
        next = env.monotonic() + (lease / 12).max(Duration::from_millis(50));
    }
}
