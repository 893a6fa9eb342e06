//! Which checks a backend need not pass, by its capabilities and never by its name.

use std::time::Duration;

use bananas_core::{Capabilities, Delay, Durability, Ordering, Reach};

/// What a check needs of the backend.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gate {
    /// Nothing: every backend must pass.
    Always,
    /// Priorities that are told apart.
    Priorities,
    /// The same, and nothing that is on its way already comes before a more urgent message.
    StrictPriorities,
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
    /// Delays of half an hour and more.
    LongDelay,
    /// Delays, and strict priorities.
    DelayAndPriorities,
    /// A server, and delays of half an hour and more.
    RemoteLongDelay,
    /// A server that may be killed.
    LastingServer,
    /// The same, and what was acked is written down by then.
    LastingAcks,
    /// A server that may be killed, with delays.
    LastingDelays,
    /// The same, with an admin side.
    LastingAdmin,
}

/// The delay that [`Gate::LongDelay`] promises.
pub(crate) const LONG_DELAY: Duration = Duration::from_secs(1_800);

impl Gate {
    /// Why the check is not for a backend with these capabilities, if so.
    pub(crate) fn refusal(self, can: &Capabilities, admin: bool) -> Option<&'static str> {
        let first = |gates: &[Self]| gates.iter().find_map(|gate| gate.refusal(can, admin));
        match self {
            Self::DelayAndPriorities => first(&[Self::Delay, Self::StrictPriorities]),
            Self::StrictPriorities if can.ordering == Ordering::None => {
                first(&[Self::Priorities]).or(Some("what is on its way already comes first"))
            }
            Self::StrictPriorities => first(&[Self::Priorities]),
            Self::RemoteLongDelay => first(&[Self::Remote, Self::LongDelay]),
            Self::LastingServer if can.durability < Durability::D2 => {
                first(&[Self::Remote]).or(Some("its data die with the server"))
            }
            Self::LastingServer => first(&[Self::Remote]),
            Self::LastingAcks if !can.confirmed_ack => {
                first(&[Self::LastingServer]).or(Some("its acks are not confirmed"))
            }
            Self::LastingAcks => first(&[Self::LastingServer]),
            Self::LastingDelays => first(&[Self::LastingServer, Self::Delay]),
            Self::LastingAdmin => first(&[Self::LastingServer, Self::Admin]),
            single => single.refusal_of_one(can, admin),
        }
    }

    fn refusal_of_one(self, can: &Capabilities, admin: bool) -> Option<&'static str> {
        let longest = match can.delay {
            Delay::Unsupported => Duration::ZERO,
            Delay::Native { max, .. } => max.unwrap_or(Duration::MAX),
        };
        let (open, reason) = match self {
            Self::Priorities => (can.priority_levels > 1, "it has one priority level"),
            Self::Order => (can.ordering == Ordering::Queue, "it keeps no order"),
            Self::KeyOrder => (can.ordering == Ordering::Key, "it keeps no order by key"),
            Self::Delay => (!longest.is_zero(), "it has no delays"),
            Self::LongDelay if longest.is_zero() => (false, "it has no delays"),
            Self::LongDelay => (longest >= LONG_DELAY, "its longest delay is shorter"),
            Self::LimitedDelay => (
                !longest.is_zero() && longest < Duration::MAX,
                "its delays have no limit",
            ),
            Self::NoDelay => (longest.is_zero(), "it has delays"),
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
            Self::Remote => (can.reach == Reach::Network, "it has no server"),
            // Made of others, by `refusal`.
            Self::Always
            | Self::DelayAndPriorities
            | Self::StrictPriorities
            | Self::RemoteLongDelay
            | Self::LastingServer
            | Self::LastingAcks
            | Self::LastingDelays
            | Self::LastingAdmin => (true, ""),
        };
        (!open).then_some(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_of_several_is_shut_by_the_first_that_is() {
        let mut can = Capabilities::exact();
        let why = |gate: Gate, can: &Capabilities| gate.refusal(can, false);
        assert_eq!(why(Gate::LastingDelays, &can), Some("it has no server"));
        can.reach = Reach::Network;
        let lost = Some("its data die with the server");
        assert_eq!(why(Gate::LastingDelays, &can), lost);
        can.durability = Durability::D2;
        assert_eq!(why(Gate::LastingDelays, &can), None);
        let uncounted = Some("it has no exact counts");
        assert_eq!(why(Gate::LastingAdmin, &can), uncounted);
        can.delay = Delay::Unsupported;
        assert_eq!(why(Gate::LastingDelays, &can), Some("it has no delays"));
        assert_eq!(why(Gate::RemoteLongDelay, &can), Some("it has no delays"));
        assert_eq!(why(Gate::LastingServer, &can), None);
        assert_eq!(why(Gate::LastingAcks, &can), None);
        can.confirmed_ack = false;
        let late = Some("its acks are not confirmed");
        assert_eq!(why(Gate::LastingAcks, &can), late);
        assert_eq!(why(Gate::LastingServer, &can), None);
    }

    #[test]
    fn priorities_are_strict_where_there_is_an_order() {
        let mut can = Capabilities::exact();
        let gate = Gate::StrictPriorities;
        assert_eq!(gate.refusal(&can, true), None);
        can.ordering = Ordering::None;
        let late = Some("what is on its way already comes first");
        assert_eq!(gate.refusal(&can, true), late);
        assert_eq!(Gate::DelayAndPriorities.refusal(&can, true), late);
        can.priority_levels = 1;
        assert_eq!(gate.refusal(&can, true), Some("it has one priority level"));
    }

    #[test]
    fn a_long_delay_is_half_an_hour() {
        let mut can = Capabilities::exact();
        for (minutes, refusal) in [(15, Some("its longest delay is shorter")), (30, None)] {
            can.delay = Delay::Native {
                max: Some(Duration::from_secs(minutes * 60)),
                granularity: Duration::from_secs(1),
            };
            assert_eq!(Gate::LongDelay.refusal(&can, true), refusal);
        }
    }
}
