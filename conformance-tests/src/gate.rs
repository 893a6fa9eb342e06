//! Which checks a backend need not pass, by its capabilities and never by its name.

use bananas_core::{Capabilities, Delay, Durability, Ordering, Reach};

/// What a check needs of the backend.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gate {
    /// Nothing: every backend must pass.
    Always,
    /// Priorities that are told apart.
    Priorities,
    /// First in, first out, within a queue.
    Order,
    /// First in, first out, among messages with one key.
    KeyOrder,
    /// Delivery at a later time.
    Delay,
    /// A longest delay.
    LimitedDelay,
    /// No delays at all.
    NoDelay,
    /// Exact counts of deliveries.
    DeliveryCount,
    /// An admin side with exact counts.
    Admin,
    /// A longest time for a lease, extensions included.
    TotalLease,
    /// Data that outlive the process.
    Lasting,
    /// Data that other processes share.
    Shared,
    /// A server behind a network.
    Remote,
    /// A server that may be killed.
    LastingServer,
    /// The same, with delays.
    LastingDelays,
}

impl Gate {
    /// Why the check is not for a backend with these capabilities, if so.
    pub(crate) fn refusal(self, can: &Capabilities, admin: bool) -> Option<&'static str> {
        let remote = can.reach == Reach::Network;
        let native = |limited: bool| matches!(can.delay, Delay::Native { max, .. } if !limited || max.is_some());
        let (open, reason) = match self {
            Self::Always => (true, ""),
            Self::Priorities => (can.priority_levels > 1, "it has one priority level"),
            Self::Order => (can.ordering == Ordering::Queue, "it keeps no order"),
            Self::KeyOrder => (can.ordering == Ordering::Key, "it keeps no order by key"),
            Self::Delay => (native(false), "it has no delays"),
            Self::LimitedDelay => (native(true), "its delays have no limit"),
            Self::NoDelay => (!native(false), "it has delays"),
            Self::DeliveryCount => (
                can.exact_delivery_count,
                "its delivery counts are not exact",
            ),
            Self::Admin => (admin && can.exact_depth, "it has no exact counts"),
            Self::TotalLease => (
                can.lease.max_total.is_some(),
                "its leases can be extended for ever",
            ),
            Self::Lasting => (
                can.durability > Durability::D0,
                "its data die with the process",
            ),
            Self::Shared => (
                can.reach > Reach::Process,
                "no other process can share its data",
            ),
            Self::Remote => (remote, "it has no server"),
            Self::LastingServer | Self::LastingDelays if !remote => (false, "it has no server"),
            Self::LastingDelays if !native(false) => (false, "it has no delays"),
            Self::LastingServer | Self::LastingDelays => (
                can.durability >= Durability::D2,
                "its data die with the server",
            ),
        };
        (!open).then_some(reason)
    }
}
