//! Random sequences on the engines of this repository, compared with the models; and on broken ones, which the
//! models must notice.
//!
//! `BANANAS_MODEL_CASES=20000` plays so many sequences, `BANANAS_MODEL_FIRST=7` begins with another one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how much it has played"
)]

mod broken_broker;
mod broken_store;
mod memory;
mod sqlite;

use std::sync::Arc;

use conformance_tests::{Campaign, Counterexample, Survey, broker_sequences, store_sequences};
use tokio::runtime::{Builder, Runtime};

use self::broken_broker::{BrokenBroker, BrokerFault};
use self::broken_store::{BrokenStore, StoreFault};
use self::memory::Memory;
use self::sqlite::Sqlite;

/// The most steps of a sequence.
const STEPS: usize = 60;

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// Fails with the sequence that was answered otherwise.
fn assert_like_the_model(played: Result<Survey, Counterexample>) {
    let survey = played.unwrap_or_else(|found| panic!("{found}"));
    println!("{survey:?}");
}

#[test]
fn memory_broker_answers_as_the_model_does() {
    let runtime = runtime();
    let campaign = Campaign::from_env(400, STEPS);
    let memory = Memory::on(&runtime);
    assert_like_the_model(broker_sequences(&memory, runtime.handle(), &campaign));
}

#[test]
fn sqlite_broker_answers_as_the_model_does() {
    let runtime = runtime();
    let campaign = Campaign::from_env(150, STEPS);
    let sqlite = Sqlite::on(&runtime);
    assert_like_the_model(broker_sequences(&sqlite, runtime.handle(), &campaign));
}

#[test]
fn memory_store_answers_as_the_model_does() {
    let runtime = runtime();
    let campaign = Campaign::from_env(400, STEPS);
    let memory = Memory::on(&runtime);
    assert_like_the_model(store_sequences(&memory, runtime.handle(), &campaign));
}

#[test]
fn sqlite_store_answers_as_the_model_does() {
    let runtime = runtime();
    let campaign = Campaign::from_env(80, STEPS);
    let sqlite = Sqlite::on(&runtime);
    assert_like_the_model(store_sequences(&sqlite, runtime.handle(), &campaign));
}

/// So many sequences are enough to notice the faults below. It is as many as are played without being asked.
const NOTICED_WITHIN: Campaign = Campaign {
    first: 0,
    cases: 400,
    steps: STEPS,
};

fn noticed_in_broker(fault: BrokerFault) -> Counterexample {
    let runtime = runtime();
    let broken = Arc::new(BrokenBroker {
        memory: Memory::on(&runtime),
        fault,
    });
    let played = broker_sequences(&broken, runtime.handle(), &NOTICED_WITHIN);
    let found = played.expect_err("the model did not notice the fault");
    println!("{found}");
    found
}

fn noticed_in_store(fault: StoreFault) -> Counterexample {
    let runtime = runtime();
    let broken = Arc::new(BrokenStore {
        memory: Memory::on(&runtime),
        fault,
    });
    let played = store_sequences(&broken, runtime.handle(), &NOTICED_WITHIN);
    let found = played.expect_err("the model did not notice the fault");
    println!("{found}");
    found
}

#[test]
fn the_model_notices_a_broker_that_reverses_priorities() {
    let found = noticed_in_broker(BrokerFault::ReversesPriorities);
    assert!(found.text.contains("comes before"), "{found}");
}

#[test]
fn the_model_notices_a_broker_that_delivers_again_what_was_acked() {
    noticed_in_broker(BrokerFault::KeepsWhatWasAcked);
}

#[test]
fn the_model_notices_a_broker_that_promises_extensions_and_makes_none() {
    noticed_in_broker(BrokerFault::ExtendsNothing);
}

#[test]
fn the_model_notices_a_broker_that_forgets_one_message_of_a_batch() {
    noticed_in_broker(BrokerFault::ForgetsTheThird);
}

#[test]
fn the_model_notices_a_store_that_lets_stale_runs_settle() {
    let found = noticed_in_store(StoreFault::TrustsStaleRuns);
    assert!(found.text.contains("Stale"), "{found}");
}

#[test]
fn the_model_notices_a_store_that_starts_more_suspects_than_it_may() {
    noticed_in_store(StoreFault::IgnoresSuspects);
}

#[test]
fn the_model_notices_a_store_that_confirms_no_batch() {
    noticed_in_store(StoreFault::ConfirmsNothing);
}
