//! What a backend can do, as data with limits.

use std::time::Duration;

/// What a broker can do. A call beyond it answers `Unsupported`; nothing is ever silently weakened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, not a state"
)]
pub struct Capabilities {
    /// Delivering a message later.
    pub delay: Delay,
    /// How many of the 101 priorities are told apart; 1 means that priority is ignored.
    pub priority_levels: u8,
    /// The lease of a delivery.
    pub lease: LeaseLimits,
    /// Who refuses the settlement of somebody who lost his lease.
    pub fencing: Fencing,
    /// Whether a redelivery can only happen after the earlier lease was lost.
    pub redelivery_proves_lease_lost: bool,
    /// Whether delivery counts are exact.
    pub exact_delivery_count: bool,
    /// What order is kept among messages of one priority.
    pub ordering: Ordering,
    /// The largest body, in bytes.
    pub max_message: usize,
    /// The most messages in one server request; larger batches are split inside the backend.
    pub max_batch: usize,
    /// Whether a settlement that replaces a message is one step, so that a crash leaves no copy beside it.
    pub atomic_settle: bool,
    /// Whether an ack that was `Done` has the durability of the class as well, so that it outlives the kill of the
    /// server.
    pub confirmed_ack: bool,
    /// What survives once a publish was confirmed.
    pub durability: Durability,
    /// Whether publishing an id again within a while is noticed and dropped.
    pub dedupe: bool,
    /// Whether counts from the admin side are exact.
    pub exact_depth: bool,
    /// From where one queue can be shared.
    pub reach: Reach,
}

/// From where one queue can be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// From within one process, whose memory it lives in.
    Process,
    /// From all processes of one host, on whose disk it lives.
    Host,
    /// From every host that reaches its server.
    Network,
}

/// How long a delivery can be put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Not at all.
    Unsupported,
    /// Up to `max`, rounded up to `granularity`.
    Native {
        /// The longest delay; `None` is without limit.
        max: Option<Duration>,
        /// The grain.
        granularity: Duration,
    },
}

/// The bounds of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseLimits {
    /// The shortest.
    pub min: Duration,
    /// The longest, for one extension.
    pub max: Duration,
    /// The longest in all, extensions included.
    pub max_total: Option<Duration>,
}

/// Who refuses a stale settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fencing {
    /// The server, by a token.
    Server,
    /// The connection: its end ends all leases.
    Connection,
    /// Nobody but our own client code, by the clock.
    Client,
}

/// What order is kept among messages of one priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// None that one could rely on.
    None,
    /// First in, first out, within a queue.
    Queue,
    /// First in, first out, among messages with one key.
    Key,
}

/// What survives, once an operation was confirmed. Printed at start and by `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Dies with our process.
    D0,
    /// Survives the kill of our process.
    D1,
    /// Survives the kill of the server.
    D2,
    /// Survives the crash or power loss of the machine.
    D3,
    /// Survives the loss of a machine's disk.
    D4,
}

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::D0 => "D0",
            Self::D1 => "D1",
            Self::D2 => "D2",
            Self::D3 => "D3",
            Self::D4 => "D4",
        })
    }
}

impl Durability {
    /// What survives, in words: `the kill of the server, not the loss of power`.
    #[must_use]
    pub const fn survives(self) -> &'static str {
        match self {
            Self::D0 => "nothing: it ends with our process",
            Self::D1 => "the kill of our process, not that of the server",
            Self::D2 => "the kill of the server, not the loss of power",
            Self::D3 => "the loss of power, not that of the disk",
            Self::D4 => "the loss of a machine's disk",
        }
    }
}

impl std::str::FromStr for Durability {
    type Err = crate::Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        [Self::D0, Self::D1, Self::D2, Self::D3, Self::D4]
            .into_iter()
            .find(|class| class.to_string() == text)
            .ok_or_else(|| {
                crate::Error::new(
                    crate::ErrorKind::InvalidArgument,
                    format!(
                        "durability class {text:?} is unknown; it is one of D0, D1, D2, D3, D4"
                    ),
                )
            })
    }
}

impl Capabilities {
    /// The capabilities of an engine that can do everything, in memory; backends change what differs.
    #[must_use]
    pub fn exact() -> Self {
        Self {
            delay: Delay::Native {
                max: None,
                granularity: Duration::from_millis(1),
            },
            priority_levels: 101,
            lease: LeaseLimits {
                min: Duration::from_millis(10),
                max: Duration::from_secs(7 * 24 * 3600),
                max_total: None,
            },
            fencing: Fencing::Server,
            redelivery_proves_lease_lost: true,
            exact_delivery_count: true,
            ordering: Ordering::Queue,
            max_message: 64 * 1024 * 1024,
            max_batch: 10_000,
            atomic_settle: true,
            confirmed_ack: true,
            durability: Durability::D0,
            dedupe: false,
            exact_depth: true,
            reach: Reach::Process,
        }
    }
}
