//! What is left when a process dies, and what several processes share.

use std::collections::HashSet;

use bananas_core::{Bucket, ErrorKind, JobId, QueueName, Settle, Settled, Settlement};

use crate::case::{BrokerCase, ids, sorted};
use crate::check::checks;
use crate::hand_worker::{LONG_LEASE, SHORT_LEASE};
use crate::patience::{Patience, eventually};
use crate::role::Role;

checks!(BrokerCase:
    a_killed_consumer_gives_back_what_it_held if Shared with Child in Fault,
    a_second_consumer_of_that_name_hides_no_orphans if Shared with Child in Fault,
    what_a_killed_publisher_had_confirmed_is_there if Shared with Child in Fault,
    what_a_killed_consumer_had_acked_is_gone if Shared with Child in Fault,
    what_a_killed_consumer_gave_back_or_set_aside_is_there_once if Shared with Child in Fault,
    an_ensure_that_was_killed_can_be_made_again if Shared with Child in Fault,
    processes_share_a_queue_without_duplicates if Shared with Child in Fault,
    many_who_wait_for_a_lapsed_lease_get_it_once,
    a_queue_deleted_under_its_consumer_is_noticed if Admin,
);

/// Proves B72. Case F01.
async fn a_killed_consumer_gives_back_what_it_held(case: BrokerCase) {
    let published = case.publish_all(case.messages(5)).await;
    let mut child = case.child(Role::Hold, 5);
    assert_eq!(child.ids_until("held").await.len(), 5);
    child.kill().await;
    let taken = case.take(case.consumer().await.as_mut(), 5).await;
    assert_eq!(sorted(ids(&taken)), sorted(published));
}

/// Proves B72. Case F07.
async fn a_second_consumer_of_that_name_hides_no_orphans(case: BrokerCase) {
    let published = case.publish_all(case.messages(6)).await;
    let mut first = case.child(Role::Hold, 3);
    first.ids_until("held").await;
    first.kill().await;
    let mut second = case.child(Role::Hold, 3);
    second.ids_until("held").await;
    second.kill().await;
    let taken = case.take(case.consumer().await.as_mut(), 6).await;
    assert_eq!(sorted(ids(&taken)), sorted(published));
}

/// Proves B20. Case B01.
async fn what_a_killed_publisher_had_confirmed_is_there(case: BrokerCase) {
    let mut child = case.child(Role::Publish, 10);
    let mut confirmed = child.ids(100).await;
    confirmed.extend(child.kill().await);
    let mut consumer = case.consumer().await;
    let patience = Patience::new(&case.env);
    let mut missing: HashSet<JobId> = confirmed.into_iter().collect();
    while !missing.is_empty() {
        let taken = consumer.reserve(100, SHORT_LEASE).await.unwrap();
        ids(&taken).iter().for_each(|id| {
            missing.remove(id);
        });
        case.ack(&taken).await;
        patience.check(&format!("{} confirmed messages came", missing.len()));
    }
}

/// Proves B40. Case D11.
async fn what_a_killed_consumer_had_acked_is_gone(case: BrokerCase) {
    let all = case.at_most(400);
    case.publish_all(case.messages(all)).await;
    let mut child = case.child(Role::Ack, 10);
    let mut acked: HashSet<JobId> = child.ids(all / 4).await.into_iter().collect();
    acked.extend(child.kill().await);
    let mut consumer = case.consumer().await;
    // The last batch may have been acked without being printed.
    let left = all - acked.len();
    let taken = case.take(consumer.as_mut(), left.saturating_sub(10)).await;
    let again: Vec<JobId> = ids(&taken);
    let again: Vec<&JobId> = again.iter().filter(|id| acked.contains(id)).collect();
    assert!(again.is_empty(), "acked and delivered again: {again:?}");
}

/// Proves B41, B42, B43. Cases F03, F04.
async fn what_a_killed_consumer_gave_back_or_set_aside_is_there_once(case: BrokerCase) {
    const BATCH: usize = 5;
    let published = case.publish_all(case.messages(60)).await;
    let mut child = case.child(Role::Shuffle, BATCH);
    child.ids(200).await;
    child.kill().await;
    let mut consumer = case.consumer().await;
    let mut there: Vec<JobId> = Vec::new();
    let patience = Patience::new(&case.env);
    loop {
        let taken = consumer.reserve(100, SHORT_LEASE).await.unwrap();
        there.extend(ids(&taken));
        case.ack(&taken).await;
        let redriven = match case.broker.admin() {
            Some(admin) => admin.redrive(&case.queue, None).await.unwrap(),
            None => 0,
        };
        let different: HashSet<&JobId> = there.iter().collect();
        if different.len() == published.len() && taken.is_empty() && redriven == 0 {
            break;
        }
        patience.check(&format!("{} of {} came", different.len(), published.len()));
    }
    // What was being settled at that moment may be there beside what replaces it.
    let most = match case.broker.info().capabilities.atomic_settle {
        true => 0,
        false => BATCH,
    };
    let more = there.len() - published.len();
    assert!(more <= most, "{more} are there twice, of at most {most}");
    there.sort();
    there.dedup();
    assert_eq!(there, sorted(published), "none is missing");
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B10. Case F09.
async fn an_ensure_that_was_killed_can_be_made_again(mut case: BrokerCase) {
    for _ in 0..5 {
        let mut child = case.child(Role::Ensure, 0);
        child.ids_until("ensuring").await;
        child.kill().await;
        for name in Role::ENSURED {
            case.queue = QueueName::new(name).unwrap();
            case.ensure(&case.queue).await;
            let id = case.publish(case.message("after the crash")).await;
            let delivery = case.one(case.consumer().await.as_mut()).await;
            assert_eq!(delivery.message.id, Some(id));
            case.ack(&[delivery]).await;
        }
    }
}

/// Proves B71. Case K02.
async fn processes_share_a_queue_without_duplicates(case: BrokerCase) {
    let messages = case.messages(case.at_most(2_000));
    let published = case.publish_all(messages).await;
    let mut children = Vec::new();
    for _ in 0..4 {
        children.push(case.child(Role::Drain, 20));
    }
    let mut acked = Vec::new();
    for child in &mut children {
        acked.extend(child.ids_until("drained").await);
    }
    assert_eq!(sorted(acked), sorted(published), "each was acked once");
    case.assert_drained(case.consumer().await.as_mut()).await;
}

/// Proves B71, B72. Case F08.
async fn many_who_wait_for_a_lapsed_lease_get_it_once(case: BrokerCase) {
    const MESSAGES: usize = 50;
    let published = case.publish_all(case.messages(MESSAGES)).await;
    let mut hasty = case.hasty_consumer().await;
    case.take(hasty.as_mut(), MESSAGES).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let broker = case.second_client().await;
        waiting.push(case.on(broker).consumer_with(LONG_LEASE, 1_000).await);
    }
    let patience = Patience::new(&case.env);
    let mut came: Vec<JobId> = Vec::new();
    while came.len() < MESSAGES {
        let looks = waiting
            .iter_mut()
            .map(|consumer| consumer.reserve(7, SHORT_LEASE));
        for taken in futures::future::join_all(looks).await {
            came.extend(ids(&taken.unwrap()));
        }
        patience.check(&format!(
            "{} of {MESSAGES} lapsed messages came",
            came.len()
        ));
    }
    assert_eq!(sorted(came), sorted(published), "each came to one of them");
}

/// Proves B78. Case N07.
async fn a_queue_deleted_under_its_consumer_is_noticed(case: BrokerCase) {
    case.publish(case.message("goes with its queue")).await;
    let mut consumer = case.consumer().await;
    case.admin().delete(&case.queue).await.unwrap();
    // It may take a moment, but it must not wait for ever as if the queue were only empty.
    eventually(
        &case.env,
        "the consumer says that the queue is gone",
        async || match consumer.reserve(1, SHORT_LEASE).await {
            Ok(taken) => {
                assert!(taken.is_empty(), "a deleted message came");
                false
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
                true
            }
        },
    )
    .await;
    case.ensure(&case.queue).await;
    assert!(
        case.admin()
            .peek(&case.queue, Bucket::Ready, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let id = case.publish(case.message("the queue is back")).await;
    let delivery = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(delivery.message.id, Some(id));
    let settle = Settle {
        receipt: delivery.receipt,
        settlement: Settlement::Ack,
    };
    assert_eq!(
        case.broker.settle(vec![settle]).await.remove(0).unwrap(),
        Settled::Done
    );
}
