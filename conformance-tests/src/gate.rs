//! Which checks a backend need not pass, by its capabilities and never by its name.

use bananas_core::{Broker, Capabilities, Delay, Fencing, Ordering};

/// What a check needs of the backend.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gate {
    /// Nothing: every backend must pass.
    Always,
    /// Priorities that are told apart.
    Priorities,
    /// First in, first out, within a queue.
    Order,
    /// Delivery at a later time.
    Delay,
    /// Exact counts of deliveries.
    DeliveryCount,
    /// A lost lease is refused by more than our own clock.
    Fencing,
    /// An admin side with exact counts.
    Admin,
}

impl Gate {
    /// Why the check is not for a backend with these capabilities, if so.
    pub(crate) fn refusal(self, can: &Capabilities, admin: bool) -> Option<&'static str> {
        let (open, reason) = match self {
            Self::Always => (true, ""),
            Self::Priorities => (can.priority_levels > 1, "it has one priority level"),
            Self::Order => (can.ordering == Ordering::Queue, "it keeps no order"),
            Self::Delay => (can.delay != Delay::Unsupported, "it has no delays"),
            Self::DeliveryCount => (
                can.exact_delivery_count,
                "its delivery counts are not exact",
            ),
            Self::Fencing => (
                can.fencing != Fencing::Client,
                "it does not fence lost leases",
            ),
            Self::Admin => (admin && can.exact_depth, "it has no exact counts"),
        };
        (!open).then_some(reason)
    }

    /// The same for a broker.
    pub(crate) fn refusal_of(self, broker: &dyn Broker) -> Option<&'static str> {
        self.refusal(&broker.info().capabilities, broker.admin().is_some())
    }
}
