//! The record of a run, from which the conformance page is made.
//!
//! Every check is a process of its own under some test runners, so each writes a file of its own into the
//! folder that `BANANAS_CONFORMANCE_REPORT` names: one JSON object with `backend`, `side`, `tier`, `check`,
//! `outcome` and `reason`. What a backend can do is in `capabilities.json` of its folder.

use std::path::PathBuf;

use bananas_core::{Capabilities, Delay, Fencing, Ordering, Reach};
use serde_json::{Value, json};

use crate::outcome::Outcome;
use crate::tier::Tier;

/// The variable that names the folder.
const VARIABLE: &str = "BANANAS_CONFORMANCE_REPORT";

/// Which check of which backend.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) backend: String,
    pub(crate) side: &'static str,
    pub(crate) tier: Tier,
    pub(crate) check: &'static str,
}

impl Row {
    /// The name of the test.
    pub(crate) fn name(&self) -> String {
        let Self {
            backend,
            side,
            tier,
            check,
        } = self;
        format!("{backend}::{side}::{tier}::{check}")
    }

    /// Writes how it ended, if a record is wanted.
    pub(crate) fn write(&self, outcome: &Outcome) {
        let (word, reason) = outcome.parts();
        let row = json!({
            "backend": self.backend,
            "side": self.side,
            "tier": self.tier.to_string(),
            "check": self.check,
            "outcome": word,
            "reason": reason,
        });
        write(
            &self.backend,
            &format!("{}.{}", self.side, self.check),
            &row,
        );
    }
}

/// Writes what a backend can do, if a record is wanted.
pub(crate) fn write_capabilities(backend: &str, can: &Capabilities) {
    let rows: Vec<[String; 2]> = capabilities(can)
        .into_iter()
        .map(|(what, how)| [what.to_owned(), how])
        .collect();
    write(backend, "capabilities", &json!(rows));
}

fn write(backend: &str, name: &str, value: &Value) {
    let Some(folder) = std::env::var_os(VARIABLE) else {
        return;
    };
    let folder = PathBuf::from(folder).join(backend);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name).with_added_extension("json");
    std::fs::write(file, format!("{value}\n")).unwrap();
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// What a backend can do, in words for the page.
fn capabilities(can: &Capabilities) -> Vec<(&'static str, String)> {
    let delay = match can.delay {
        Delay::Unsupported => "none".to_owned(),
        Delay::Native { max, granularity } => {
            let max = max.map_or("any".to_owned(), |max| format!("up to {max:?}"));
            format!("{max}, in steps of {granularity:?}")
        }
    };
    let total = can.lease.max_total;
    let total = total.map_or("for ever".to_owned(), |total| format!("{total:?}"));
    let fencing = match can.fencing {
        Fencing::Server => "the server",
        Fencing::Connection => "the connection",
        Fencing::Client => "the client, by the clock",
    };
    let ordering = match can.ordering {
        Ordering::None => "none",
        Ordering::Queue => "first in, first out",
        Ordering::Key => "first in, first out, by key",
    };
    let reach = match can.reach {
        Reach::Process => "one process",
        Reach::Host => "one host",
        Reach::Network => "a network",
    };
    vec![
        ("shared within", reach.to_owned()),
        ("durability", can.durability.to_string()),
        ("delays", delay),
        ("priorities told apart", can.priority_levels.to_string()),
        ("order among equals", ordering.to_owned()),
        ("shortest lease", format!("{:?}", can.lease.min)),
        ("longest lease", format!("{:?}", can.lease.max)),
        ("longest with extensions", total),
        ("lost leases are refused by", fencing.to_owned()),
        (
            "a redelivery proves that the lease was lost",
            yes_no(can.redelivery_proves_lease_lost),
        ),
        ("exact delivery counts", yes_no(can.exact_delivery_count)),
        ("exact depths", yes_no(can.exact_depth)),
        (
            "a crash never leaves a message beside its replacement",
            yes_no(can.atomic_settle),
        ),
        ("acks are confirmed", yes_no(can.confirmed_ack)),
        ("drops an id published again", yes_no(can.dedupe)),
        ("largest body", format!("{} bytes", can.max_message)),
        ("messages in one request", can.max_batch.to_string()),
    ]
}
