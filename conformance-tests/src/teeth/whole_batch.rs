//! Batches that fail as a whole, which no batch may.

use bananas_core::{Error, Result};

/// What a backend answers that lets one failure fail its batch.
pub(super) fn fail_together<T>(answers: Vec<Result<T>>) -> Vec<Result<T>> {
    let failure = answers.iter().find_map(|answer| answer.as_ref().err());
    let Some((kind, text)) = failure.map(|error| (error.kind(), error.to_string())) else {
        return answers;
    };
    let fail = |_| Err(Error::new(kind, text.clone()));
    answers.iter().map(fail).collect()
}
