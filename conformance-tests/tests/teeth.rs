//! The checks have teeth: each fault that is planted into the memory engine is caught by the check named for
//! it. `BANANAS_TEETH_WRITE=1` writes the table of who caught what anew.

use std::process::ExitCode;
use std::sync::Arc;

use bananas_broker_memory::MemoryEngine;
use bananas_core::{Broker, Env, Ledger, StateStore};
use conformance_tests::{GoodEngine, Teeth};

struct Memory(Arc<MemoryEngine>);

impl GoodEngine for Memory {
    fn broker(&self) -> Arc<dyn Broker> {
        self.0.broker()
    }

    fn store(&self) -> Arc<dyn StateStore> {
        self.0.store()
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        self.0.ledger()
    }
}

fn make(env: Arc<dyn Env>) -> Arc<dyn GoodEngine> {
    Arc::new(Memory(MemoryEngine::new(env)))
}

fn main() -> ExitCode {
    Teeth::on(make).run()
}
