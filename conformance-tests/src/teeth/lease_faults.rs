//! Brokers whose leases are wrong.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{Broker, Consumer, ConsumerSpec, Delivery, ErrorKind, Lease, Receipt, Result};

use super::broken_broker::{BrokerFault, Site};
use super::fault::Fault;
use super::taking::Taking;
use super::whole_batch::fail_together;

/// The faults of this file.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_broker::<EndsLeasesEarly>(
        "redelivers_before_the_lease_ended",
        "delivers a message again after nine tenths of its lease",
        "broker::a_lapsed_lease_redelivers_and_not_before",
    ),
    Fault::of_broker::<NeverEndsLeases>(
        "never_ends_a_lease",
        "leases each message for an hour, whatever it was asked for",
        "broker::a_lapsed_lease_redelivers_and_not_before",
    ),
    Fault::of_broker::<ClampsLeases>(
        "clamps_a_lease_outside_the_limits",
        "takes the nearest lease within its limits for one outside them",
        "broker::a_lease_outside_the_limits_is_refused_and_not_clamped",
    ),
    Fault::of_broker::<ExtendsNothing>(
        "extends_nothing",
        "answers a new end and leaves the lease as it is",
        "broker::a_lease_that_is_extended_holds",
    ),
    Fault::of_broker::<ExtendsOthers>(
        "extends_other_leases_too",
        "extends the leases of all deliveries when it is asked for one",
        "broker::an_extension_leaves_other_leases_alone",
    ),
    Fault::of_broker::<ExtendsTheLost>(
        "extends_a_lost_lease",
        "answers a new end for a lease that was lost",
        "broker::extending_a_lost_lease_is_a_conflict",
    ),
    Fault::of_broker::<OneLostFailsAll>(
        "fails_all_extensions_for_one_lost_lease",
        "answers `Conflict` for the whole batch when one lease was lost",
        "broker::extensions_are_answered_each_by_itself",
    ),
    Fault::of_broker::<ClampsExtensions>(
        "clamps_an_extension_outside_the_limits",
        "takes the longest lease for an extension beyond it",
        "broker::an_extension_outside_the_limits_is_refused",
    ),
];

/// A consumer whose leases last so much, if the limits allow it.
async fn consume_for(
    good: &dyn Broker,
    mut spec: ConsumerSpec,
    lease: Duration,
) -> Result<Box<dyn Consumer>> {
    let limits = good.info().capabilities.lease;
    if spec.lease >= limits.min && spec.lease <= limits.max {
        spec.lease = lease.clamp(limits.min, limits.max);
    }
    good.consume(spec).await
}

#[derive(Debug, Default)]
struct EndsLeasesEarly;

#[async_trait]
impl BrokerFault for EndsLeasesEarly {
    async fn consume(&self, good: &dyn Broker, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        let lease = spec.lease / 10 * 9;
        consume_for(good, spec, lease).await
    }
}

#[derive(Debug, Default)]
struct NeverEndsLeases;

#[async_trait]
impl BrokerFault for NeverEndsLeases {
    async fn consume(&self, good: &dyn Broker, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        consume_for(good, spec, Duration::from_secs(3_600)).await
    }

    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let mut taken = taking.good.reserve(max, wait).await?;
        let until = taking.env.monotonic() + taking.spec.lease;
        for delivery in &mut taken {
            delivery.lease.until = until;
        }
        Ok(taken)
    }
}

#[derive(Debug, Default)]
struct ClampsLeases;

#[async_trait]
impl BrokerFault for ClampsLeases {
    async fn consume(
        &self,
        good: &dyn Broker,
        mut spec: ConsumerSpec,
    ) -> Result<Box<dyn Consumer>> {
        let limits = good.info().capabilities.lease;
        spec.lease = spec.lease.clamp(limits.min, limits.max);
        good.consume(spec).await
    }
}

#[derive(Debug, Default)]
struct ExtendsNothing;

#[async_trait]
impl BrokerFault for ExtendsNothing {
    async fn extend(
        &self,
        site: &Site,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Vec<Result<Lease>> {
        let lease = Lease {
            until: site.env.monotonic() + lease,
            hard_limit: None,
        };
        receipts.iter().map(|_| Ok(lease)).collect()
    }
}

#[derive(Debug, Default)]
struct ExtendsOthers(Mutex<Vec<Receipt>>);

#[async_trait]
impl BrokerFault for ExtendsOthers {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let taken = taking.good.reserve(max, wait).await?;
        let mut out = self.0.lock().expect("nobody panics with it");
        out.extend(taken.iter().map(|delivery| delivery.receipt.clone()));
        drop(out);
        Ok(taken)
    }

    async fn extend(
        &self,
        site: &Site,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Vec<Result<Lease>> {
        let all = self.0.lock().expect("nobody panics with it").clone();
        drop(site.good.extend(&all, lease).await);
        site.good.extend(receipts, lease).await
    }
}

#[derive(Debug, Default)]
struct ExtendsTheLost;

#[async_trait]
impl BrokerFault for ExtendsTheLost {
    async fn extend(
        &self,
        site: &Site,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Vec<Result<Lease>> {
        let until = site.env.monotonic() + lease;
        let hold = |answer: Result<Lease>| match answer {
            Err(e) if e.kind() == ErrorKind::Conflict => Ok(Lease {
                until,
                hard_limit: None,
            }),
            answer => answer,
        };
        let answers = site.good.extend(receipts, lease).await;
        answers.into_iter().map(hold).collect()
    }
}

#[derive(Debug, Default)]
struct OneLostFailsAll;

#[async_trait]
impl BrokerFault for OneLostFailsAll {
    async fn extend(
        &self,
        site: &Site,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Vec<Result<Lease>> {
        fail_together(site.good.extend(receipts, lease).await)
    }
}

#[derive(Debug, Default)]
struct ClampsExtensions;

#[async_trait]
impl BrokerFault for ClampsExtensions {
    async fn extend(
        &self,
        site: &Site,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Vec<Result<Lease>> {
        let limits = site.good.info().capabilities.lease;
        let lease = lease.clamp(limits.min, limits.max);
        site.good.extend(receipts, lease).await
    }
}
