//! Who tests the tests: backends that are broken on purpose, each caught by a check that is named for it.
//!
//! A fault is planted into one side of a good engine: its broker, its store, or its ledger. A check that is
//! named as catching a fault must fail there and pass where no fault is planted, or it proves nothing. Which
//! other checks catch the fault is written to `docs/reference/teeth.md`, and compared with it at every run.
//!
//! All of it runs on virtual time ([`VirtualEnv`](crate::virtual_env::VirtualEnv)), as most failures are found
//! at the end of a deadline.

mod admin_faults;
mod blob_faults;
mod broken_broker;
mod broken_ledger;
mod broken_store;
mod claim_faults;
mod delivery_faults;
mod fault;
mod index_faults;
mod lease_faults;
mod ledger_faults;
mod owner_faults;
mod publish_faults;
mod record_faults;
mod rig;
mod settle_faults;
mod table;
mod taking;
mod trials;
mod whole_batch;

pub use self::rig::GoodEngine;
pub use self::trials::Teeth;

use self::fault::Fault;

/// All faults, side by side with the code of each.
fn faults() -> impl Iterator<Item = &'static Fault> {
    [
        publish_faults::FAULTS,
        delivery_faults::FAULTS,
        settle_faults::FAULTS,
        lease_faults::FAULTS,
        admin_faults::FAULTS,
        record_faults::FAULTS,
        claim_faults::FAULTS,
        owner_faults::FAULTS,
        index_faults::FAULTS,
        blob_faults::FAULTS,
        ledger_faults::FAULTS,
    ]
    .into_iter()
    .flatten()
}
