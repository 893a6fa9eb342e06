//! The contract of a broker: moving opaque messages to competing workers, at least once, under a lease.
//!
//! The numbered clauses are the specification. MUST, SHOULD and MAY are meant as in RFC 2119. They hold for
//! every backend; what differs is in [`Capabilities`].
//!
//! - **B1** A broker never looks into a body and returns it byte for byte, as it does id, priority and
//!   properties.
//! - **B2** Every operation MUST end within its deadline, with an error of kind `Timeout` if need be.
//! - **B3** A broker MUST NOT send a publish again on its own: only the caller knows the id.
//! - **B4** A call beyond the capabilities MUST answer `Unsupported` and change nothing.
//! - **B5** Every delivery has its own receipt; dropping a [`Delivery`] settles nothing.
//! - **B6** No error text and no `Debug` shows a password.
//! - **B7** A message that another program put into a queue is delivered like any other, without an id where it
//!   names none; no bytes stop a queue.
//! - **B8** A call whose future was dropped leaves every other call its own answer.
//! - **B9** A property is data: its name has no effect on the server, and never stands for what the broker
//!   itself says. A name that the server keeps for itself is escaped, or refused as `InvalidArgument`.

mod admin;
mod capabilities;
mod consumer;
mod delivery;
mod message;
pub mod packed;
mod settlement;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use self::admin::{BrokerAdmin, Bucket, Count, Depth};
pub use self::capabilities::{
    Capabilities, Delay, Durability, Fencing, LeaseLimits, Ordering, Reach,
};
pub use self::consumer::{Consumer, ConsumerSpec};
pub use self::delivery::{Delivery, DeliveryCount, Lease, Receipt};
pub use self::message::{COPY_PROPERTY, DEAD_REASON_PROPERTY, Publish, RawMessage};
pub use self::settlement::{Settle, Settled, Settlement};

use crate::{Counter, Fact, JobId, QueueName, Result};

/// Who a broker is and what it can do.
#[derive(Clone, Debug)]
pub struct BrokerInfo {
    /// The backend's name: `sqlite`.
    pub backend: &'static str,
    /// Where it is, without secrets.
    pub url: String,
    /// The version of its server or library, where it tells.
    pub version: Option<String>,
    /// What it can do, wrappers included.
    pub capabilities: Capabilities,
}

/// The answer to a publish that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The message's id.
    pub id: Option<JobId>,
    /// Whether the broker knew the id already and dropped this copy.
    pub duplicate: bool,
}

/// A queue to create or to check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueSpec {
    /// Its name.
    pub name: QueueName,
}

impl QueueSpec {
    /// A queue with default settings.
    #[must_use]
    pub fn new(name: QueueName) -> Self {
        Self { name }
    }
}

/// The advice for a class without a word of the backend.
pub(crate) const UNTOLD: &str = "see the documentation of this backend for a better class";

/// Moves messages. Object-safe, batch in and per-item results out, in the order of the batch.
///
/// All methods MAY be called concurrently, from any task.
#[async_trait]
pub trait Broker: Send + Sync + fmt::Debug + 'static {
    /// Who it is and what it can do. Costs nothing.
    fn info(&self) -> &BrokerInfo;

    /// Creates what the queues need on the server.
    ///
    /// - **B10** Afterwards every named queue accepts messages. Calling it again, or from many clients at
    ///   once, changes nothing.
    /// - **B11** A queue that exists with other settings is a `Conflict` that names the setting; nothing is
    ///   changed and the connection stays usable.
    /// - **B12** Different names are different queues. A name that the server cannot keep apart is
    ///   `InvalidArgument`.
    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()>;

    /// Publishes messages; the answers are in the order of the batch.
    ///
    /// - **B20** `Ok` means accepted with the durability that the capabilities name.
    /// - **B21** Each item has its own answer: one that is refused takes no other with it.
    /// - **B22** A queue that was never ensured is `NotFound`, not a silent loss.
    /// - **B23** A body above `max_message` is `TooLarge` with both numbers, before anything is sent.
    /// - **B24** An answer that was lost is an error with status `MayBeApplied`; never `Ok`, never
    ///   `NotApplied`.
    /// - **B25** A message is not delivered before its `not_before`; beyond the largest delay it is
    ///   `Unsupported`.
    /// - **B26** If the future is dropped, each message was published once or not at all.
    /// - **B27** Properties that are too many or too long for the server are `InvalidArgument` for that message
    ///   alone; none is dropped or cut.
    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>>;

    /// Opens a consumer of one queue.
    ///
    /// - **B30** A queue that was never ensured is `NotFound`.
    /// - **B31** A lease outside the limits of the capabilities is `InvalidArgument`, never clamped.
    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>>;

    /// Settles deliveries; the answers are in the order of the batch.
    ///
    /// - **B40** After `Ack` was `Done` the message is never delivered again. The kill of the server just then
    ///   brings it back only where `confirmed_ack` is not.
    /// - **B41** After `Retry` the replacement is delivered, not before its delay; at no time are there
    ///   neither of the two. A crash in between leaves both only where `atomic_settle` is not; so it is with the
    ///   dead letter of B43.
    /// - **B42** After `Release` the same message is delivered again, not before its delay.
    /// - **B43** After `DeadLetter` the message is in the dead queue with its reason, which is shown as the
    ///   property [`DEAD_REASON_PROPERTY`], and is not delivered.
    /// - **B44** Settling twice answers `Already` or `LeaseLost` and changes nothing.
    /// - **B45** A receipt whose lease was lost answers `LeaseLost` and does not disturb its new holder,
    ///   where fencing is by server or connection; with `Client` the backend refuses it by the clock.
    /// - **B46** A receipt of another broker is `InvalidArgument` for that item alone.
    /// - **B47** If the future is dropped, each item was settled or its message is delivered again.
    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>>;

    /// Makes leases last `lease` from now; the answers are in the order of the batch.
    ///
    /// - **B50** An extended delivery is not given to anybody else before the new end.
    /// - **B51** A lease that was lost is `Conflict` for that item alone.
    /// - **B52** Beyond `max_total` it is `Unsupported` with the limit.
    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>>;

    /// What about the server decides what is kept, as it is now. MAY ask the server, and is for people.
    ///
    /// - **B90** Among the facts is the class of the capabilities, as [`Fact::durability`]; each setting that
    ///   loses or refuses jobs is a warning or a danger, and says what to change. What the server does not
    ///   tell is a warning, too. Nothing is changed.
    async fn facts(&self) -> Result<Vec<Fact>> {
        Ok(vec![Fact::durability(
            self.info().capabilities.durability,
            UNTOLD,
        )])
    }

    /// What this client has counted so far, in an order that stays. Costs nothing.
    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }

    /// The admin side, where the backend has one.
    fn admin(&self) -> Option<&dyn BrokerAdmin>;

    /// Finishes or fails everything under way, then closes.
    ///
    /// - **B60** Within `deadline` every pending future ends; later calls are `Closed`. Closing again is `Ok`.
    async fn close(&self, deadline: Duration) -> Result<()>;
}
