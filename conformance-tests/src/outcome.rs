//! How a check ended.

use std::any::Any;
use std::fmt;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The contract held.
    Passed,
    /// The capabilities rule the check out, for this reason.
    Skipped(String),
    /// Nothing here can prove it, for this reason.
    Untested(String),
    /// It fails, as was declared with this reason.
    KnownFailure(String),
    /// The contract is broken.
    Failed(String),
}

impl Outcome {
    /// The outcome of a check that unwound with this.
    pub(crate) fn of_panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Self::Failed(text.unwrap_or("it panicked without a text").to_owned())
    }

    /// The word for it, and the reason if there is one.
    pub(crate) fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Passed => ("passed", None),
            Self::Skipped(reason) => ("skipped", Some(reason)),
            Self::Untested(reason) => ("untested", Some(reason)),
            Self::KnownFailure(reason) => ("known failure", Some(reason)),
            Self::Failed(reason) => ("failed", Some(reason)),
        }
    }

    /// What it is when the backend's author declared that the check fails.
    pub(crate) fn declared(self, reason: &'static str) -> Self {
        match self {
            Self::Failed(_) => Self::KnownFailure(reason.to_owned()),
            Self::Passed => Self::Failed(format!(
                "it passes, but is declared as a known failure ({reason}); remove the declaration"
            )),
            other => other,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (word, None) => f.write_str(word),
            (word, Some(reason)) => write!(f, "{word}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome_of(check: fn()) -> Outcome {
        let payload = std::panic::catch_unwind(check).unwrap_err();
        Outcome::of_panic(payload.as_ref())
    }

    #[test]
    fn a_panic_is_a_failure_with_its_text() {
        let outcome = outcome_of(|| panic!("{} came twice", 7));
        assert_eq!(outcome.to_string(), "failed: 7 came twice");
        let known = outcome.declared("issue 3");
        assert_eq!(known.to_string(), "known failure: issue 3");
    }

    #[test]
    fn a_known_failure_that_passes_fails() {
        let outcome = Outcome::Passed.declared("issue 3");
        assert_eq!(outcome.parts().0, "failed");
    }
}
