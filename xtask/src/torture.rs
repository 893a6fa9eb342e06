//! `cargo xtask torture`: worker processes under load, and faults without end.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::step::Step;

/// The exit code of a run that could not be done.
const COULD_NOT_RUN: u8 = 6;

/// Builds `torture`, then runs it, and answers with its exit code.
pub(crate) fn run(root: &Path, arguments: Vec<String>) -> Result<ExitCode> {
    // Apart, so that a compilation that fails is not taken for a run that found something.
    if !Step::new("compilation", "build --quiet --package torture").run(root)? {
        return Ok(ExitCode::from(COULD_NOT_RUN));
    }
    let mut step = Step::new("torture", "run --quiet --package torture --");
    step.arguments.extend(arguments);
    let code = step.exit_code(root)?;
    Ok(code.map_or(ExitCode::from(COULD_NOT_RUN), ExitCode::from))
}
