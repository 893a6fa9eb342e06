//! [`Nextest`]: calls of `cargo nextest`, which runs each test as a process of its own. `.config/nextest.toml` says
//! which tests must not meet and which begin first.

use std::path::Path;
use std::thread::available_parallelism;

use crate::step::Step;

/// How many tests run at once for each core: most of them wait most of the time.
const AT_ONCE: usize = 4;

/// Calls of `cargo nextest`.
#[derive(Debug)]
pub(crate) struct Nextest;

impl Nextest {
    /// Whether it is installed.
    pub(crate) fn is_installed(root: &Path) -> bool {
        Step::new("nextest", "nextest --version").is_possible(root)
    }

    /// A run of the tests that these arguments select, to its end.
    pub(crate) fn run(name: &'static str, selection: &str) -> Step {
        let cores = available_parallelism().map_or(1, usize::from);
        let threads = cores * AT_ONCE;
        let arguments = format!("nextest run --no-fail-fast --test-threads {threads} {selection}");
        Step::new(name, &arguments)
    }
}
