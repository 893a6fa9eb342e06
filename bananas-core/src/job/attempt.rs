//! What went wrong in one attempt.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How many errors a record keeps; the oldest go first.
pub const MAX_ERRORS_KEPT: usize = 20;

/// The longest error text that is kept, in bytes; the rest is cut and marked.
pub const MAX_ERROR_BYTES: usize = 8 * 1024;

/// One failed attempt, or one crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptError {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When it ended.
    #[serde(rename = "at_us")]
    pub at: Timestamp,
    /// How it ended.
    pub cause: ErrorCause,
    /// The text, at most [`MAX_ERROR_BYTES`].
    pub message: String,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCause {
    /// The handler returned an error.
    Failed,
    /// The handler panicked.
    Panicked,
    /// It took longer than its timeout.
    TimedOut,
    /// The process that ran it died.
    Crashed,
}

impl AttemptError {
    /// Keeps the text within [`MAX_ERROR_BYTES`].
    #[must_use]
    pub fn new(attempt: u32, at: Timestamp, cause: ErrorCause, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_ERROR_BYTES {
            let mark = "… (cut)";
            let mut end = MAX_ERROR_BYTES - mark.len();
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
            message.push_str(mark);
        }
        Self {
            attempt,
            at,
            cause,
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_is_cut_at_a_character_and_says_so() {
        let error = AttemptError::new(
            1,
            Timestamp::default(),
            ErrorCause::Failed,
            "ü".repeat(9_000),
        );
        assert!(error.message.len() <= MAX_ERROR_BYTES);
        assert!(error.message.ends_with("ü… (cut)"));
    }
}
