//! Checks that every ledger makes before it sends anything.

use crate::{Error, ErrorKind, QueueName, Result};

/// The largest encoded job that is accepted, whatever more the broker would take: 1 MiB.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Refuses a message that is too large, with both numbers.
pub(super) fn check_size(bytes: usize, broker_limit: usize, queue: &QueueName) -> Result<()> {
    let limit = broker_limit.min(MAX_MESSAGE);
    if bytes > limit {
        let message = format!(
            "message of {} exceeds the {} limit; store the data elsewhere and enqueue where it is",
            size(bytes),
            size(limit)
        );
        return Err(Error::new(ErrorKind::TooLarge, message)
            .during("enqueue")
            .on(queue));
    }
    Ok(())
}

fn size(bytes: usize) -> String {
    if bytes < 10 * 1024 {
        format!("{bytes} bytes")
    } else {
        format!("{} KiB", bytes.div_ceil(1024))
    }
}

/// A backend answered fewer items than it was asked: a mistake in it.
pub(super) fn short_answer(operation: &'static str) -> Error {
    Error::new(
        ErrorKind::Internal,
        "the backend answered fewer items than the batch has",
    )
    .during(operation)
}
