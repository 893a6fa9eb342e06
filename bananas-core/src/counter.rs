//! [`Counter`]: how often a client has done something since it was opened, for monitoring.

/// How often a client has done something since it was opened. It never falls.
///
/// A broker says them in [`Broker::counters`](crate::Broker::counters), where what it does is worth watching: with
/// Amazon SQS the requests, which are what it bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// What is counted, with its unit: `broker_requests`.
    pub name: &'static str,
    /// Which kind of it: `receive`; the counters of one name add up.
    pub kind: &'static str,
    /// How often.
    pub value: u64,
}
