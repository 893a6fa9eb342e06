//! The contract of the broker on brokers that can do less than memory and SQLite: a longest delay or none, a
//! longest lease in all, order by key alone, and no admin side. So the checks that those two need not pass are
//! run, too, and the suite is seen to do without counts. And the contract of the ledger over them, which lacks
//! no delay.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broker;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bananas_broker_memory::MemoryEngine;
use bananas_core::wrapper::{ClaimCheck, LanePlan, Lanes, PriorityLanes};
use bananas_core::{
    Broker, Delay, Env, Ledger, Owner, QueueName, Result, SplitLedger, SplitOptions, TokioEnv,
};
use conformance_tests::{Backend, BrokerHarness, LedgerHarness, Probe, Probing, Suite};

use self::broker::{Foreign, HOUR, Modest};

/// Bodies of more bytes go to the store, where there is a `ClaimCheck`: nearly all that the checks send.
const LARGE: usize = 4;

/// Passed on to nobody, so no text can show it.
const PASSWORD: &str = "a-password-that-no-text-shows";

struct Harness {
    name: &'static str,
    delay: Delay,
    lanes: LanePlan,
    claim_check: bool,
    env: Arc<dyn Env>,
    engines: Mutex<HashMap<String, Arc<MemoryEngine>>>,
    foreign: Arc<Foreign>,
}

impl Harness {
    fn engine(&self, namespace: &str) -> Arc<MemoryEngine> {
        let mut engines = self.engines.lock().unwrap();
        let new = || MemoryEngine::new(Arc::clone(&self.env));
        Arc::clone(engines.entry(namespace.to_owned()).or_insert_with(new))
    }
}

impl Harness {
    fn modest(&self, namespace: &str) -> Arc<dyn Broker> {
        let inner = self.engine(namespace).broker();
        let modest = Modest::around(inner, self.delay, self.env());
        Arc::new(modest.beside(namespace, &self.foreign))
    }
}

#[async_trait]
impl LedgerHarness for Harness {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>> {
        let process = Owner {
            id: self.env.owner_id(),
            host: "conformance".to_owned(),
            boot_id: String::new(),
            pid: std::process::id(),
            pid_started: 0,
        };
        let mut options = SplitOptions::new(process, |_| false);
        options.open_for = Duration::from_secs(2);
        let store = self.engine(namespace).store();
        let ledger = SplitLedger::new(self.modest(namespace), store, self.env(), options);
        Ok(Arc::new(ledger))
    }

    async fn broker_behind(&self, namespace: &str) -> Result<Option<Arc<dyn Broker>>> {
        // With its admin side, so that the checks see the dead queue.
        Ok(Some(self.engine(namespace).broker()))
    }
}

/// Makes queues that are not ours.
struct Stranger {
    namespace: String,
    foreign: Arc<Foreign>,
}

#[async_trait]
impl Probe for Stranger {
    fn offers(&self) -> &'static [Probing] {
        &[Probing::Conflict]
    }

    async fn make_conflicting(&self, queue: &QueueName) -> Result<()> {
        let place = (self.namespace.clone(), queue.clone());
        self.foreign.lock().unwrap().insert(place);
        Ok(())
    }
}

impl Backend for Harness {
    fn name(&self) -> &str {
        self.name
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }
}

#[async_trait]
impl BrokerHarness for Harness {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        let mut broker = self.modest(namespace);
        if self.lanes.has_lanes() {
            let lanes = PriorityLanes::new(broker, self.lanes.clone(), self.env());
            broker = Arc::new(lanes);
        }
        if self.claim_check {
            let store = self.engine(namespace).store();
            let checked = ClaimCheck::beyond(LARGE, broker, store, self.env())?;
            broker = Arc::new(checked);
        }
        Ok(broker)
    }

    fn probe(&self, namespace: &str) -> Option<Arc<dyn Probe>> {
        Some(Arc::new(Stranger {
            namespace: namespace.to_owned(),
            foreign: Arc::clone(&self.foreign),
        }))
    }

    fn secret(&self) -> Option<String> {
        Some(PASSWORD.to_owned())
    }
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let env: Arc<dyn Env> = Arc::new(TokioEnv::on(suite.runtime().clone()));
    let harness = |name: &'static str, delay, lanes: LanePlan| {
        Arc::new(Harness {
            name,
            delay,
            lanes,
            claim_check: name.ends_with("+check"),
            env: Arc::clone(&env),
            engines: Mutex::default(),
            foreign: Arc::default(),
        })
    };
    let lanes = LanePlan::new().others(Lanes::strict(4).unwrap());
    let short = Delay::Native {
        max: Some(HOUR),
        granularity: Duration::from_millis(1),
    };
    suite
        .broker(&harness("modest", short, LanePlan::new()))
        .broker(&harness("modest+lanes", short, lanes.clone()))
        .broker(&harness("modest+check", short, LanePlan::new()))
        .broker(&harness("modest+lanes+check", short, lanes))
        .broker(&harness("undelayed", Delay::Unsupported, LanePlan::new()))
        .ledger(&harness("modest+memory", short, LanePlan::new()))
        .ledger(&harness(
            "undelayed+memory",
            Delay::Unsupported,
            LanePlan::new(),
        ))
        .run()
}
