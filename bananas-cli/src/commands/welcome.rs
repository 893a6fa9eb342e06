//! What `bananas` alone prints: where to start.

use std::process::ExitCode;

use crate::output::Output;

const TEXT: &str = "\
Bananas runs background jobs on the broker you already have.

Three commands to start with:

  bananas demo                                one job per file below this folder, a worker killed half-way
  bananas enqueue hello '{\"name\": \"world\"}'   put a job into bananas.db
  bananas worker                              run the jobs, as bananas.toml says:

      [tasks.hello.exec]
      argv = [\"echo\", \"hello, {name}\"]

Then look around: bananas jobs list, bananas queues, bananas wait.
`bananas --help` lists all commands; each has a --help with examples.";

/// Prints it.
pub(crate) fn run(output: &Output) -> anyhow::Result<ExitCode> {
    output.line(TEXT)?;
    Ok(ExitCode::SUCCESS)
}
