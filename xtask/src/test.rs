//! `cargo xtask test`: the steps that every change passes, here and in CI.
//!
//! Every step that compiles selects the same packages and features, so that nothing is compiled twice for the
//! sake of another selection.

use std::path::Path;

use anyhow::Result;

use crate::brokers::Borrowed;
use crate::command::Scope;
use crate::conformance::{self, Record};
use crate::nextest::Nextest;
use crate::step::Step;
use crate::tidy;

/// The one selection of packages and features.
const ALL: &str = "--workspace --all-features";

/// Who runs the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runner {
    /// `cargo nextest`, which does not know doc examples.
    Nextest,
    /// `cargo test`, which does.
    Cargo,
}

/// Runs the steps in order, and answers whether all of them passed.
pub(crate) fn run(root: &Path, scope: Scope) -> Result<bool> {
    let runner = if Nextest::is_installed(root) {
        Runner::Nextest
    } else {
        println!("xtask: cargo-nextest is not installed, so `cargo test` runs the tests");
        Runner::Cargo
    };
    let mut steps = steps(scope, runner);
    let report = conformance::fresh_record(root)?;
    let borrowed = Borrowed::all(root)?;
    let tests = steps
        .iter_mut()
        .filter(|step| step.name.starts_with("tests"));
    for step in tests {
        step.environment
            .push((conformance::VARIABLE.to_owned(), report.clone()));
        step.environment.extend(Borrowed::variables(&borrowed));
    }
    let passed = run_all(root, &steps);
    Borrowed::give_back(borrowed)?;
    passed
}

/// Runs these steps and `tidy`, up to the first that fails.
fn run_all(root: &Path, steps: &[Step]) -> Result<bool> {
    let count = steps.len() + 1;
    let mut names = Vec::new();
    for (number, step) in (1..).zip(steps) {
        println!(
            "\nxtask: step {number} of {count}, {}: {}",
            step.name,
            step.line()
        );
        if !step.run(root)? {
            println!(
                "\nxtask: step {number} of {count} failed, {}. Repeat it alone with",
                step.name
            );
            println!("    {}", step.line());
            return Ok(false);
        }
        names.push(step.name);
    }
    println!("\nxtask: step {count} of {count}, tidy: cargo xtask tidy");
    let record = Record::read(&conformance::folder(root))?;
    if !tidy::run(root, Some(&record))? {
        println!("\nxtask: step {count} of {count} failed, tidy. Repeat it alone with");
        println!("    cargo xtask tidy");
        return Ok(false);
    }
    names.push("tidy");
    println!("\nxtask: all {count} steps are fine ({})", names.join(", "));
    Ok(true)
}

/// The steps that Cargo does; `tidy` comes after them.
fn steps(scope: Scope, runner: Runner) -> Vec<Step> {
    let mut steps = vec![Step::new("format", "fmt --all --check")];
    match runner {
        Runner::Nextest => {
            steps.push(Nextest::run("tests", ALL));
            steps.push(Step::new("doc examples", &format!("test {ALL} --doc")));
        }
        Runner::Cargo => {
            let tests = format!("test {ALL} --no-fail-fast");
            steps.push(Step::new("tests and doc examples", &tests));
        }
    }
    if scope == Scope::Whole {
        let lints = format!("clippy {ALL} --all-targets -- -D warnings");
        steps.push(Step::new("lints", &lints));
        // Libraries only: the command and the facade are both called `bananas`, and their pages would collide.
        let mut documentation = Step::new("documentation", &format!("doc {ALL} --lib --no-deps"));
        documentation
            .environment
            .push(("RUSTDOCFLAGS".to_owned(), "-D warnings".to_owned()));
        steps.push(documentation);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scope: Scope, runner: Runner) -> Vec<&'static str> {
        steps(scope, runner).iter().map(|step| step.name).collect()
    }

    #[test]
    fn quick_leaves_out_lints_and_documentation() {
        let whole = ["format", "tests", "doc examples", "lints", "documentation"];
        assert_eq!(names(Scope::Whole, Runner::Nextest), whole);
        assert_eq!(names(Scope::Quick, Runner::Nextest), whole[..3]);
    }

    #[test]
    fn without_nextest_cargo_runs_tests_and_doc_examples_in_one() {
        let quick = ["format", "tests and doc examples"];
        assert_eq!(names(Scope::Quick, Runner::Cargo), quick);
    }

    #[test]
    fn every_step_that_compiles_selects_the_same() {
        for runner in [Runner::Nextest, Runner::Cargo] {
            for step in steps(Scope::Whole, runner).iter().skip(1) {
                assert!(step.line().contains(ALL), "{}", step.line());
            }
        }
    }
}
