//! One fault: what it is called, what it does wrong, who must notice, and how it is planted.

use std::sync::Arc;

use super::broken_broker::BrokerFault;
use super::broken_ledger::LedgerFault;
use super::broken_store::StoreFault;

/// One fault that a backend could have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// What the backend does, as in "a broker that ...".
    pub(super) name: &'static str,
    /// The same for a person, as a sentence.
    pub(super) does: &'static str,
    /// The check that must fail, with its side: `broker::a_batch_is_delivered_once_each`.
    pub(super) caught_by: &'static str,
    /// Where it is.
    pub(super) plant: Plant,
}

/// Where a fault is planted, and how it is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plant {
    /// In the broker.
    Broker(fn() -> Arc<dyn BrokerFault>),
    /// In the store; it is also what a `SplitLedger` over a good broker works with.
    Store(fn() -> Arc<dyn StoreFault>),
    /// In the engine's own ledger.
    Ledger(fn() -> Arc<dyn LedgerFault>),
}

impl Fault {
    /// A broker's fault.
    pub(super) const fn of_broker<F: BrokerFault + Default + 'static>(
        name: &'static str,
        does: &'static str,
        caught_by: &'static str,
    ) -> Self {
        Self {
            name,
            does,
            caught_by,
            plant: Plant::Broker(|| Arc::new(F::default())),
        }
    }

    /// A store's fault.
    pub(super) const fn of_store<F: StoreFault + Default + 'static>(
        name: &'static str,
        does: &'static str,
        caught_by: &'static str,
    ) -> Self {
        Self {
            name,
            does,
            caught_by,
            plant: Plant::Store(|| Arc::new(F::default())),
        }
    }

    /// A ledger's fault.
    pub(super) const fn of_ledger<F: LedgerFault + Default + 'static>(
        name: &'static str,
        does: &'static str,
        caught_by: &'static str,
    ) -> Self {
        Self {
            name,
            does,
            caught_by,
            plant: Plant::Ledger(|| Arc::new(F::default())),
        }
    }
}

impl Plant {
    /// The same wrappers with nothing wrong in them, for each side.
    pub(super) const UNBROKEN: [Self; 3] = [
        Self::Broker(|| Arc::new(Unbroken)),
        Self::Store(|| Arc::new(Unbroken)),
        Self::Ledger(|| Arc::new(Unbroken)),
    ];

    /// The word for the side.
    pub(super) fn side(self) -> &'static str {
        match self {
            Self::Broker(_) => "broker",
            Self::Store(_) => "store",
            Self::Ledger(_) => "ledger",
        }
    }
}

/// No fault at all.
#[derive(Debug)]
struct Unbroken;

impl BrokerFault for Unbroken {}
impl StoreFault for Unbroken {}
impl LedgerFault for Unbroken {}
