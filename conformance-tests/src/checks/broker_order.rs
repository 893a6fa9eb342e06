//! Which message is next.

use std::time::Duration;

use bananas_core::{Priority, RawMessage, Settlement};

use crate::case::{BrokerCase, ids};
use crate::check::checks;

checks!(BrokerCase:
    higher_priorities_come_first_across_all_levels if Priorities in Smoke,
    messages_of_one_priority_come_first_in_first_out if Order,
    a_batch_keeps_its_order if Order,
    the_lowest_and_the_highest_priority_are_accepted in Smoke,
    a_retry_keeps_its_priority if Priorities,
);

fn of_priority(case: &BrokerCase, priority: u8) -> RawMessage {
    let mut message = case.message(format!("priority {priority}"));
    message.priority = Priority::new(priority).unwrap();
    message
}

/// Takes so many messages one by one and answers their priorities.
async fn priorities(case: &BrokerCase, messages: usize) -> Vec<u8> {
    let mut consumer = case.consumer().await;
    let mut came = Vec::new();
    for _ in 0..messages {
        let delivery = case.one(consumer.as_mut()).await;
        came.push(delivery.message.priority.get());
        case.ack(&[delivery]).await;
    }
    came
}

/// Proves B73. Cases C03, C06.
async fn higher_priorities_come_first_across_all_levels(case: BrokerCase) {
    let levels = case.broker.info().capabilities.priority_levels;
    // The middle of each level, so that no two are one.
    let step = 101 / u16::from(levels);
    let middle = |level: u8| u8::try_from(u16::from(level) * step + step / 2).unwrap();
    let mut expected: Vec<u8> = (0..levels).map(middle).collect();
    // A fixed shuffle: 37 has no factor in common with any number of levels in use.
    let count = expected.len();
    let shuffled = (0..count)
        .map(|n| of_priority(&case, expected[n * 37 % count]))
        .collect();
    case.publish_all(shuffled).await;
    let came = priorities(&case, count).await;
    expected.reverse();
    assert_eq!(came, expected);
}

/// Proves B73. Cases C01, C04.
async fn messages_of_one_priority_come_first_in_first_out(case: BrokerCase) {
    let mut published = Vec::new();
    for _ in 0..30 {
        published.push(case.publish(case.message("in order")).await);
    }
    let mut consumer = case.consumer().await;
    let mut came = Vec::new();
    for _ in 0..30 {
        let delivery = case.one(consumer.as_mut()).await;
        came.extend(delivery.message.id);
        case.ack(&[delivery]).await;
    }
    assert_eq!(came, published);
}

/// Proves B21. Case B09.
async fn a_batch_keeps_its_order(case: BrokerCase) {
    let published = case.publish_all(case.messages(100)).await;
    let taken = case.take(case.consumer().await.as_mut(), 100).await;
    assert_eq!(ids(&taken), published);
}

/// Proves B1. Case C05.
async fn the_lowest_and_the_highest_priority_are_accepted(case: BrokerCase) {
    for priority in [Priority::MIN, Priority::DEFAULT, Priority::MAX] {
        case.publish(of_priority(&case, priority.get())).await;
    }
    let mut came = priorities(&case, 3).await;
    came.sort_unstable();
    assert_eq!(came, [0, 50, 100]);
}

/// Proves B41, B42, B73. Case C08.
async fn a_retry_keeps_its_priority(case: BrokerCase) {
    let urgent = case.publish(of_priority(&case, 100)).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    case.publish(of_priority(&case, 50)).await;
    let retry = Settlement::Retry {
        delay: Duration::ZERO,
        message: Box::new(delivery.message.clone()),
    };
    case.settle(&delivery, retry).await;
    let delivery = case.one(consumer.as_mut()).await;
    assert_eq!(delivery.message.id, Some(urgent));
    let delay = Duration::ZERO;
    case.settle(&delivery, Settlement::Release { delay }).await;
    assert_eq!(case.one(consumer.as_mut()).await.message.id, Some(urgent));
}
