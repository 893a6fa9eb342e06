//! [`TaskError`]: why a run did not succeed, and what is to happen with the job.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What a handler returns. `?` on any error in it means: try again, by the task's policy.
pub type TaskResult<T = ()> = Result<T, TaskError>;

/// Why a run did not succeed. Made by `?` from any error, or by one of its constructors.
///
/// It is deliberately no `std::error::Error`, so that every error can become one.
///
/// ```
/// use bananas_worker::{TaskError, TaskResult};
///
/// fn charge(cents: &str) -> TaskResult<u64> {
///     let cents: u64 = cents.parse()?; // tried again, up to `max_attempts` times
///     if cents == 0 {
///         return Err(TaskError::fatal("nothing to charge")); // dead at once
///     }
///     Ok(cents)
/// }
/// # assert!(charge("0").is_err());
/// ```
pub struct TaskError {
    pub(crate) wish: Wish,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What the handler wants to happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Again, by policy.
    Retry,
    /// Never again.
    Fatal,
    /// Again after so long, as a failed attempt.
    RetryAfter(Duration),
    /// Again after so long, using no attempt.
    Snooze(Duration),
}

impl TaskError {
    /// No further attempt can help: the job is dead at once, for a person to look at.
    #[must_use]
    pub fn fatal(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Wish::Fatal, Some(error.into()))
    }

    /// A failed attempt like any other, but the next one is due after `delay`, not by the backoff.
    #[must_use]
    pub fn retry_after(delay: Duration, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Wish::RetryAfter(delay), Some(error.into()))
    }

    /// Nothing went wrong, the time has not come: run it again after `delay`, using no attempt.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self::new(Wish::Snooze(delay), None)
    }

    fn new(wish: Wish, source: Option<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { wish, source }
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::new(Wish::Retry, Some(error.into()))
    }
}

impl fmt::Display for TaskError {
    /// The error and its causes, joined by colons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(error) = &self.source else {
            return match self.wish {
                Wish::Snooze(delay) => write!(f, "snoozed for {delay:?}"),
                Wish::Retry | Wish::Fatal | Wish::RetryAfter(_) => f.write_str("failed"),
            };
        };
        let mut text = error.to_string();
        f.write_str(&text)?;
        let mut cause = error.source();
        while let Some(error) = cause {
            // Some errors repeat their cause in their own text; a person need not read it twice.
            let next = error.to_string();
            if !text.contains(&next) {
                write!(f, ": {next}")?;
            }
            text = next;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} [{:?}]", self.wish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_and_any_text_becomes_a_retry() {
        fn number(text: &str) -> TaskResult<i32> {
            Ok(text.parse::<i32>()?)
        }
        assert_eq!(number("x").unwrap_err().wish, Wish::Retry);
        assert_eq!(TaskError::from("text").to_string(), "text");
        assert_eq!(TaskError::from("owned".to_owned()).to_string(), "owned");
    }

    #[test]
    fn the_causes_are_told_once() {
        let inner = std::io::Error::other("disk on fire");
        let outer = std::io::Error::other(inner);
        assert_eq!(TaskError::from(outer).to_string(), "disk on fire");
    }

    #[test]
    fn the_exceptions_are_spelled_out() {
        let second = Duration::from_secs(1);
        assert_eq!(TaskError::fatal("no").wish, Wish::Fatal);
        assert_eq!(
            TaskError::retry_after(second, "busy").wish,
            Wish::RetryAfter(second)
        );
        assert_eq!(TaskError::snooze(second).wish, Wish::Snooze(second));
        assert_eq!(TaskError::snooze(second).to_string(), "snoozed for 1s");
    }
}
