//! Runs checks on a good engine with a fault in it, each on a runtime and a virtual clock of its own.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{Broker, Env, Ledger, Result, SplitLedger, SplitOptions, StateStore};
use tokio::runtime::Builder;

use super::broken_broker::{BrokenBroker, BrokerFault};
use super::broken_ledger::{BrokenLedger, LedgerFault};
use super::broken_store::{BrokenStore, StoreFault};
use super::fault::Plant;
use crate::case::{BrokerCase, LedgerCase, StoreCase};
use crate::check::{Check, Running};
use crate::checks;
use crate::hand_worker::new_owner;
use crate::harness::{Backend, BrokerHarness, LedgerHarness, StoreHarness};
use crate::outcome::Outcome;
use crate::tier::Tier;
use crate::tool::Tool;
use crate::virtual_env::VirtualEnv;

/// The longest that a check may take by the virtual clock; a call that never ends is caught then.
const LONGEST: Duration = Duration::from_secs(300);

/// Where the chance of every run starts, so that each run is the same.
const SEED: u64 = 1;

/// One place of a good engine, on which broker, store and ledger open.
pub trait GoodEngine: Send + Sync + 'static {
    /// A client of the broker.
    fn broker(&self) -> Arc<dyn Broker>;

    /// A client of the state store.
    fn store(&self) -> Arc<dyn StateStore>;

    /// A client of the engine's own ledger.
    fn ledger(&self) -> Arc<dyn Ledger>;
}

/// Makes a good engine that takes its time from this environment.
pub(super) type MakeEngine = fn(Arc<dyn Env>) -> Arc<dyn GoodEngine>;

/// A check, ready to be run on an engine with a fault.
pub(super) struct Planted {
    /// With its side: `broker::a_batch_is_delivered_once_each`.
    pub(super) name: String,
    run: Run,
    make: MakeEngine,
    plant: Plant,
}

/// All checks that could notice a fault that is planted here.
pub(super) fn checks_of(make: MakeEngine, plant: Plant) -> Vec<Planted> {
    let good = make(Arc::new(VirtualEnv::current(SEED))).broker();
    let can = &good.info().capabilities;
    let planted = |(name, run)| Planted {
        name,
        run,
        make,
        plant,
    };
    let broker = checks::broker().filter_map(|check| {
        let refusal = check.gate.refusal(can, good.admin().is_some());
        ready("broker", check, refusal, move |backend| {
            Box::pin(async move { (check.run)(BrokerCase::open(backend, check.name).await).await })
        })
    });
    let store = checks::store().filter_map(|check| {
        ready("store", check, None, move |backend| {
            Box::pin(async move { (check.run)(StoreCase::open(backend, check.name).await).await })
        })
    });
    let ledger = checks::ledger().filter_map(|check| {
        let apart = check.tool == Tool::OneEngine && !matches!(plant, Plant::Ledger(_));
        let lacking = apart.then(|| check.tool.lacking());
        let refusal = check.gate.refusal(can, false).or(lacking);
        ready("ledger", check, refusal, move |backend| {
            Box::pin(async move { (check.run)(LedgerCase::open(backend, check.name).await).await })
        })
    });
    match plant {
        Plant::Broker(_) => broker.map(planted).collect(),
        Plant::Store(_) => store.chain(ledger).map(planted).collect(),
        Plant::Ledger(_) => ledger.map(planted).collect(),
    }
}

type Run = Box<dyn Fn(Arc<Broken>) -> Running + Send + Sync>;

/// A check with its name, unless the engine cannot be asked it: it needs more than memory, takes minutes of
/// real time, or is ruled out by what the engine can do.
fn ready<C>(
    side: &str,
    check: &'static Check<C>,
    refusal: Option<&str>,
    run: impl Fn(Arc<Broken>) -> Running + Send + Sync + 'static,
) -> Option<(String, Run)> {
    let name = format!("{side}::{}", check.name);
    let cheap = matches!(check.tier, Tier::Smoke | Tier::Core);
    let at_hand = matches!(check.tool, Tool::Nothing | Tool::OneEngine | Tool::Blobs);
    let wanted = refusal.is_none() && at_hand && cheap;
    wanted.then(|| (name, Box::new(run) as Run))
}

impl Planted {
    /// Runs the check on an engine of its own.
    pub(super) fn run(&self) -> Outcome {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime for the check");
        let run = || {
            runtime.block_on(async {
                let env: Arc<dyn Env> = Arc::new(VirtualEnv::current(SEED));
                let backend = Arc::new(Broken::new(&env, self.make, self.plant));
                env.within(LONGEST, (self.run)(backend)).await
            })
        };
        match quietly(|| catch_unwind(AssertUnwindSafe(run))) {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(_)) => Outcome::Failed(format!("it did not end within {LONGEST:?}")),
            Err(payload) => Outcome::of_panic(payload.as_ref() as &(dyn Any + Send)),
        }
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Lets nothing be printed about panics of this thread, which are what is hoped for here.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let ran = run();
    QUIET.set(false);
    ran
}

/// A good engine with a fault planted in one side of it.
struct Broken {
    env: Arc<dyn Env>,
    make: MakeEngine,
    plant: Plant,
    places: Mutex<HashMap<String, Place>>,
}

/// One namespace, whose clients share the engine and the fault.
#[derive(Clone)]
struct Place {
    engine: Arc<dyn GoodEngine>,
    broker: Option<Arc<dyn BrokerFault>>,
    store: Option<Arc<dyn StoreFault>>,
    ledger: Option<Arc<dyn LedgerFault>>,
}

impl Broken {
    fn new(env: &Arc<dyn Env>, make: MakeEngine, plant: Plant) -> Self {
        Self {
            env: Arc::clone(env),
            make,
            plant,
            places: Mutex::default(),
        }
    }

    fn place(&self, namespace: &str) -> Place {
        self.place_with(namespace, &self.env)
    }

    /// A place that takes its time from `env`, if it is new.
    fn place_with(&self, namespace: &str, env: &Arc<dyn Env>) -> Place {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(namespace.to_owned()).or_insert_with(|| {
            let mut place = Place {
                engine: (self.make)(Arc::clone(env)),
                broker: None,
                store: None,
                ledger: None,
            };
            match self.plant {
                Plant::Broker(make) => place.broker = Some(make()),
                Plant::Store(make) => place.store = Some(make()),
                Plant::Ledger(make) => place.ledger = Some(make()),
            }
            place
        });
        place.clone()
    }

    /// A ledger over the good broker and the broken store.
    fn split(&self, broker: Arc<dyn Broker>, store: Arc<dyn StateStore>) -> Arc<dyn Ledger> {
        let mut options = SplitOptions::new(new_owner(&self.env), |_| false);
        options.open_for = Duration::from_secs(2);
        let env = Arc::clone(&self.env);
        Arc::new(SplitLedger::new(broker, store, env, options))
    }

    fn store_of(&self, place: &Place, fault: Arc<dyn StoreFault>) -> Arc<dyn StateStore> {
        let env = Arc::clone(&self.env);
        Arc::new(BrokenStore::new(env, place.engine.store(), fault))
    }
}

impl Backend for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }
}

#[async_trait]
impl BrokerHarness for Broken {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        let place = self.place(namespace);
        let (env, good) = (Arc::clone(&self.env), place.engine.broker());
        Ok(match place.broker {
            Some(fault) => Arc::new(BrokenBroker::new(env, good, fault)),
            None => good,
        })
    }
}

#[async_trait]
impl StoreHarness for Broken {
    async fn open_with(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn StateStore>> {
        let place = self.place_with(namespace, &env);
        Ok(match &place.store {
            Some(fault) => self.store_of(&place, Arc::clone(fault)),
            None => place.engine.store(),
        })
    }
}

#[async_trait]
impl LedgerHarness for Broken {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Ledger>> {
        let place = self.place(namespace);
        if let Some(fault) = &place.store {
            let store = self.store_of(&place, Arc::clone(fault));
            return Ok(self.split(place.engine.broker(), store));
        }
        let (env, good) = (Arc::clone(&self.env), place.engine.ledger());
        Ok(match place.ledger {
            Some(fault) => Arc::new(BrokenLedger::new(env, good, fault)),
            None => good,
        })
    }

    async fn broker_behind(&self, namespace: &str) -> Result<Option<Arc<dyn Broker>>> {
        let place = self.place(namespace);
        Ok(place.store.is_some().then(|| place.engine.broker()))
    }
}
