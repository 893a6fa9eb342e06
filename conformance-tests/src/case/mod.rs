//! What a check starts from: a client of an empty namespace, and what it does most with it.

mod broker;
mod ledger;
mod life;
mod split;
mod store;

pub(crate) use self::broker::{BrokerCase, ids};
pub(crate) use self::ledger::LedgerCase;
pub(crate) use self::life::HOUR;
pub(crate) use self::split::{GONE, SplitCase};
pub(crate) use self::store::StoreCase;

use std::sync::Arc;

use bananas_core::{Env, JobId};

/// Ids in an order of their own, for comparing sets that must hold each once.
pub(crate) fn sorted(mut ids: Vec<JobId>) -> Vec<JobId> {
    ids.sort();
    ids
}

/// A namespace that no other run uses, so that all checks can run at once on one dirty server.
fn namespace(check: &str, env: &Arc<dyn Env>) -> String {
    let short: String = check.chars().take(40).collect();
    format!("{short}-{:08x}", env.random() >> 32)
}
