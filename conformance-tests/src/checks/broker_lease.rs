//! Leases: how long a delivery is ours, and what becomes of it afterwards.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{ErrorKind, Settled, Settlement};

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::hand_worker::{LONG_LEASE, SHORT_LEASE};
use crate::patience::Patience;

checks!(BrokerCase:
    a_lapsed_lease_redelivers_and_not_before in Smoke,
    a_lease_that_is_extended_holds in Smoke,
    extending_a_lost_lease_is_a_conflict,
    a_stale_ack_does_not_disturb_the_new_holder,
    a_stale_retry_makes_no_third_delivery,
    extensions_are_answered_each_by_itself,
    an_extension_leaves_other_leases_alone,
    an_extension_outside_the_limits_is_refused,
    a_redelivery_to_the_same_consumer_is_another_delivery,
);

/// Proves B71, B72. Cases E01, E02.
async fn a_lapsed_lease_redelivers_and_not_before(case: BrokerCase) {
    let id = case.publish(case.message("leased")).await;
    let mut hasty = case.hasty_consumer().await;
    let before = case.env.monotonic();
    case.one(hasty.as_mut()).await;
    let mut other = case.consumer().await;
    let again = case.one(other.as_mut()).await;
    let held = case.env.monotonic().since(before);
    assert_eq!(again.message.id, Some(id));
    assert!(held >= SHORT_LEASE, "it was redelivered after {held:?}");
}

/// Proves B50, B71. Case E03.
async fn a_lease_that_is_extended_holds(case: BrokerCase) {
    let lease = SHORT_LEASE * 3;
    let patience = Patience::new(&case.env);
    'again: loop {
        patience.check("the machine extends in time");
        case.publish(case.message("held")).await;
        let mut other = case.consumer().await;
        let mut extended_at = case.env.monotonic();
        let delivery = case.one(case.consumer_with(lease, 10).await.as_mut()).await;
        let held = Patience::new(&case.env);
        while held.spent() < lease * 3 {
            let taken = other.reserve(1, Duration::from_millis(50)).await.unwrap();
            let asked_at = case.env.monotonic();
            let receipts = std::slice::from_ref(&delivery.receipt);
            let extended = case.broker.extend(receipts, lease).await.remove(0);
            if case.env.monotonic().since(extended_at) >= lease {
                // The machine was too busy to extend in time, which proves nothing: all over again,
                // when whoever holds the message has used it up.
                if case.settle(&delivery, Settlement::Ack).await != Settled::Done {
                    let again = match taken.is_empty() {
                        true => case.take(other.as_mut(), 1).await,
                        false => taken,
                    };
                    case.ack(&again).await;
                }
                continue 'again;
            }
            assert!(taken.is_empty(), "it was given to another consumer");
            assert!(
                extended.unwrap().until > asked_at,
                "the lease has a new end"
            );
            extended_at = asked_at;
        }
        assert_eq!(case.settle(&delivery, Settlement::Ack).await, Settled::Done);
        return;
    }
}

/// Proves B51. Case E04.
async fn extending_a_lost_lease_is_a_conflict(case: BrokerCase) {
    case.publish(case.message("lost")).await;
    let lost = case.one(case.hasty_consumer().await.as_mut()).await;
    let new = case.one(case.consumer().await.as_mut()).await;
    let extended = case
        .broker
        .extend(&[lost.receipt], LONG_LEASE)
        .await
        .remove(0);
    assert_eq!(extended.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(case.settle(&new, Settlement::Ack).await, Settled::Done);
}

/// Proves B45. Case E05.
async fn a_stale_ack_does_not_disturb_the_new_holder(case: BrokerCase) {
    case.publish(case.message("lost")).await;
    let lost = case.one(case.hasty_consumer().await.as_mut()).await;
    let new = case.one(case.consumer().await.as_mut()).await;
    assert_ne!(lost.receipt, new.receipt);
    assert_eq!(
        case.settle(&lost, Settlement::Ack).await,
        Settled::LeaseLost
    );
    let delay = Duration::ZERO;
    let settled = case.settle(&new, Settlement::Release { delay }).await;
    assert_eq!(settled, Settled::Done, "the new holder still has it");
    let third = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(third.message.id, new.message.id);
}

/// Proves B45. Case E06.
async fn a_stale_retry_makes_no_third_delivery(case: BrokerCase) {
    case.publish(case.message("lost")).await;
    let lost = case.one(case.hasty_consumer().await.as_mut()).await;
    let mut consumer = case.consumer().await;
    let new = case.one(consumer.as_mut()).await;
    let retry = Settlement::Retry {
        delay: Duration::ZERO,
        message: Box::new(lost.message.clone()),
    };
    assert_eq!(case.settle(&lost, retry).await, Settled::LeaseLost);
    case.assert_drained(consumer.as_mut()).await;
    assert_eq!(case.settle(&new, Settlement::Ack).await, Settled::Done);
}

/// Proves B51. Case E07.
async fn extensions_are_answered_each_by_itself(case: BrokerCase) {
    case.publish_all(case.messages(10)).await;
    let taken = case.take(case.consumer().await.as_mut(), 10).await;
    assert_eq!(case.settle(&taken[3], Settlement::Ack).await, Settled::Done);
    let receipts: Vec<_> = taken
        .iter()
        .map(|delivery| delivery.receipt.clone())
        .collect();
    let extended = case.broker.extend(&receipts, SHORT_LEASE * 60).await;
    assert_eq!(extended.len(), 10);
    for (n, answer) in extended.into_iter().enumerate() {
        match answer {
            Ok(lease) => assert!(n != 3 && lease.until > case.env.monotonic()),
            Err(e) => assert_eq!((n, e.kind()), (3, ErrorKind::Conflict), "{e}"),
        }
    }
}

/// Proves B50, B72.
async fn an_extension_leaves_other_leases_alone(case: BrokerCase) {
    let patience = Patience::new(&case.env);
    loop {
        let published = case.publish_all(case.messages(3)).await;
        let taken = case.take(case.hasty_consumer().await.as_mut(), 3).await;
        let held = std::slice::from_ref(&taken[1].receipt);
        let extended = case.broker.extend(held, LONG_LEASE).await.remove(0);
        let mut consumer = case.consumer().await;
        if extended.is_err() {
            // The machine was too slow to extend in time, which proves nothing.
            let again = case.take(consumer.as_mut(), 3).await;
            case.ack(&again).await;
            patience.check("the machine extends in time");
            continue;
        }
        let again = case.take(consumer.as_mut(), 2).await;
        let mut lapsed = ids(&again);
        lapsed.sort();
        let mut expected = vec![published[0], published[2]];
        expected.sort();
        assert_eq!(lapsed, expected, "the other two leases lapse");
        assert_eq!(case.settle(&taken[1], Settlement::Ack).await, Settled::Done);
        return;
    }
}

/// Proves B31. Case E08.
async fn an_extension_outside_the_limits_is_refused(case: BrokerCase) {
    case.publish(case.message("held")).await;
    let delivery = case.one(case.consumer().await.as_mut()).await;
    let beyond = case.broker.info().capabilities.lease.max + Duration::from_secs(1);
    let receipts = std::slice::from_ref(&delivery.receipt);
    let error = case
        .broker
        .extend(receipts, beyond)
        .await
        .remove(0)
        .unwrap_err();
    let refused = matches!(
        error.kind(),
        ErrorKind::InvalidArgument | ErrorKind::Unsupported
    );
    assert!(refused, "{error:?}");
    assert_eq!(case.settle(&delivery, Settlement::Ack).await, Settled::Done);
}

/// Proves B5, B72. Case E12.
async fn a_redelivery_to_the_same_consumer_is_another_delivery(case: BrokerCase) {
    let id = case.publish(case.message("twice")).await;
    let mut hasty = case.hasty_consumer().await;
    let first = case.one(hasty.as_mut()).await;
    let mut receipts = HashSet::from([first.receipt.clone()]);
    let patience = Patience::new(&case.env);
    loop {
        let again = case.one(hasty.as_mut()).await;
        assert_eq!(again.message.id, Some(id));
        let receipt = again.receipt.clone();
        assert!(receipts.insert(receipt), "a receipt was given twice");
        let stale = case.settle(&first, Settlement::Ack).await;
        assert_eq!(stale, Settled::LeaseLost);
        // A machine that was too slow for the short lease tries again.
        if case.settle(&again, Settlement::Ack).await == Settled::Done {
            return case.assert_drained(hasty.as_mut()).await;
        }
        patience.check("the machine settles in time");
    }
}
