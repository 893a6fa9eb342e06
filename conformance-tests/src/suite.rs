//! Collects the checks for backends and runs them, each as a test of its own.

use std::process::ExitCode;
use std::sync::Arc;

use bananas_core::{BoxFuture, Capabilities, Result};
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::case::{BrokerCase, LedgerCase, SplitCase, StoreCase};
use crate::check::Check;
use crate::checks;
use crate::child::Part;
use crate::entry::{Entry, Offer};
use crate::harness::{Backend, BrokerHarness, LedgerHarness, SplitHarness, StoreHarness};
use crate::ledger_role::LedgerRole;
use crate::report;
use crate::role::Role;
use crate::tool::Tool;

/// How many checks run at once unless the command line says so: most of them wait most of the time.
const AT_ONCE: usize = 16;

/// The namespace in which a backend is asked what it can do.
const ASKED: &str = "capabilities";

/// What a backend and its harness say when they are asked.
#[derive(Debug, Default)]
struct Answer {
    capabilities: Option<Capabilities>,
    admin: bool,
    tools: Vec<Tool>,
}

impl Answer {
    fn of(capabilities: &Capabilities) -> Self {
        Self {
            capabilities: Some(capabilities.clone()),
            ..Self::default()
        }
    }
}

/// The checks for one or more backends, and the runtime they run on.
#[derive(Debug)]
pub struct Suite {
    runtime: Runtime,
    trials: Vec<Trial>,
    at_once: usize,
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
            at_once: AT_ONCE,
        }
    }

    /// Runs fewer checks at once, for a server that has enough to do with one.
    #[must_use]
    pub fn at_once(mut self, checks: usize) -> Self {
        self.at_once = checks;
        self
    }

    /// The runtime that harnesses open their backends on.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Adds the checks of a broker.
    #[must_use]
    pub fn broker<H: BrokerHarness>(mut self, harness: &Arc<H>) -> Self {
        let (asked, opened) = (Arc::<H>::clone(harness), Arc::<H>::clone(harness));
        let offer = self.offer(harness.as_ref(), async move {
            let broker = asked.open(ASKED).await?;
            let clock = asked.open_with(ASKED, asked.env()).await?;
            let mut answer = Answer::of(&broker.info().capabilities);
            answer.admin = broker.admin().is_some();
            answer.tools.extend(clock.map(|_| Tool::Clock));
            answer.tools.extend(asked.secret().map(|_| Tool::Secret));
            answer.tools.extend(asked.network().map(|_| Tool::Network));
            let probing = asked.probe(ASKED).map(|probe| probe.offers());
            let probing = probing.unwrap_or_default().iter().copied();
            answer.tools.extend(probing.filter_map(Tool::of_probe));
            Ok(answer)
        });
        if let Some(part) = Part::of_this_process(harness.name(), "broker") {
            self.play(async move {
                let role = part.role(&Role::ALL);
                let case = BrokerCase::join(opened, part.namespace).await;
                role.play(case, part.number).await;
            });
        }
        for check in checks::broker() {
            let opened = Arc::<H>::clone(harness);
            let open = async move || BrokerCase::open(opened, check.name).await;
            self.add("broker", check, &offer, move || Box::pin(open()));
        }
        self.finish("broker", harness.as_ref(), &names(checks::broker()))
    }

    /// Adds the checks of a state store.
    #[must_use]
    pub fn store<H: StoreHarness>(mut self, harness: &Arc<H>) -> Self {
        let (asked, opened) = (Arc::<H>::clone(harness), Arc::<H>::clone(harness));
        let offer = self.offer(harness.as_ref(), async move {
            let mut answer = Answer::default();
            let blobs = asked.open(ASKED).await?.blobs().is_some();
            answer.tools.extend(blobs.then_some(Tool::Blobs));
            Ok(answer)
        });
        for check in checks::store() {
            let opened = Arc::<H>::clone(&opened);
            let open = async move || StoreCase::open(opened, check.name).await;
            self.add("store", check, &offer, move || Box::pin(open()));
        }
        self.finish("store", harness.as_ref(), &names(checks::store()))
    }

    /// Adds the checks of a ledger.
    #[must_use]
    pub fn ledger<H: LedgerHarness>(mut self, harness: &Arc<H>) -> Self {
        let (asked, opened) = (Arc::<H>::clone(harness), Arc::<H>::clone(harness));
        let offer = self.offer(harness.as_ref(), async move {
            let mut answer = Answer::of(&asked.open(ASKED).await?.info().capabilities);
            let apart = asked.broker_behind(ASKED).await?.is_some();
            answer.tools.extend((!apart).then_some(Tool::OneEngine));
            Ok(answer)
        });
        if let Some(part) = Part::of_this_process(harness.name(), "ledger") {
            self.play(async move {
                let role = part.role(&LedgerRole::ALL);
                let case = LedgerCase::join(opened, part.namespace).await;
                role.play(case, part.number).await;
            });
        }
        for check in checks::ledger() {
            let opened = Arc::<H>::clone(harness);
            let open = async move || LedgerCase::open(opened, check.name).await;
            self.add("ledger", check, &offer, move || Box::pin(open()));
        }
        self.finish("ledger", harness.as_ref(), &names(checks::ledger()))
    }

    /// Adds the checks of what the `SplitLedger` makes of a broker and a store.
    #[must_use]
    pub fn split<H: SplitHarness>(mut self, harness: &Arc<H>) -> Self {
        let offer = self.offer(harness.as_ref(), async { Ok(Answer::default()) });
        for check in checks::split() {
            let opened = Arc::<H>::clone(harness);
            let open = async move || SplitCase::open(opened).await;
            self.add("split", check, &offer, move || Box::pin(open()));
        }
        self.finish("split", harness.as_ref(), &names(checks::split()))
    }

    /// Ends this process when it has played the part that it was started for.
    fn play(&self, part: impl Future<Output = ()>) -> ! {
        // The input ends when the process that started this one does, even if that was killed.
        self.runtime.spawn_blocking(|| {
            let read = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(i32::from(read.is_err()));
        });
        self.runtime.block_on(part);
        std::process::exit(0)
    }

    /// Asks a backend what it can do.
    fn offer(&self, backend: &dyn Backend, ask: impl Future<Output = Result<Answer>>) -> Offer {
        let mut offer = Offer::of(backend);
        if offer.absent.is_none() {
            match self.runtime.block_on(ask) {
                Ok(answer) => {
                    offer.capabilities = answer.capabilities;
                    offer.admin = answer.admin;
                    offer.tools.extend(answer.tools);
                }
                Err(e) => offer.broken = Some(format!("it cannot be opened: {e}")),
            }
        }
        if let Some(can) = &offer.capabilities {
            report::write_capabilities(backend.name(), can);
        }
        offer
    }

    fn add<C: 'static>(
        &mut self,
        side: &'static str,
        check: &'static Check<C>,
        offer: &Offer,
        open: impl FnOnce() -> BoxFuture<'static, C> + Send + 'static,
    ) {
        let handle = self.runtime.handle().clone();
        let entry = Entry::new(side, check, offer);
        self.trials.push(entry.into_trial(handle, check, open));
    }

    /// Adds a failure for each known failure that names no check.
    fn finish(mut self, side: &'static str, backend: &dyn Backend, names: &[&str]) -> Self {
        for known in backend.known_failures() {
            let mine = known.check.split_once("::").filter(|(of, _)| *of == side);
            if mine.is_some_and(|(_, check)| !names.contains(&check)) {
                let name = format!("{}::{}::is_a_known_failure", backend.name(), known.check);
                let failed = move || Err(format!("no check of {side} has this name").into());
                self.trials.push(Trial::test(name, failed));
            }
        }
        self
    }

    /// Runs the checks that the command line asks for, and says how it went as `cargo test` does.
    pub fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(self.at_once);
        libtest_mimic::run(&arguments, self.trials).exit_code()
    }
}

fn names<C: 'static>(checks: impl Iterator<Item = &'static Check<C>>) -> Vec<&'static str> {
    checks.map(|check| check.name).collect()
}
