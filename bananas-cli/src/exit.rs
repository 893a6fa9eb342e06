//! Exit codes: which there are, and which one an error means.
//!
//! The text that describes them to users is here too, so that the two cannot drift apart.

use std::fmt;

use bananas::ErrorKind;

/// Something did not work.
pub(crate) const FAILURE: u8 = 1;
/// The command line or the configuration is wrong; clap uses the same number.
pub(crate) const USAGE: u8 = 2;
/// Jobs that were waited for ended otherwise than well.
pub(crate) const ENDED_BADLY: u8 = 3;
/// Jobs that were waited for had not ended when the time ran out.
pub(crate) const TIME_RAN_OUT: u8 = 4;

/// The codes, for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  it worked; for `worker`: every job was settled or given back
  1  it did not work; with `--each`: at least one line was not enqueued;
     for `doctor`: there are warnings; for `fsck`: something is wrong and was not repaired
  2  the command line or the configuration is wrong;
     for `doctor`: a backend cannot be used, or jobs are in danger
  3  `wait`, `enqueue --wait`: a job ended otherwise than well
  4  `wait`, `enqueue --wait`: the time ran out first

Output that nobody reads any more (a closed pipe) ends a command quietly.";

/// A mistake in the command line or the configuration.
#[derive(Debug)]
struct Usage(String);

/// Whoever read our output went away.
#[derive(Debug)]
pub(crate) struct ReaderGone;

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for Usage {}
impl std::error::Error for ReaderGone {}

/// An error that ends the command with [`USAGE`].
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// The exit code of an error; `None` when there is nothing to say about it.
pub(crate) fn code_of(error: &anyhow::Error) -> Option<u8> {
    if error.downcast_ref::<ReaderGone>().is_some() {
        return None;
    }
    if error.downcast_ref::<Usage>().is_some() {
        return Some(USAGE);
    }
    match error
        .downcast_ref::<bananas::Error>()
        .map(bananas::Error::kind)
    {
        Some(ErrorKind::InvalidArgument | ErrorKind::TooLarge | ErrorKind::Unsupported) => {
            Some(USAGE)
        }
        _ => Some(FAILURE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_wrong_argument_is_a_usage_error_through_every_context() {
        let wrong = bananas::Error::new(ErrorKind::InvalidArgument, "priority 101");
        let error = Err::<(), _>(wrong).context("enqueue").unwrap_err();
        assert_eq!(code_of(&error), Some(USAGE));
        assert_eq!(code_of(&usage("x").context("y")), Some(USAGE));
    }

    #[test]
    fn trouble_of_the_backend_is_a_failure_and_a_closed_pipe_is_nothing() {
        let full = bananas::Error::new(ErrorKind::Full, "disk full");
        assert_eq!(code_of(&full.into()), Some(FAILURE));
        assert_eq!(code_of(&ReaderGone.into()), None);
    }
}
