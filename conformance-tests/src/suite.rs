//! Collects the checks for backends and runs them, each as a test of its own.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::BoxFuture;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::case::{BrokerCase, LedgerCase, SplitCase, StoreCase};
use crate::check::Check;
use crate::checks;
use crate::harness::{Backend, BrokerHarness, LedgerHarness, SplitHarness, StoreHarness};

/// The longest that a check may take, so that a call that never ends is a failure and not a hang.
const LONGEST: Duration = Duration::from_secs(300);

/// How many checks run at once unless the command line says so: most of them wait most of the time.
const AT_ONCE: usize = 16;

/// What a check starts from, or why it is not for this backend.
type Case<C> = Result<C, &'static str>;

/// The checks for one or more backends, and the runtime they run on.
#[derive(Debug)]
pub struct Suite {
    runtime: Runtime,
    trials: Vec<Trial>,
}

impl Suite {
    /// An empty suite.
    ///
    /// # Panics
    ///
    /// When no thread can be started.
    #[must_use]
    pub fn start() -> Self {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build();
        Self {
            runtime: runtime.expect("a runtime for the checks"),
            trials: Vec::new(),
        }
    }

    /// The runtime that harnesses open their backends on.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Adds the checks of a broker.
    #[must_use]
    pub fn broker<H: BrokerHarness>(mut self, harness: &Arc<H>) -> Self {
        for check in checks::broker() {
            let opened = Arc::<H>::clone(harness);
            let open = move || -> BoxFuture<'static, Case<BrokerCase>> {
                Box::pin(async move {
                    let case = BrokerCase::open(opened, check.name).await;
                    let refusal = check.gate.refusal_of(case.broker.as_ref());
                    refusal.map_or(Ok(case), Err)
                })
            };
            self.add(harness.as_ref(), "broker", check, open);
        }
        self
    }

    /// Adds the checks of a state store.
    #[must_use]
    pub fn store<H: StoreHarness>(mut self, harness: &Arc<H>) -> Self {
        for check in checks::store() {
            let opened = Arc::<H>::clone(harness);
            let open = move || -> BoxFuture<'static, Case<StoreCase>> {
                Box::pin(async move { Ok(StoreCase::open(opened, check.name).await) })
            };
            self.add(harness.as_ref(), "store", check, open);
        }
        self
    }

    /// Adds the checks of a ledger.
    #[must_use]
    pub fn ledger<H: LedgerHarness>(mut self, harness: &Arc<H>) -> Self {
        for check in checks::ledger() {
            let opened = Arc::<H>::clone(harness);
            let open = move || -> BoxFuture<'static, Case<LedgerCase>> {
                Box::pin(async move {
                    let case = LedgerCase::open(opened, check.name).await;
                    let can = &case.ledger.info().capabilities;
                    let refusal = check.gate.refusal(can, false);
                    refusal.map_or(Ok(case), Err)
                })
            };
            self.add(harness.as_ref(), "ledger", check, open);
        }
        self
    }

    /// Adds the checks of what the `SplitLedger` makes of a broker and a store.
    #[must_use]
    pub fn split<H: SplitHarness>(mut self, harness: &Arc<H>) -> Self {
        for check in checks::split() {
            let opened = Arc::<H>::clone(harness);
            let open = move || -> BoxFuture<'static, Case<SplitCase>> {
                Box::pin(async move { Ok(SplitCase::open(opened).await) })
            };
            self.add(harness.as_ref(), "split", check, open);
        }
        self
    }

    fn add<C: 'static>(
        &mut self,
        backend: &dyn Backend,
        side: &str,
        check: &'static Check<C>,
        open: impl FnOnce() -> BoxFuture<'static, Case<C>> + Send + 'static,
    ) {
        let env = backend.env();
        let handle = self.runtime.handle().clone();
        let make = async move || match open().await {
            Err(reason) => Completion::ignored_with(reason),
            Ok(case) => {
                (check.run)(case).await;
                Completion::Completed
            }
        };
        let trial = move || {
            let made = handle.block_on(async { env.within(LONGEST, make()).await });
            made.map_err(|_| Failed::from(format!("it did not end within {LONGEST:?}")))
        };
        let name = format!("{}::{side}::{}", backend.name(), check.name);
        self.trials.push(Trial::ignorable_test(name, trial));
    }

    /// Runs the checks that the command line asks for, and says how it went as `cargo test` does.
    pub fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(AT_ONCE);
        libtest_mimic::run(&arguments, self.trials).exit_code()
    }
}
