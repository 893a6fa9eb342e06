//! Brokers around a broker, for what many brokers cannot do: each does one thing, once, for all of them.
//!
//! A wrapper keeps the whole contract of [`Broker`](crate::Broker), and its capabilities are the effective ones.

pub mod claim_check;
pub mod lanes;
mod wrapping;

pub use self::claim_check::ClaimCheck;
pub use self::lanes::{LanePlan, Lanes, PriorityLanes};
pub use self::wrapping::{Beside, Wrapping};

use crate::{Error, ErrorKind};

/// A backend that answers fewer items than it was asked breaks its contract.
fn short_answer(operation: &'static str) -> Error {
    let text = "the broker did not answer each item of the batch";
    Error::new(ErrorKind::Internal, text).during(operation)
}

fn foreign_receipt() -> Error {
    let text = "the receipt is of another broker";
    Error::new(ErrorKind::InvalidArgument, text)
}
