//! Looking after queues: counts, dead letters, purging.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{Bucket, Count, JobId, QueueName, QueueSpec, Settled, Settlement};

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::patience::eventually;

checks!(BrokerCase:
    depth_counts_each_bucket_exactly if Admin,
    a_queue_that_does_not_exist_has_no_depth if Admin,
    peek_changes_nothing if Admin,
    what_is_due_is_peeked_and_purged_as_ready if Admin,
    purge_empties_one_bucket_of_one_queue if Admin,
    a_purge_leaves_what_is_in_flight if Admin,
    ensure_is_idempotent_from_many_clients_at_once in Smoke,
    the_incarnation_stays_until_the_queue_is_deleted if Admin,
    a_dead_message_keeps_everything if Admin in Smoke,
    a_dead_message_can_be_replaced_altogether if Admin,
    a_dead_message_is_not_delivered_again in Smoke,
    a_redrive_brings_each_dead_message_back_once if Admin,
    equal_dead_messages_come_back_one_by_one if Admin,
);

const HOUR: Duration = Duration::from_secs(3_600);

fn dead(reason: &str) -> Settlement {
    Settlement::DeadLetter {
        reason: reason.to_owned(),
        message: None,
    }
}

/// Publishes so many messages and sets them aside.
async fn set_aside(case: &BrokerCase, count: usize) -> Vec<JobId> {
    case.publish_all((0..count).map(|_| case.message("bad")).collect())
        .await;
    let taken = case.take(case.consumer().await.as_mut(), count).await;
    for delivery in &taken {
        assert_eq!(
            case.settle(delivery, dead("it is bad")).await,
            Settled::Done
        );
    }
    ids(&taken)
}

/// Proves B80. Case Q01.
async fn depth_counts_each_bucket_exactly(case: BrokerCase) {
    let mut consumer = case.consumer().await;
    set_aside(&case, 2).await;
    case.publish_all(case.messages(4)).await;
    let taken = case.take(consumer.as_mut(), 4).await;
    case.ack(&taken[..1]).await;
    let mut delayed = case.message("later");
    delayed.not_before = Some(case.env.now() + HOUR);
    case.publish(delayed).await;
    case.publish_all(case.messages(5)).await;
    let depth = case.depth().await;
    assert_eq!(depth.ready, Count::Exact(5));
    assert_eq!(depth.in_flight, Count::Exact(3));
    assert_eq!(depth.delayed, Count::Exact(1));
    assert_eq!(depth.dead, Count::Exact(2));
}

/// Proves B80.
async fn a_queue_that_does_not_exist_has_no_depth(case: BrokerCase) {
    let missing = QueueName::new("never.ensured").unwrap();
    let depths = case
        .admin()
        .depth(&[missing, case.queue.clone()])
        .await
        .unwrap();
    let queues: Vec<_> = depths.iter().map(|depth| &depth.queue).collect();
    assert_eq!(queues, [&case.queue]);
    let queues = case.admin().queues().await.unwrap();
    assert_eq!(queues, std::slice::from_ref(&case.queue));
}

/// Proves B81. Case Q02.
async fn peek_changes_nothing(case: BrokerCase) {
    let published = case.publish_all(case.messages(5)).await;
    let before = case.depth().await;
    for _ in 0..3 {
        let seen = case
            .admin()
            .peek(&case.queue, Bucket::Ready, 3)
            .await
            .unwrap();
        let seen: Vec<JobId> = seen.iter().filter_map(|message| message.id).collect();
        assert_eq!(seen, published[..3]);
    }
    assert_eq!(case.depth().await, before);
    let taken = case.take(case.consumer().await.as_mut(), 5).await;
    assert_eq!(ids(&taken), published);
    assert!(taken.iter().all(|delivery| delivery.count.known() <= 1));
}

/// Proves B80, B81, B82.
async fn what_is_due_is_peeked_and_purged_as_ready(case: BrokerCase) {
    let mut message = case.message("soon");
    message.not_before = Some(case.env.now() + Duration::from_millis(50));
    case.publish(message.clone()).await;
    let is_ready = async || case.depth().await.ready == Count::Exact(1);
    eventually(&case.env, "the message is due", is_ready).await;
    // Nobody has reserved since it became due.
    let (admin, queue) = (case.admin(), &case.queue);
    let seen = admin.peek(queue, Bucket::Ready, 10).await.unwrap();
    assert_eq!(seen, [message]);
    assert_eq!(admin.peek(queue, Bucket::Delayed, 10).await.unwrap(), []);
    assert_eq!(admin.purge(queue, Bucket::Delayed).await.unwrap(), 0);
    assert_eq!(admin.purge(queue, Bucket::Ready).await.unwrap(), 1);
}

/// Proves B82. Case Q03.
async fn purge_empties_one_bucket_of_one_queue(mut case: BrokerCase) {
    let mut consumer = case.consumer().await;
    set_aside(&case, 2).await;
    case.publish_all(case.messages(5)).await;
    let here = case.queue.clone();
    case.queue = QueueName::new("messages.other").unwrap();
    case.ensure(&case.queue).await;
    case.publish_all(case.messages(3)).await;
    let other = std::mem::replace(&mut case.queue, here);
    assert_eq!(
        case.admin()
            .purge(&case.queue, Bucket::Ready)
            .await
            .unwrap(),
        5
    );
    assert_eq!(case.depth().await.dead, Count::Exact(2));
    assert_eq!(
        case.admin().purge(&case.queue, Bucket::Dead).await.unwrap(),
        2
    );
    assert_eq!(case.depth().await.dead, Count::Exact(0));
    case.assert_drained(consumer.as_mut()).await;
    case.queue = other;
    assert_eq!(case.depth().await.ready, Count::Exact(3));
}

/// Proves B82.
async fn a_purge_leaves_what_is_in_flight(case: BrokerCase) {
    case.publish_all(case.messages(4)).await;
    let mut consumer = case.consumer().await;
    let taken = case.take(consumer.as_mut(), 2).await;
    let purged = case.admin().purge(&case.queue, Bucket::Ready).await;
    assert_eq!(purged.unwrap(), 2);
    assert_eq!(case.depth().await.in_flight, Count::Exact(2));
    let delay = Duration::ZERO;
    let settled = case.settle(&taken[0], Settlement::Release { delay }).await;
    assert_eq!(settled, Settled::Done, "its holder still has it");
    let again = case.one(consumer.as_mut()).await;
    assert_eq!(again.message.id, taken[0].message.id);
    case.ack(&[again, taken[1].clone()]).await;
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B10. Case Q04.
async fn ensure_is_idempotent_from_many_clients_at_once(case: BrokerCase) {
    let id = case.publish(case.message("before")).await;
    let queue = QueueName::new("messages.new").unwrap();
    let specs = [QueueSpec::new(case.queue.clone()), QueueSpec::new(queue)];
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(case.second_client().await);
    }
    let ensures = clients.iter().map(|client| client.ensure(&specs));
    for ensured in futures::future::join_all(ensures).await {
        ensured.unwrap();
    }
    let delivery = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(delivery.message.id, Some(id));
}

/// Proves B10.
async fn the_incarnation_stays_until_the_queue_is_deleted(case: BrokerCase) {
    let first = case.depth().await.incarnation;
    assert!(
        first.is_some(),
        "a broker with counts names its incarnation"
    );
    case.publish_all(case.messages(3)).await;
    case.ensure(&case.queue).await;
    case.admin()
        .purge(&case.queue, Bucket::Ready)
        .await
        .unwrap();
    assert_eq!(case.depth().await.incarnation, first);
    case.admin().delete(&case.queue).await.unwrap();
    case.ensure(&case.queue).await;
    assert_ne!(case.depth().await.incarnation, first);
}

/// Proves B43. Case H01.
async fn a_dead_message_keeps_everything(case: BrokerCase) {
    let mut message = case.message("bad");
    message.properties.push(("trace".to_owned(), "abc".into()));
    message.priority = bananas_core::Priority::new(80).unwrap();
    case.publish(message.clone()).await;
    let delivery = case.one(case.consumer().await.as_mut()).await;
    case.settle(&delivery, dead("the reason why")).await;
    let seen = case
        .admin()
        .peek(&case.queue, Bucket::Dead, 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (seen.id, &seen.body, seen.priority),
        (message.id, &message.body, message.priority)
    );
    assert_eq!(seen.property("trace"), message.property("trace"));
    let told = |value: &bytes::Bytes| String::from_utf8_lossy(value).contains("the reason why");
    let reason = seen.properties.iter().any(|(_, value)| told(value));
    assert!(
        reason,
        "a person cannot see why it is dead: {:?}",
        seen.properties
    );
}

/// Proves B43, B83.
async fn a_dead_message_can_be_replaced_altogether(case: BrokerCase) {
    let mut message = case.message("bad");
    message.not_before = Some(case.env.now());
    case.publish(message).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    let replacement = case.message("bad, and why");
    let settlement = Settlement::DeadLetter {
        reason: "it is bad".to_owned(),
        message: Some(Box::new(replacement.clone())),
    };
    assert_eq!(case.settle(&delivery, settlement).await, Settled::Done);
    case.admin().redrive(&case.queue, None).await.unwrap();
    assert_eq!(case.one(consumer.as_mut()).await.message, replacement);
}

/// Proves B43. Case H02.
async fn a_dead_message_is_not_delivered_again(case: BrokerCase) {
    set_aside(&case, 3).await;
    case.assert_drained(case.consumer().await.as_mut()).await;
}

/// Proves B83. Case H03.
async fn a_redrive_brings_each_dead_message_back_once(case: BrokerCase) {
    let all = set_aside(&case, 5).await;
    let mut consumer = case.consumer().await;
    let redriven = case
        .admin()
        .redrive(&case.queue, Some(&all[1..3]))
        .await
        .unwrap();
    assert_eq!(redriven, 2);
    let some = case.take(consumer.as_mut(), 2).await;
    let expected: HashSet<JobId> = all[1..3].iter().copied().collect();
    assert_eq!(ids(&some).into_iter().collect::<HashSet<_>>(), expected);
    assert!(
        some.iter().all(|delivery| delivery.count.known() <= 1),
        "its count starts anew"
    );
    case.ack(&some).await;
    assert_eq!(case.admin().redrive(&case.queue, None).await.unwrap(), 3);
    let rest = case.take(consumer.as_mut(), 3).await;
    case.ack(&rest).await;
    assert_eq!(case.admin().redrive(&case.queue, None).await.unwrap(), 0);
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B83. Case H04.
async fn equal_dead_messages_come_back_one_by_one(case: BrokerCase) {
    let all: HashSet<JobId> = set_aside(&case, 3).await.into_iter().collect();
    assert_eq!(case.admin().redrive(&case.queue, None).await.unwrap(), 3);
    let back = case.take(case.consumer().await.as_mut(), 3).await;
    assert_eq!(ids(&back).into_iter().collect::<HashSet<_>>(), all);
}
