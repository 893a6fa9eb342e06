//! Settling deliveries.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Bucket, Delivery, DeliveryCount, ErrorKind, RawMessage, Receipt, Settle, Settled, Settlement,
};

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::hand_worker::SHORT_LEASE;
use crate::patience::Patience;

checks!(BrokerCase:
    an_acked_message_is_never_delivered_again in Smoke,
    a_mixed_batch_is_settled_each_as_it_says in Smoke,
    settling_twice_is_already_or_lost_and_changes_nothing in Smoke,
    a_settle_after_a_retry_changes_nothing,
    a_release_is_delivered_again_at_once,
    acks_out_of_order_take_no_other_message_along,
    a_dropped_delivery_is_not_acked in Smoke,
    a_foreign_receipt_is_refused_alone,
    a_retry_delivers_its_replacement in Smoke,
    a_delivery_can_be_settled_through_another_task,
    delivery_counts_grow_with_each_redelivery if DeliveryCount,
    messages_given_back_a_hundred_times_are_not_lost,
);

const NOW: Duration = Duration::ZERO;

fn retry(delay: Duration, message: &RawMessage) -> Settlement {
    let message = Box::new(message.clone());
    Settlement::Retry { delay, message }
}

fn release() -> Settlement {
    Settlement::Release { delay: NOW }
}

fn dead(reason: &str) -> Settlement {
    Settlement::DeadLetter {
        reason: reason.to_owned(),
        message: None,
    }
}

/// Proves B40. Case D01.
async fn an_acked_message_is_never_delivered_again(case: BrokerCase) {
    let mut consumer = case.hasty_consumer().await;
    let mut acked = HashSet::new();
    // Several, since a broker may forget an ack now and then.
    while acked.len() < 10 {
        case.publish(case.message("once")).await;
        let delivery = case.one(consumer.as_mut()).await;
        // A machine that was too slow for the short lease proves nothing.
        if case.settle(&delivery, Settlement::Ack).await == Settled::Done {
            acked.insert(delivery.message.id);
        }
    }
    let patience = Patience::new(&case.env);
    while patience.spent() < SHORT_LEASE * 2 {
        for more in consumer.reserve(100, SHORT_LEASE).await.unwrap() {
            assert!(!acked.contains(&more.message.id), "it was delivered again");
        }
    }
}

/// Proves B40, B41, B42, B43. Case D02.
async fn a_mixed_batch_is_settled_each_as_it_says(case: BrokerCase) {
    case.publish_all(case.messages(4)).await;
    let mut consumer = case.consumer().await;
    let taken = case.take(consumer.as_mut(), 4).await;
    let settlements = [
        Settlement::Ack,
        retry(NOW, &taken[1].message),
        dead("bad"),
        release(),
    ];
    let settle = |(delivery, settlement): (&Delivery, Settlement)| Settle {
        receipt: delivery.receipt.clone(),
        settlement,
    };
    let batch = taken.iter().zip(settlements).map(settle).collect();
    for settled in case.broker.settle(batch).await {
        assert_eq!(settled.unwrap(), Settled::Done);
    }
    let again: HashSet<_> = ids(&case.take(consumer.as_mut(), 2).await)
        .into_iter()
        .collect();
    let expected = [1, 3].map(|n: usize| taken[n].message.id.unwrap());
    assert_eq!(again, HashSet::from(expected));
    case.assert_drained(consumer.as_mut()).await;
    if let Some(admin) = case.broker.admin() {
        let dead = admin.peek(&case.queue, Bucket::Dead, 10).await.unwrap();
        assert_eq!(
            dead.iter().map(|m| m.id).collect::<Vec<_>>(),
            [taken[2].message.id]
        );
    }
}

/// Proves B44. Case D03.
async fn settling_twice_is_already_or_lost_and_changes_nothing(case: BrokerCase) {
    let mut consumer = case.consumer().await;
    for first in [Settlement::Ack, dead("bad")] {
        case.publish(case.message("settled twice")).await;
        let delivery = case.one(consumer.as_mut()).await;
        assert_eq!(case.settle(&delivery, first).await, Settled::Done);
        for second in [
            Settlement::Ack,
            retry(NOW, &delivery.message),
            release(),
            dead("worse"),
        ] {
            let settled = case.settle(&delivery, second).await;
            assert!(
                matches!(settled, Settled::Already | Settled::LeaseLost),
                "{settled:?}"
            );
        }
        case.assert_drained(consumer.as_mut()).await;
    }
}

/// Proves B44, B45. Case D04.
async fn a_settle_after_a_retry_changes_nothing(case: BrokerCase) {
    case.publish(case.message("tried again")).await;
    let mut consumer = case.consumer().await;
    let first = case.one(consumer.as_mut()).await;
    case.settle(&first, retry(NOW, &first.message)).await;
    let settled = case.settle(&first, Settlement::Ack).await;
    assert!(
        matches!(settled, Settled::Already | Settled::LeaseLost),
        "{settled:?}"
    );
    let second = case.one(consumer.as_mut()).await;
    let settled = case.settle(&first, Settlement::Ack).await;
    assert!(
        matches!(settled, Settled::Already | Settled::LeaseLost),
        "{settled:?}"
    );
    assert_eq!(case.settle(&second, Settlement::Ack).await, Settled::Done);
}

/// Proves B42, B70. Case D06.
async fn a_release_is_delivered_again_at_once(case: BrokerCase) {
    let id = case.publish(case.message("given back")).await;
    let mut consumer = case.consumer().await;
    let mut other = case.consumer().await;
    for _ in 0..5 {
        let delivery = case.one(consumer.as_mut()).await;
        assert_eq!(case.settle(&delivery, release()).await, Settled::Done);
        let again = case.one(other.as_mut()).await;
        assert_eq!(
            (again.message.id, &again.message),
            (Some(id), &delivery.message)
        );
        case.settle(&again, release()).await;
    }
}

/// Proves B40. Case D07.
async fn acks_out_of_order_take_no_other_message_along(case: BrokerCase) {
    case.publish_all(case.messages(100)).await;
    let mut consumer = case.consumer().await;
    let taken = case.take(consumer.as_mut(), 100).await;
    // Every other one, from the last to the first.
    for delivery in taken.iter().rev().step_by(2) {
        case.ack(std::slice::from_ref(delivery)).await;
    }
    for delivery in taken.iter().step_by(2) {
        assert_eq!(
            case.settle(delivery, release()).await,
            Settled::Done,
            "it was not acked"
        );
    }
    let again = case.take(consumer.as_mut(), 50).await;
    case.ack(&again).await;
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B5, B72. Case D10.
async fn a_dropped_delivery_is_not_acked(case: BrokerCase) {
    let id = case.publish(case.message("dropped")).await;
    drop(case.one(case.hasty_consumer().await.as_mut()).await);
    let again = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(again.message.id, Some(id));
}

/// Proves B46. Case D05.
async fn a_foreign_receipt_is_refused_alone(case: BrokerCase) {
    case.publish(case.message("mine")).await;
    let delivery = case.one(case.consumer().await.as_mut()).await;
    let settle = |receipt| Settle {
        receipt,
        settlement: Settlement::Ack,
    };
    let foreign = Receipt::new(&b"no receipt of this broker"[..]);
    let batch = vec![settle(foreign), settle(delivery.receipt.clone())];
    let mut answers = case.broker.settle(batch).await;
    assert_eq!(answers.remove(1).unwrap(), Settled::Done);
    match answers.remove(0) {
        Ok(settled) => assert_eq!(settled, Settled::LeaseLost),
        Err(e) => assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{e}"),
    }
}

/// Proves B41. Case G08.
async fn a_retry_delivers_its_replacement(case: BrokerCase) {
    case.publish(case.message("first attempt")).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    let mut replacement = delivery.message.clone();
    replacement.body = "second attempt".into();
    replacement
        .properties
        .push(("attempt".to_owned(), "2".into()));
    let settled = case.settle(&delivery, retry(NOW, &replacement)).await;
    assert_eq!(settled, Settled::Done);
    let again = case.one(consumer.as_mut()).await;
    assert_eq!(again.message, replacement);
    case.ack(&[again]).await;
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B40. Case D08.
async fn a_delivery_can_be_settled_through_another_task(case: BrokerCase) {
    case.publish(case.message("handed on")).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    let broker = Arc::clone(&case.broker);
    let settle = Box::pin(async move {
        let batch = vec![Settle {
            receipt: delivery.receipt,
            settlement: Settlement::Ack,
        }];
        let settled = broker.settle(batch).await.remove(0).unwrap();
        assert_eq!(settled, Settled::Done);
    });
    assert!(case.env.spawn("settle", settle).ended().await);
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B72. Case F06.
async fn delivery_counts_grow_with_each_redelivery(case: BrokerCase) {
    case.publish(case.message("unlucky")).await;
    for count in 1..=3 {
        let delivery = case.one(case.hasty_consumer().await.as_mut()).await;
        assert_eq!(delivery.count, DeliveryCount::Exact(count));
    }
}

/// Proves B41, B42. Cases D09, H05.
async fn messages_given_back_a_hundred_times_are_not_lost(case: BrokerCase) {
    let many = (case.at_most(5_000) / 100).max(1);
    let published: HashSet<_> = case
        .publish_all(case.messages(many))
        .await
        .into_iter()
        .collect();
    let mut consumer = case.consumer().await;
    let patience = Patience::new(&case.env);
    for round in 0..100 {
        let taken = case.take(consumer.as_mut(), many).await;
        let back = |delivery: &Delivery| Settle {
            receipt: delivery.receipt.clone(),
            settlement: match round % 2 {
                0 => release(),
                _ => retry(NOW, &delivery.message),
            },
        };
        for settled in case.broker.settle(taken.iter().map(back).collect()).await {
            assert_eq!(settled.unwrap(), Settled::Done);
        }
        patience.check("a hundred rounds are over");
    }
    let taken = case.take(consumer.as_mut(), many).await;
    assert_eq!(ids(&taken).into_iter().collect::<HashSet<_>>(), published);
}
