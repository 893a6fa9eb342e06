//! `cargo xtask bench`: the benchmarks, in release mode.

use std::path::Path;

use anyhow::Result;

use crate::step::Step;

/// Builds and runs `benches`, and answers whether it ended well.
pub(crate) fn run(root: &Path, arguments: Vec<String>) -> Result<bool> {
    let mut step = Step::new("benchmarks", "run --release --package benches --");
    step.arguments.extend(arguments);
    step.run(root)
}
