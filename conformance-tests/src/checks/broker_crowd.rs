//! Many consumers and many tasks on one queue.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bananas_core::{Consumer, Delivery, JobId, Settle, Settled, Settlement};
use futures::future::join_all;

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::hand_worker::LONG_LEASE;
use crate::patience::{Patience, eventually};

checks!(BrokerCase:
    fifty_consumers_come_and_go_and_leave_nothing_behind,
    sixty_four_tasks_settle_at_once,
    no_consumer_is_passed_over in Smoke,
    a_slow_consumer_does_not_hoard,
    what_a_large_reserve_left_reaches_others,
    a_consumer_that_rests_keeps_what_it_holds,
    three_thousand_deliveries_out_at_once_stop_nobody,
);

/// Proves B76. Case K03.
async fn fifty_consumers_come_and_go_and_leave_nothing_behind(case: BrokerCase) {
    let published = case.publish_all(case.messages(100)).await;
    let before = case.clients_on_server().await;
    let opened = join_all((0..50).map(|_| case.consumer_with(LONG_LEASE, 10))).await;
    for (n, mut consumer) in opened.into_iter().enumerate() {
        let taken = consumer.reserve(2, Duration::from_millis(20)).await;
        let release = |delivery: Delivery| Settle {
            receipt: delivery.receipt,
            settlement: Settlement::Release {
                delay: Duration::ZERO,
            },
        };
        let batch = taken.unwrap().into_iter().map(release).collect();
        for settled in case.broker.settle(batch).await {
            assert_eq!(settled.unwrap(), Settled::Done);
        }
        // Every other one is dropped without a word.
        if n % 2 == 0 {
            consumer.stop().await.unwrap();
        }
    }
    let mut consumer = case.consumer().await;
    let taken = case.take(consumer.as_mut(), 100).await;
    case.ack(&taken).await;
    let came: HashSet<JobId> = ids(&taken).into_iter().collect();
    assert_eq!(came, published.into_iter().collect());
    case.assert_drained(consumer.as_mut()).await;
    drop(consumer);
    let gone = async || case.clients_on_server().await <= before;
    eventually(&case.env, "the server has forgotten the consumers", gone).await;
}

/// Proves B40, B44. Case K04.
async fn sixty_four_tasks_settle_at_once(case: BrokerCase) {
    let many = case.at_most(640);
    case.publish_all(case.messages(many)).await;
    let mut consumer = case.consumer().await;
    let taken = case.take(consumer.as_mut(), many).await;
    let mut tasks = Vec::new();
    for some in taken.chunks(many.div_ceil(64)) {
        let broker = Arc::clone(&case.broker);
        let some = some.to_vec();
        let settle = async move {
            for delivery in some {
                let batch = vec![Settle {
                    receipt: delivery.receipt,
                    settlement: Settlement::Ack,
                }];
                let settled = broker.settle(batch).await.remove(0);
                assert_eq!(settled.unwrap(), Settled::Done);
            }
        };
        tasks.push(case.env.spawn("settle", Box::pin(settle)));
    }
    for mut task in tasks {
        assert!(task.ended().await, "a task could not settle");
    }
    case.assert_settled(&taken).await;
    case.assert_drained(consumer.as_mut()).await;
}

/// Takes one message after the other and works a moment on each, until all of them are done by whomever and no more
/// comes. How long a server needs for the first is its own affair.
async fn work_off(
    case: &BrokerCase,
    mut consumer: Box<dyn Consumer>,
    done: &AtomicUsize,
    all: usize,
) -> usize {
    let patience = Patience::new(&case.env);
    let mut count = 0;
    loop {
        let taken = consumer.reserve(1, Duration::from_millis(500)).await;
        let taken = taken.unwrap();
        if taken.is_empty() {
            if done.load(Ordering::SeqCst) >= all {
                return count;
            }
            patience.check("all messages are worked off");
            continue;
        }
        case.env.sleep(Duration::from_millis(5)).await;
        case.ack(&taken).await;
        done.fetch_add(1, Ordering::SeqCst);
        count += 1;
    }
}

/// Proves B79. Case K05.
async fn no_consumer_is_passed_over(case: BrokerCase) {
    const CONSUMERS: usize = 8;
    let messages = case.at_most(320);
    let mut consumers = Vec::new();
    for _ in 0..CONSUMERS {
        consumers.push(case.consumer_with(LONG_LEASE, 1).await);
    }
    case.publish_all(case.messages(messages)).await;
    let done = AtomicUsize::new(0);
    let work = consumers
        .into_iter()
        .map(|one| work_off(&case, one, &done, messages));
    let counts = join_all(work).await;
    assert_eq!(counts.iter().sum::<usize>(), messages, "{counts:?}");
    let least = counts.iter().min().copied().unwrap_or(0);
    let half_of_mean = messages / CONSUMERS / 2;
    assert!(least >= half_of_mean, "one got far less: {counts:?}");
}

/// Proves B75. Case L02.
async fn a_slow_consumer_does_not_hoard(case: BrokerCase) {
    let mut slow = case.consumer_with(LONG_LEASE, 1).await;
    let published = case.publish_all(case.messages(20)).await;
    let held = case.one(slow.as_mut()).await;
    let mut other = case.consumer().await;
    let mut came = ids(&case.take(other.as_mut(), 19).await);
    came.extend(held.message.id);
    let came: HashSet<JobId> = came.into_iter().collect();
    assert_eq!(came, published.into_iter().collect());
    assert_eq!(case.settle(&held, Settlement::Ack).await, Settled::Done);
}

/// Proves B73, B84. Case L02.
async fn what_a_large_reserve_left_reaches_others(case: BrokerCase) {
    let mut busy = case.consumer_with(LONG_LEASE, 100).await;
    let published = case.publish_all(case.messages(60)).await;
    let held = case.take(busy.as_mut(), 16).await;
    let mut other = case.consumer().await;
    let taken = case.take(other.as_mut(), 60 - held.len()).await;
    let came: HashSet<JobId> = ids(&held).into_iter().chain(ids(&taken)).collect();
    assert_eq!(came, published.into_iter().collect());
    case.ack(&taken).await;
    case.ack(&held).await;
    case.assert_drained(busy.as_mut()).await;
}

/// Proves B71, B74. Case L03.
async fn a_consumer_that_rests_keeps_what_it_holds(case: BrokerCase) {
    let mut resting = case.consumer_with(LONG_LEASE, 5).await;
    case.publish_all(case.messages(5)).await;
    let held = case.take(resting.as_mut(), 5).await;
    let mut other = case.consumer().await;
    for _ in 0..20 {
        case.publish_all(case.messages(5)).await;
        let taken = case.take(other.as_mut(), 5).await;
        case.ack(&taken).await;
    }
    other.stop().await.unwrap();
    case.ack(&held).await;
    let more = case.publish_all(case.messages(5)).await;
    let resumed = case.take(resting.as_mut(), 5).await;
    let resumed_ids: HashSet<JobId> = ids(&resumed).into_iter().collect();
    assert_eq!(resumed_ids, more.into_iter().collect());
    case.ack(&resumed).await;
}

/// Proves B75. Case L04.
async fn three_thousand_deliveries_out_at_once_stop_nobody(case: BrokerCase) {
    let each = case.at_most(3_000).div_ceil(30);
    let credit = u32::try_from(each).unwrap();
    let mut consumers = Vec::new();
    for _ in 0..30 {
        consumers.push(case.consumer_with(LONG_LEASE, credit).await);
    }
    case.publish_all(case.messages(30 * each)).await;
    let patience = Patience::new(&case.env);
    let mut out = Vec::new();
    for consumer in &mut consumers {
        out.extend(case.take(consumer.as_mut(), each).await);
        patience.check("all deliveries are out");
    }
    let different: HashSet<JobId> = ids(&out).into_iter().collect();
    assert_eq!(different.len(), 30 * each);
    let more = case.publish_all(case.messages(each)).await;
    let mut another = case.consumer().await;
    let taken = case.take(another.as_mut(), each).await;
    let came: HashSet<JobId> = ids(&taken).into_iter().collect();
    assert_eq!(came, more.into_iter().collect());
    case.ack(&taken).await;
    case.ack(&out).await;
    case.assert_settled(&out).await;
}
