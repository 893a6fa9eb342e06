//! The trials: each fault is caught by the check named for it, and the table of catches is true.

use std::process::ExitCode;
use std::sync::Arc;

use bananas_core::Env;
use libtest_mimic::{Arguments, Failed, Trial};

use super::fault::{Fault, Plant};
use super::rig::{GoodEngine, MakeEngine, checks_of};
use super::{faults, table};
use crate::outcome::Outcome;

/// Proves that the checks catch what they are there for.
#[derive(Debug)]
pub struct Teeth {
    trials: Vec<Trial>,
}

impl Teeth {
    /// The trials, on good engines that are made by this.
    #[must_use]
    pub fn on(make: fn(Arc<dyn Env>) -> Arc<dyn GoodEngine>) -> Self {
        let mut trials = Vec::new();
        for fault in faults() {
            let (_, check) = fault.caught_by.split_once("::").unwrap_or_default();
            let name = format!("{}::is_caught_by::{check}", fault.name);
            trials.push(Trial::test(name, move || caught(make, fault)));
        }
        for plant in Plant::UNBROKEN {
            let name = format!("an_unbroken_{}_passes_all_checks", plant.side());
            trials.push(Trial::test(name, move || passes(make, plant)));
        }
        let table = move || table::check(make).map_err(Failed::from);
        trials.push(Trial::test("the_table_of_catches_is_true", table));
        Self { trials }
    }

    /// Runs the trials that the command line asks for, and says how it went as `cargo test` does.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let arguments = Arguments::from_args();
        libtest_mimic::run(&arguments, self.trials).exit_code()
    }
}

fn caught(make: MakeEngine, fault: &Fault) -> Result<(), Failed> {
    let checks = checks_of(make, fault.plant);
    let Some(check) = checks.iter().find(|check| check.name == fault.caught_by) else {
        return Err(format!("there is no check {}", fault.caught_by).into());
    };
    match check.run() {
        Outcome::Failed(_) => Ok(()),
        other => Err(format!(
            "{} does not notice a {} that {}: {other}",
            fault.caught_by,
            fault.plant.side(),
            fault.does
        )
        .into()),
    }
}

fn passes(make: MakeEngine, plant: Plant) -> Result<(), Failed> {
    let mut failed = String::new();
    for check in checks_of(make, plant) {
        let outcome = check.run();
        if let Outcome::Failed(_) = &outcome {
            failed += &format!("{}: {outcome}\n", check.name);
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(failed.into()),
    }
}
