//! What one says to the server of a delivery.

use std::time::Duration;

use bytes::Bytes;

use super::ensure::{OWN_LEASE, nanos};

/// It is done.
pub(super) fn ack() -> Bytes {
    Bytes::from_static(b"+ACK")
}

/// It is for somebody else, now.
pub(super) fn release() -> Bytes {
    Bytes::from_static(b"-NAK")
}

/// It is for somebody else, and not before so long from now. A server that starts again forgets fractions of a
/// second.
pub(super) fn release_after(delay: Duration) -> Bytes {
    match delay.is_zero() {
        true => release(),
        false => later(delay + Duration::from_secs(1)),
    }
}

/// It is ours for so long from now.
///
/// `+WPI` begins the consumer's own lease anew. For any other length the server is told that the message may be
/// delivered again then: until then it stays ours, for it accepts an acknowledgement at any time.
pub(super) fn extend(lease: Duration) -> Bytes {
    match lease == OWN_LEASE {
        true => Bytes::from_static(b"+WPI"),
        false => later(lease),
    }
}

fn later(delay: Duration) -> Bytes {
    format!("-NAK {{\"delay\": {}}}", nanos(delay)).into()
}
