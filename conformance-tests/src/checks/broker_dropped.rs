//! Calls whose futures are dropped: what became of them, and that later calls are not disturbed.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{
    Consumer, Count, Delivery, ErrorKind, JobId, QueueName, Receipt, Settle, Settled, Settlement,
};

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::hand_worker::{LONG_LEASE, SHORT_LEASE};
use crate::impatience::impatiently;
use crate::patience::Patience;

checks!(BrokerCase:
    a_dropped_settle_was_made_or_its_message_comes_again,
    dropped_calls_leave_the_answers_of_later_calls_right,
    stop_does_not_wait_for_a_reserve_that_was_dropped,
);

const SOON: Duration = Duration::from_millis(20);
const HOUR: Duration = Duration::from_secs(3_600);

/// One in two is acknowledged, the other tried again.
fn ending(n: usize, delivery: &Delivery) -> Settle {
    let settlement = match n % 2 {
        0 => Settlement::Ack,
        _ => Settlement::Retry {
            delay: Duration::ZERO,
            message: Box::new(delivery.message.clone()),
        },
    };
    Settle {
        receipt: delivery.receipt.clone(),
        settlement,
    }
}

/// Proves B41, B47. Case O03.
async fn a_dropped_settle_was_made_or_its_message_comes_again(case: BrokerCase) {
    let many = case.at_most(240);
    case.publish_all(case.messages(many)).await;
    let mut leased = case.consumer_with(SHORT_LEASE * 3, 10_000).await;
    let taken = case.take(leased.as_mut(), many).await;
    // The last sixth is not settled at all.
    let (settled, untouched) = taken.split_at(many / 12 * 10);
    let mut acked = HashSet::new();
    for pair in settled.chunks(2) {
        let batch = pair.iter().enumerate().map(|(n, one)| ending(n, one));
        let settle = case.broker.settle(batch.collect());
        if let Some(answers) = impatiently(&case.env, settle).await
            && answers.into_iter().next().unwrap().unwrap() == Settled::Done
        {
            acked.extend(pair[0].message.id);
        }
    }
    drop(leased);
    let tried_again = settled.iter().skip(1).step_by(2);
    let mut missing: HashSet<JobId> = tried_again
        .chain(untouched)
        .filter_map(|delivery| delivery.message.id)
        .collect();
    let mut consumer = case.consumer().await;
    let patience = Patience::new(&case.env);
    while !missing.is_empty() {
        let came = consumer.reserve(100, SOON).await.unwrap();
        case.ack(&came).await;
        for id in ids(&came) {
            assert!(!acked.contains(&id), "an acked message came again");
            missing.remove(&id);
        }
        patience.check(&format!("{} messages came again", missing.len()));
    }
    assert_all_gone(&case, consumer.as_mut(), &patience).await;
}

/// Checks, where there are exact counts, that what is left comes in the end and is not lost under a lease.
async fn assert_all_gone(case: &BrokerCase, consumer: &mut dyn Consumer, patience: &Patience) {
    if case.broker.admin().is_none() || !case.broker.info().capabilities.exact_depth {
        return;
    }
    loop {
        let came = consumer.reserve(100, SOON).await.unwrap();
        case.ack(&came).await;
        let depth = case.depth().await;
        if [depth.ready, depth.in_flight, depth.delayed] == [Count::Exact(0); 3] {
            return;
        }
        patience.check("nothing is left in the queue");
    }
}

/// Drops a thousand calls of all kinds, each at a moment of chance.
async fn drop_many_calls(case: &BrokerCase, held: &Receipt) {
    let aside = QueueName::new("messages.aside").unwrap();
    case.ensure(&aside).await;
    let mut spec = bananas_core::ConsumerSpec::new(aside.clone());
    spec.lease = case.broker.info().capabilities.lease.max.min(LONG_LEASE);
    let mut consumer = case.broker.consume(spec).await.unwrap();
    let foreign = Settle {
        receipt: Receipt::new(&b"no receipt of this broker"[..]),
        settlement: Settlement::Ack,
    };
    for n in 0..case.at_most(1_000) {
        match n % 5 {
            0 => {
                let batch = vec![bananas_core::Publish {
                    queue: aside.clone(),
                    message: case.message("aside"),
                }];
                drop(impatiently(&case.env, case.broker.publish(batch)).await);
            }
            1 => {
                let extend = case.broker.extend(std::slice::from_ref(held), LONG_LEASE);
                drop(impatiently(&case.env, extend).await);
            }
            2 => drop(impatiently(&case.env, consumer.reserve(3, SOON)).await),
            3 => {
                let settle = case.broker.settle(vec![foreign.clone()]);
                drop(impatiently(&case.env, settle).await);
            }
            _ => {
                if let Some(admin) = case.broker.admin() {
                    let depth = admin.depth(std::slice::from_ref(&aside));
                    drop(impatiently(&case.env, depth).await);
                }
            }
        }
    }
}

/// Proves B8. Case O04.
async fn dropped_calls_leave_the_answers_of_later_calls_right(case: BrokerCase) {
    case.publish(case.message("held")).await;
    let mut consumer = case.consumer().await;
    let held = case.one(consumer.as_mut()).await;
    drop_many_calls(&case, &held.receipt).await;
    for round in 0..10 {
        let published = case.publish_all(case.messages(10)).await;
        let taken = case.take(consumer.as_mut(), 10).await;
        let came: HashSet<JobId> = ids(&taken).into_iter().collect();
        assert_eq!(came, published.into_iter().collect());
        let foreign = Receipt::new(&b"no receipt of this broker"[..]);
        let receipts = [held.receipt.clone(), foreign, taken[round].receipt.clone()];
        let extended = case.broker.extend(&receipts, LONG_LEASE).await;
        let extended: Vec<_> = extended
            .into_iter()
            .map(|answer| answer.map(drop).map_err(|e| e.kind()))
            .collect();
        assert_eq!(extended, [Ok(()), Err(ErrorKind::InvalidArgument), Ok(())]);
        case.ack(&taken).await;
        if case.broker.admin().is_some() {
            assert_eq!(case.depth().await.queue, case.queue);
        }
    }
    case.ack(&[held]).await;
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B76. Case P03.
async fn stop_does_not_wait_for_a_reserve_that_was_dropped(case: BrokerCase) {
    let mut stopping = case.consumer().await;
    let reserve = stopping.reserve(10, HOUR);
    let nothing = case.env.within(SOON * 5, reserve).await;
    assert!(nothing.is_err(), "a message came that nobody had published");
    let patience = Patience::new(&case.env);
    stopping.stop().await.unwrap();
    patience.check("the consumer stops");
    let id = case.publish(case.message("for others")).await;
    let delivery = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(delivery.message.id, Some(id));
}
