//! The checks, a file for each topic. One check proves one fact, and names the clauses that demand it.

mod broker_admin;
mod broker_basics;
mod broker_batch;
mod broker_clock;
mod broker_close;
mod broker_crash;
mod broker_crowd;
mod broker_delay;
mod broker_dropped;
mod broker_due;
mod broker_facts;
mod broker_foreign;
mod broker_history;
mod broker_lease;
mod broker_limits;
mod broker_network;
mod broker_order;
mod broker_publish;
mod broker_server;
mod broker_settle;
mod broker_stop;
mod ledger_batch;
mod ledger_cancel;
mod ledger_close;
mod ledger_crash;
mod ledger_delay;
mod ledger_end;
mod ledger_enqueue;
mod ledger_index;
mod ledger_order;
mod ledger_owner;
mod ledger_race;
mod ledger_run;
mod ledger_source;
mod ledger_storm;
mod ledger_suspect;
mod ledger_track;
mod ledger_unique;
mod ledger_upkeep;
mod split_evidence;
mod split_intake;
mod split_outbox;
mod split_settle;
mod store_batch;
mod store_blobs;
mod store_check;
mod store_claim;
mod store_close;
mod store_due;
mod store_facts;
mod store_keep;
mod store_lease;
mod store_owner;
mod store_publication;
mod store_query;
mod store_race;
mod store_record;
mod store_retention;
mod store_storm;
mod store_unique;
mod store_watch;

use crate::case::{BrokerCase, LedgerCase, SplitCase, StoreCase};
use crate::check::Check;

/// What every broker must do.
pub(crate) fn broker() -> impl Iterator<Item = &'static Check<BrokerCase>> {
    [
        broker_admin::CHECKS,
        broker_basics::CHECKS,
        broker_batch::CHECKS,
        broker_clock::CHECKS,
        broker_close::CHECKS,
        broker_crash::CHECKS,
        broker_crowd::CHECKS,
        broker_delay::CHECKS,
        broker_dropped::CHECKS,
        broker_due::CHECKS,
        broker_facts::CHECKS,
        broker_foreign::CHECKS,
        broker_history::CHECKS,
        broker_lease::CHECKS,
        broker_limits::CHECKS,
        broker_network::CHECKS,
        broker_order::CHECKS,
        broker_publish::CHECKS,
        broker_server::CHECKS,
        broker_settle::CHECKS,
        broker_stop::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// What every ledger must do.
pub(crate) fn ledger() -> impl Iterator<Item = &'static Check<LedgerCase>> {
    [
        ledger_batch::CHECKS,
        ledger_cancel::CHECKS,
        ledger_close::CHECKS,
        ledger_crash::CHECKS,
        ledger_delay::CHECKS,
        ledger_end::CHECKS,
        ledger_enqueue::CHECKS,
        ledger_index::CHECKS,
        ledger_order::CHECKS,
        ledger_owner::CHECKS,
        ledger_race::CHECKS,
        ledger_run::CHECKS,
        ledger_source::CHECKS,
        ledger_storm::CHECKS,
        ledger_suspect::CHECKS,
        ledger_track::CHECKS,
        ledger_unique::CHECKS,
        ledger_upkeep::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// What the `SplitLedger` makes of a broker and a store.
pub(crate) fn split() -> impl Iterator<Item = &'static Check<SplitCase>> {
    [
        split_evidence::CHECKS,
        split_intake::CHECKS,
        split_outbox::CHECKS,
        split_settle::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// What every store must do, where the checks of the ledger do not prove it already.
pub(crate) fn store() -> impl Iterator<Item = &'static Check<StoreCase>> {
    [
        store_batch::CHECKS,
        store_blobs::CHECKS,
        store_check::CHECKS,
        store_claim::CHECKS,
        store_close::CHECKS,
        store_due::CHECKS,
        store_facts::CHECKS,
        store_keep::CHECKS,
        store_lease::CHECKS,
        store_owner::CHECKS,
        store_publication::CHECKS,
        store_query::CHECKS,
        store_race::CHECKS,
        store_record::CHECKS,
        store_retention::CHECKS,
        store_storm::CHECKS,
        store_unique::CHECKS,
        store_watch::CHECKS,
    ]
    .into_iter()
    .flatten()
}
