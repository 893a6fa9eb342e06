//! Brokers around a broker, for what many brokers cannot do: each does one thing, once, for all of them.
//!
//! A wrapper keeps the whole contract of [`Broker`](crate::Broker), and its capabilities are the effective ones.

pub mod claim_check;
pub mod lanes;
mod wrapping;

pub use self::claim_check::ClaimCheck;
pub use self::lanes::{LanePlan, Lanes, PriorityLanes};
pub use self::wrapping::{Beside, Wrapping};
