//! [`Command`]: what the command line asks for.
//!
//! Read by hand: an argument parser would be compiled a second time before each first test run, for it would
//! be built with other features than in the workspace.

use anyhow::{Result, bail};

use crate::brokers::Wish;

/// What `cargo xtask help` prints.
pub(crate) const HELP: &str = "\
Usage: cargo xtask <COMMAND>

Commands:
  test [--quick]   format, tests, doc examples, lints, documentation, tidy; --quick leaves out
                   lints and documentation. Stops at the first failure
  tidy             the rules of the house: sizes, names, places, edges between crates
  conformance [--last]
                   runs the conformance suite and writes docs/reference/conformance.md and the tables
                   of docs/guide; --last takes the answers of the last run, of `test` as well
  brokers up|down [NAMES]
                   starts or ends the servers that tests and developers need: with Docker where it
                   runs, else privately on the loopback address from installed packages
  brokers status   which of them run, where, and as which process
  bench [ARGS]     builds and runs the benchmarks in release mode; ARGS go to them
  torture [ARGS]   strikes a broker and its clients under load, and proves that every worker process
                   comes back and no job is lost; ARGS go to it (--help lists them and its exit codes)
  help             this text

Exit code: 0 when all is well, 1 when something was found, 2 when xtask itself could not go on.";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Print the help.
    Help,
    /// Run the steps of a test.
    Test(Scope),
    /// Look for breaches of the house rules.
    Tidy,
    /// Write the pages about the conformance suite.
    Conformance(Answers),
    /// Start servers, end them, or say which run.
    Brokers(Wish),
    /// Run the benchmarks with these arguments.
    Bench(Vec<String>),
    /// Run faults with these arguments.
    Torture(Vec<String>),
}

/// How much `test` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything.
    Whole,
    /// No lints and no documentation, which need a second compilation.
    Quick,
}

/// Where the answers of the suite come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// It is run for them.
    Anew,
    /// From the last run.
    Last,
}

impl Command {
    /// Reads the arguments behind `cargo xtask`.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let arguments: Vec<String> = arguments.into_iter().collect();
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match *words.as_slice() {
            [] | ["help" | "--help" | "-h", ..] => Ok(Self::Help),
            ["test" | "tidy" | "conformance", "--help" | "-h"] => Ok(Self::Help),
            ["test"] => Ok(Self::Test(Scope::Whole)),
            ["test", "--quick"] => Ok(Self::Test(Scope::Quick)),
            ["tidy"] => Ok(Self::Tidy),
            ["brokers", .., "--help" | "-h"] => Ok(Self::Help),
            ["brokers", "up", ..] => Ok(Self::Brokers(Wish::Up(rest(arguments, 2)))),
            ["brokers", "down", ..] => Ok(Self::Brokers(Wish::Down(rest(arguments, 2)))),
            ["brokers", "status"] => Ok(Self::Brokers(Wish::Status)),
            ["brokers", ..] => bail!("`brokers` has up, down and status\n\n{HELP}"),
            ["bench", ..] => Ok(Self::Bench(rest(arguments, 1))),
            ["torture", ..] => Ok(Self::Torture(rest(arguments, 1))),
            ["test", first, ..] => bail!("`test` has no argument {first:?}; it has --quick"),
            ["conformance"] => Ok(Self::Conformance(Answers::Anew)),
            ["conformance", "--last"] => Ok(Self::Conformance(Answers::Last)),
            ["conformance", first, ..] => {
                bail!("`conformance` has no argument {first:?}; it has --last")
            }
            ["tidy", first, ..] => bail!("`tidy` has no argument {first:?}; it has none"),
            [other, ..] => bail!("there is no command {other:?}\n\n{HELP}"),
        }
    }
}

/// The arguments behind the first `count`.
fn rest(arguments: Vec<String>, count: usize) -> Vec<String> {
    arguments.into_iter().skip(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn commands_are_read() {
        assert_eq!(parse("test").unwrap(), Command::Test(Scope::Whole));
        assert_eq!(parse("test --quick").unwrap(), Command::Test(Scope::Quick));
        assert_eq!(parse("tidy").unwrap(), Command::Tidy);
        let last = Command::Conformance(Answers::Last);
        assert_eq!(parse("conformance --last").unwrap(), last);
        let arguments = vec!["--jobs".to_owned(), "10".to_owned()];
        assert_eq!(parse("bench --jobs 10").unwrap(), Command::Bench(arguments));
        let arguments = vec!["--help".to_owned()];
        assert_eq!(
            parse("torture --help").unwrap(),
            Command::Torture(arguments)
        );
        assert_eq!(parse("").unwrap(), Command::Help);
        let names = vec!["redis".to_owned(), "nats".to_owned()];
        let up = Command::Brokers(Wish::Up(names));
        assert_eq!(parse("brokers up redis nats").unwrap(), up);
        let down = Command::Brokers(Wish::Down(Vec::new()));
        assert_eq!(parse("brokers down").unwrap(), down);
        assert_eq!(
            parse("brokers status").unwrap(),
            Command::Brokers(Wish::Status)
        );
        assert_eq!(parse("brokers up --help").unwrap(), Command::Help);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let text = parse("tests").unwrap_err().to_string();
        assert!(
            text.contains("\"tests\"") && text.contains("Usage"),
            "{text}"
        );
        assert!(
            parse("brokers start")
                .unwrap_err()
                .to_string()
                .contains("status")
        );
        let text = parse("test --fast").unwrap_err().to_string();
        assert!(
            text.contains("--fast") && text.contains("--quick"),
            "{text}"
        );
    }
}
