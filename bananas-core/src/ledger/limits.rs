//! Checks that every ledger makes before it sends anything.

use crate::{Error, ErrorKind, QueueName, Result};

/// The largest encoded job that is accepted, whatever more broker and store would take: 16 MiB. A worker holds as
/// many as it runs at once.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Refuses a message that is too large, with both numbers.
pub(super) fn check_size(bytes: usize, broker_limit: usize, queue: &QueueName) -> Result<()> {
    let limit = broker_limit.min(MAX_MESSAGE);
    if bytes > limit {
        let fix = match bytes <= MAX_MESSAGE {
            // Else the limit would be that of all ledgers.
            true => "use a store that keeps large bodies, or store the data elsewhere",
            false => "store the data elsewhere",
        };
        let message = format!(
            "message of {} exceeds the {} limit; {fix} and enqueue where it is",
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
