//! Which message is next.

use std::collections::HashMap;
use std::time::Duration;

use bananas_core::{Delivery, JobId, Priority, RawMessage, Settlement};

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::hand_worker::LONG_LEASE;

checks!(BrokerCase:
    higher_priorities_come_first_across_all_levels if Priorities in Smoke,
    messages_of_one_priority_come_first_in_first_out if Order,
    a_batch_keeps_its_order if Order,
    the_lowest_and_the_highest_priority_are_accepted in Smoke,
    a_retry_keeps_its_priority if StrictPriorities,
    an_urgent_message_overtakes_the_backlog if Priorities,
    messages_of_one_key_keep_their_order_and_hold_up_no_other if KeyOrder,
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

/// Proves B73, B77. Cases C01, C04.
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

/// Proves B21, B77. Case B09.
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

/// Proves B73. Case C07.
async fn an_urgent_message_overtakes_the_backlog(case: BrokerCase) {
    const CREDIT: u32 = 10;
    case.publish_all((0..200).map(|_| of_priority(&case, 50)).collect())
        .await;
    let mut consumer = case.consumer_with(LONG_LEASE, CREDIT).await;
    let held = case.take(consumer.as_mut(), 10).await;
    let urgent = case.publish(of_priority(&case, 100)).await;
    case.ack(&held).await;
    // Only what was on its way already may come before it.
    let mut before = 0;
    loop {
        let next = case.one(consumer.as_mut()).await;
        let is_urgent = next.message.id == Some(urgent);
        case.ack(&[next]).await;
        if is_urgent {
            return;
        }
        before += 1;
        assert!(before <= CREDIT, "{before} others came before it");
    }
}

/// Proves B77. Case C02.
async fn messages_of_one_key_keep_their_order_and_hold_up_no_other(case: BrokerCase) {
    let keys = ["red", "green", "blue"];
    let mut published: HashMap<&str, Vec<JobId>> = HashMap::new();
    for n in 0..60 {
        let key = keys[n % keys.len()];
        let mut message = case.message(format!("{n} of {key}"));
        message.key = Some(key.to_owned());
        published
            .entry(key)
            .or_default()
            .push(case.publish(message).await);
    }
    // One message is held by another consumer for as long as the others flow.
    let held = case
        .one(case.consumer_with(LONG_LEASE, 1).await.as_mut())
        .await;
    let held_key = held.message.key.clone().unwrap();
    let mut consumer = case.consumer().await;
    let mut came: HashMap<String, Vec<JobId>> = HashMap::new();
    let others = |came: &HashMap<String, Vec<JobId>>| -> usize {
        let of_others = came.iter().filter(|(key, _)| **key != held_key);
        of_others.map(|(_, ids)| ids.len()).sum()
    };
    let collect = |came: &mut HashMap<String, Vec<JobId>>, delivery: &Delivery| {
        let key = delivery.message.key.clone().unwrap();
        came.entry(key).or_default().extend(delivery.message.id);
    };
    collect(&mut came, &held);
    while others(&came) < 40 {
        let next = case.one(consumer.as_mut()).await;
        collect(&mut came, &next);
        case.ack(&[next]).await;
    }
    case.ack(&[held]).await;
    while came.values().map(Vec::len).sum::<usize>() < 60 {
        let next = case.one(consumer.as_mut()).await;
        collect(&mut came, &next);
        case.ack(&[next]).await;
    }
    for key in keys {
        assert_eq!(came[key], published[key], "the order of {key}");
    }
}
