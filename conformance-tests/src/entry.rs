//! One line of the suite's list: a check on a backend, and whether it is run at all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{BoxFuture, Capabilities, Env};
use libtest_mimic::{Completion, Failed, Trial};
use tokio::runtime::Handle;

use crate::check::Check;
use crate::harness::Backend;
use crate::known_failure::KnownFailure;
use crate::outcome::Outcome;
use crate::report::Row;
use crate::tier::Tier;
use crate::tool::Tool;

/// The longest that a check may take, so that a call that never ends is a failure and not a hang.
const LONGEST: Duration = Duration::from_secs(300);

/// The same for the checks that wait for minutes on purpose.
const LONGEST_OF_LONG: Duration = Duration::from_secs(3_600);

/// Makes a check that cannot be made for want of a server a failure.
const REQUIRED: &str = "BANANAS_TEST_REQUIRED";

/// What a backend and its harness offer.
pub(crate) struct Offer {
    backend: String,
    env: Arc<dyn Env>,
    /// Why it cannot be tested here.
    pub(crate) absent: Option<String>,
    /// Why all of its checks fail.
    pub(crate) broken: Option<String>,
    /// What it can do, where the side has a say in that.
    pub(crate) capabilities: Option<Capabilities>,
    /// Whether it has an admin side.
    pub(crate) admin: bool,
    /// What its harness has.
    pub(crate) tools: Vec<Tool>,
    known: &'static [KnownFailure],
}

impl Offer {
    pub(crate) fn of(backend: &dyn Backend) -> Self {
        let child = backend.child().map(|_| Tool::Child);
        Self {
            backend: backend.name().to_owned(),
            env: backend.env(),
            absent: backend.absent(),
            broken: None,
            capabilities: None,
            admin: false,
            tools: [Some(Tool::Nothing), child].into_iter().flatten().collect(),
            known: backend.known_failures(),
        }
    }

    /// How a check ends that need not be run.
    fn foregone<C>(&self, check: &Check<C>) -> Option<Outcome> {
        if let Some(reason) = &self.absent {
            return Some(match std::env::var_os(REQUIRED) {
                Some(_) => Outcome::Failed(reason.clone()),
                None => Outcome::Untested(reason.clone()),
            });
        }
        if let Some(reason) = &self.broken {
            return Some(Outcome::Failed(reason.clone()));
        }
        let can = self.capabilities.as_ref();
        let refusal = can.and_then(|can| check.gate.refusal(can, self.admin));
        if let Some(reason) = refusal {
            return Some(Outcome::Skipped(reason.to_owned()));
        }
        let lacking = !self.tools.contains(&check.tool);
        lacking.then(|| Outcome::Untested(check.tool.lacking().to_owned()))
    }
}

/// A check on a backend.
pub(crate) struct Entry {
    row: Row,
    env: Arc<dyn Env>,
    /// How it ends without being run.
    foregone: Option<Outcome>,
    /// Why it is known to fail.
    known: Option<&'static str>,
}

impl Entry {
    pub(crate) fn new<C>(side: &'static str, check: &Check<C>, offer: &Offer) -> Self {
        let name = format!("{side}::{}", check.name);
        let known = offer.known.iter().find(|known| known.check == name);
        Self {
            row: Row {
                backend: offer.backend.clone(),
                side,
                tier: check.tier,
                check: check.name,
            },
            env: Arc::clone(&offer.env),
            foregone: offer.foregone(check),
            known: known.map(|known| known.reason),
        }
    }

    /// The test of it. What is not run carries its reason in the list of tests, and is never shown as passed.
    pub(crate) fn into_trial<C: 'static>(
        self,
        handle: Handle,
        check: &'static Check<C>,
        open: impl FnOnce() -> BoxFuture<'static, C> + Send + 'static,
    ) -> Trial {
        let name = self.row.name();
        let passed_over = match &self.foregone {
            Some(Outcome::Failed(_)) | None => None,
            Some(outcome) => Some(outcome.to_string()),
        };
        if let (Some(outcome), true) = (&self.foregone, passed_over.is_some()) {
            self.row.write(outcome);
        }
        let known = self.known.map(|reason| format!("known failure: {reason}"));
        let asked_for = check.tier == Tier::Long;
        let ignored = passed_over.is_some() || asked_for;
        let kind = passed_over.or(known).unwrap_or_default();
        let trial = Trial::ignorable_test(name, move || self.run(&handle, check, open));
        trial.with_kind(kind).with_ignored_flag(ignored)
    }

    fn run<C: 'static>(
        self,
        handle: &Handle,
        check: &'static Check<C>,
        open: impl FnOnce() -> BoxFuture<'static, C>,
    ) -> Result<Completion, Failed> {
        let longest = match self.row.tier {
            Tier::Long => LONGEST_OF_LONG,
            Tier::Smoke | Tier::Core | Tier::Fault => LONGEST,
        };
        let make = async || (check.run)(open().await).await;
        let made = || handle.block_on(async { self.env.within(longest, make()).await });
        let outcome =
            self.foregone
                .clone()
                .unwrap_or_else(|| match catch_unwind(AssertUnwindSafe(made)) {
                    Ok(Ok(())) => Outcome::Passed,
                    Ok(Err(_)) => Outcome::Failed(format!("it did not end within {longest:?}")),
                    Err(payload) => Outcome::of_panic(payload.as_ref()),
                });
        let outcome = match self.known {
            Some(reason) => outcome.declared(reason),
            None => outcome,
        };
        self.row.write(&outcome);
        match outcome {
            Outcome::Passed => Ok(Completion::Completed),
            Outcome::Failed(text) => Err(text.into()),
            other => Ok(Completion::ignored_with(other)),
        }
    }
}
