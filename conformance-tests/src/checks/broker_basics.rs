//! What goes in comes out.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{DeliveryCount, JobId, Priority, QueueName, RawMessage};
use bytes::Bytes;

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::hand_worker::LONG_LEASE;
use crate::impatience::impatiently;
use crate::patience::{DEADLINE, Patience};

checks!(BrokerCase:
    a_message_arrives_as_it_was_published in Smoke,
    a_batch_is_delivered_once_each in Smoke,
    an_empty_body_survives in Smoke,
    every_byte_survives in Smoke,
    strange_properties_survive,
    queues_are_isolated in Smoke,
    reserve_is_empty_after_its_wait_and_not_before in Smoke,
    reserve_wakes_on_a_publish_by_another_client,
    equal_bodies_are_different_messages in Smoke,
    a_first_delivery_says_so_and_how_long_it_is_leased if DeliveryCount,
    never_more_deliveries_are_out_than_the_credit_allows in Smoke,
    a_dropped_reserve_loses_nothing in Smoke,
);

/// Publishes a message and answers how it arrives.
async fn round_trip(case: &BrokerCase, message: RawMessage) -> RawMessage {
    case.publish(message).await;
    case.one(case.consumer().await.as_mut()).await.message
}

/// Proves B1. Case A01.
async fn a_message_arrives_as_it_was_published(case: BrokerCase) {
    let mut message = case.message("some body");
    message.priority = Priority::new(80).unwrap();
    message.properties.push(("trace".to_owned(), "abc".into()));
    let message = message.copy_is(7);
    assert_eq!(round_trip(&case, message.clone()).await, message);
}

/// Proves B20, B21, B71. Case A02.
async fn a_batch_is_delivered_once_each(case: BrokerCase) {
    let mut consumer = case.consumer().await;
    for size in [1, 2, 99, 1_000].map(|size| case.at_most(size)) {
        let published = case.publish_all(case.messages(size)).await;
        let taken = case.take(consumer.as_mut(), size).await;
        case.ack(&taken).await;
        let expected: HashSet<JobId> = published.into_iter().collect();
        assert_eq!(ids(&taken).into_iter().collect::<HashSet<_>>(), expected);
    }
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B1. Case A03.
async fn an_empty_body_survives(case: BrokerCase) {
    let message = case.message(Bytes::new());
    assert_eq!(round_trip(&case, message.clone()).await, message);
}

/// Proves B1. Case A04.
async fn every_byte_survives(case: BrokerCase) {
    let all: Vec<u8> = (0..=255).chain([0xff, 0xfe, 0xc0, 0x80]).collect();
    let message = case.message(all);
    assert_eq!(round_trip(&case, message.clone()).await, message);
}

/// Proves B1. Case A05.
async fn strange_properties_survive(case: BrokerCase) {
    let mut message = case.message("body");
    let long = "v".repeat(1_000);
    for (name, value) in [
        ("empty", ""),
        ("long", long.as_str()),
        ("Case", "upper"),
        ("case", "lower"),
        ("with space", "a\r\nb\tc"),
        ("unicode-ü", "\u{1F34C} \u{0} \u{202E}"),
    ] {
        let value = Bytes::copy_from_slice(value.as_bytes());
        message.properties.push((name.to_owned(), value));
    }
    message
        .properties
        .push(("bytes".to_owned(), Bytes::from_static(b"\xff\x00\xfe")));
    let mut came = round_trip(&case, message.clone()).await;
    came.properties.sort();
    message.properties.sort();
    assert_eq!(came, message);
}

/// Proves B70. Case A06.
async fn queues_are_isolated(mut case: BrokerCase) {
    let here = case.queue.clone();
    case.queue = QueueName::new("messages.other").unwrap();
    case.ensure(&case.queue).await;
    let there = case.publish(case.message("there")).await;
    let other = std::mem::replace(&mut case.queue, here);
    case.assert_drained(case.consumer().await.as_mut()).await;
    case.queue = other;
    let delivery = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(
        (delivery.message.id, &delivery.queue),
        (Some(there), &case.queue)
    );
}

/// Proves B70. Case A08.
async fn reserve_is_empty_after_its_wait_and_not_before(case: BrokerCase) {
    let mut consumer = case.consumer().await;
    let wait = Duration::from_millis(300);
    let patience = Patience::new(&case.env);
    assert!(consumer.reserve(10, wait).await.unwrap().is_empty());
    assert!(
        patience.spent() >= wait,
        "it returned after {:?}",
        patience.spent()
    );
    patience.check("the wait is over");
}

/// Proves B70. Cases A09, A10.
async fn reserve_wakes_on_a_publish_by_another_client(mut case: BrokerCase) {
    let mut consumer = case.consumer().await;
    case.broker = case.second_client().await;
    let patience = Patience::new(&case.env);
    let publish = async {
        case.env.sleep(Duration::from_millis(200)).await;
        case.publish(case.message("late")).await
    };
    let (taken, id) = futures::join!(consumer.reserve(1, DEADLINE), publish);
    assert_eq!(ids(&taken.unwrap()), [id]);
    patience.check("the consumer woke before its wait was over");
}

/// Proves B5, B40. Case A11.
async fn equal_bodies_are_different_messages(case: BrokerCase) {
    let equal = (0..100).map(|_| case.message("equal")).collect();
    case.publish_all(equal).await;
    let mut consumer = case.hasty_consumer().await;
    let taken = case.take(consumer.as_mut(), 100).await;
    let receipts: HashSet<_> = taken.iter().map(|delivery| &delivery.receipt).collect();
    assert_eq!(receipts.len(), 100);
    let acked = taken[42].message.id;
    let first = bananas_core::Settle {
        receipt: taken[42].receipt.clone(),
        settlement: bananas_core::Settlement::Ack,
    };
    let done = case.broker.settle(vec![first]).await.remove(0).unwrap();
    // A machine that was too slow for the short lease has lost this one like the others.
    let left = if done == bananas_core::Settled::Done {
        99
    } else {
        100
    };
    let mut consumer = case.consumer().await;
    let again = case.take(consumer.as_mut(), left).await;
    let again: HashSet<_> = ids(&again).into_iter().collect();
    assert_eq!(again.len(), left, "each of the others came again");
    assert_eq!(again.contains(&acked.unwrap()), left == 100);
}

/// Proves B50. Case A12.
async fn a_first_delivery_says_so_and_how_long_it_is_leased(case: BrokerCase) {
    case.publish(case.message("body")).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    assert_eq!(delivery.count, DeliveryCount::Exact(1));
    let left = delivery.lease.until.since(case.env.monotonic());
    let max = case.broker.info().capabilities.lease.max.min(LONG_LEASE);
    assert!(
        left > Duration::ZERO && left <= max,
        "{left:?} are left of {max:?}"
    );
}

/// Proves B75. Case L01.
async fn never_more_deliveries_are_out_than_the_credit_allows(case: BrokerCase) {
    case.publish_all(case.messages(50)).await;
    let mut consumer = case.consumer_with(LONG_LEASE, 10).await;
    let mut out = case.take(consumer.as_mut(), 10).await;
    let wait = Duration::from_millis(200);
    assert!(
        consumer.reserve(10, wait).await.unwrap().is_empty(),
        "the credit is used up"
    );
    case.ack(&out[..4]).await;
    out = case.take(consumer.as_mut(), 4).await;
    assert!(
        consumer.reserve(10, wait).await.unwrap().is_empty(),
        "the credit is used up"
    );
    case.ack(&out).await;
    let other = case.take(case.consumer().await.as_mut(), 36).await;
    assert_eq!(other.len(), 36, "what is not taken is there for others");
}

/// Proves B74. Case O01.
async fn a_dropped_reserve_loses_nothing(case: BrokerCase) {
    let mut consumer = case.consumer().await;
    let mut published = HashSet::new();
    let mut came = Vec::new();
    for _ in 0..case.at_most(1_000) {
        if published.len() < case.at_most(500) {
            published.extend(case.publish_all(case.messages(2)).await);
        }
        let reserve = consumer.reserve(3, DEADLINE);
        if let Some(taken) = impatiently(&case.env, reserve).await {
            let taken = taken.unwrap();
            case.ack(&taken).await;
            came.extend(ids(&taken));
        }
    }
    let rest = case
        .take(consumer.as_mut(), published.len() - came.len())
        .await;
    case.ack(&rest).await;
    came.extend(ids(&rest));
    let different: HashSet<JobId> = came.iter().copied().collect();
    assert_eq!(
        (came.len(), different),
        (published.len(), published),
        "each came once"
    );
}
