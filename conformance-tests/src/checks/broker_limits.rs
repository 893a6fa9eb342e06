//! The limits that the capabilities name: kept up to them, and refused beyond them without any effect.

use std::time::Duration;

use bananas_core::{
    ConsumerSpec, Delay, Delivery, Error, ErrorKind, Receipt, Settled, Settlement, Status,
};

use crate::case::BrokerCase;
use crate::check::checks;
use crate::hand_worker::LONG_LEASE;

checks!(BrokerCase:
    a_delay_of_years_is_kept_or_refused in Smoke,
    a_broker_without_delays_refuses_each_of_them if NoDelay in Smoke,
    the_longest_delay_is_accepted_and_a_longer_one_refused if LimitedDelay in Smoke,
    a_lease_beyond_the_total_is_refused_with_the_limit if TotalLease in Smoke,
    a_message_of_exactly_the_limit_arrives,
    leases_at_both_limits_are_given_and_extended,
    what_is_wrong_in_itself_is_refused_for_good_and_changes_nothing in Smoke,
);

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The largest limit that is worth the memory to test.
const TESTABLE: usize = 80 * 1024 * 1024;

/// Publishes a message for so long from now; its error must be one that nothing was done for.
async fn publish_for(case: &BrokerCase, delay: Duration) -> Result<(), Error> {
    let mut message = case.message("later");
    message.not_before = Some(case.env.now() + delay);
    case.answer(message).await.map(drop)
}

fn assert_unsupported(error: &Error) {
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::Unsupported, Status::Permanent),
        "{error}"
    );
}

/// Checks that a delivery can be put off neither so long, nor lost by the attempt.
async fn assert_cannot_wait(case: &BrokerCase, delivery: &Delivery, delay: Duration) {
    let retry = Settlement::Retry {
        delay,
        message: Box::new(delivery.message.clone()),
    };
    for settlement in [retry, Settlement::Release { delay }] {
        let refused = case.try_settle(&delivery.receipt, settlement).await;
        assert_unsupported(&refused.unwrap_err());
    }
    let settled = case.settle(delivery, Settlement::Ack).await;
    assert_eq!(settled, Settled::Done, "it is still held");
}

/// Proves B4, B25. Case G05.
async fn a_delay_of_years_is_kept_or_refused(case: BrokerCase) {
    let can = case.broker.info().capabilities.clone();
    let mut accepted = 0;
    for delay in [DAY * 30, DAY * 3_650, DAY * 36_500] {
        let answer = publish_for(&case, delay).await;
        match can.delay {
            Delay::Native { max, .. } if max.is_none_or(|max| max >= delay) => {
                answer.unwrap();
                accepted += 1;
            }
            Delay::Native { .. } | Delay::Unsupported => assert_unsupported(&answer.unwrap_err()),
        }
    }
    if case.broker.admin().is_some() && can.exact_depth {
        assert_eq!(case.depth().await.delayed.value(), Some(accepted));
    }
    case.assert_drained(case.consumer().await.as_mut()).await;
}

/// Proves B4, B25, B41, B42. Case S01.
async fn a_broker_without_delays_refuses_each_of_them(case: BrokerCase) {
    assert_unsupported(&publish_for(&case, MINUTE).await.unwrap_err());
    case.publish(case.message("now")).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    assert_cannot_wait(&case, &delivery, SECOND).await;
    let mut overdue = case.message("overdue");
    overdue.not_before = Some(case.env.now() - MINUTE);
    case.publish(overdue).await;
    let delivery = case.one(consumer.as_mut()).await;
    case.ack(&[delivery]).await;
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B4, B25, B41, B42. Cases S01, S02.
async fn the_longest_delay_is_accepted_and_a_longer_one_refused(case: BrokerCase) {
    let Delay::Native { max: Some(max), .. } = case.broker.info().capabilities.delay else {
        return;
    };
    publish_for(&case, max).await.unwrap();
    // No clock is a minute off, and none so coarse.
    assert_unsupported(&publish_for(&case, max + MINUTE).await.unwrap_err());
    let mut consumer = case.consumer().await;
    case.publish(case.message("now")).await;
    let delivery = case.one(consumer.as_mut()).await;
    assert_cannot_wait(&case, &delivery, max + MINUTE).await;
    case.publish(case.message("now")).await;
    let delivery = case.one(consumer.as_mut()).await;
    let settled = case
        .settle(&delivery, Settlement::Release { delay: max })
        .await;
    assert_eq!(settled, Settled::Done);
}

/// Proves B4, B52. Cases E09, S01.
async fn a_lease_beyond_the_total_is_refused_with_the_limit(case: BrokerCase) {
    let Some(total) = case.broker.info().capabilities.lease.max_total else {
        return;
    };
    case.publish(case.message("held long")).await;
    let before = case.env.monotonic();
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    let limit = delivery.lease.hard_limit;
    let limit = limit.expect("the lease says when it ends whatever one does");
    assert!(limit.since(before) <= total + (case.env.monotonic().since(before)));
    let receipts = std::slice::from_ref(&delivery.receipt);
    let refused = case.broker.extend(receipts, total + SECOND).await.remove(0);
    let error = refused.unwrap_err();
    assert_unsupported(&error);
    let named = error.to_string().contains(|c: char| c.is_ascii_digit());
    assert!(named, "the limit is not in the text: {error}");
    assert_eq!(case.settle(&delivery, Settlement::Ack).await, Settled::Done);
}

/// Proves B1, B23. Cases J01, S02.
async fn a_message_of_exactly_the_limit_arrives(case: BrokerCase) {
    let limit = case.broker.info().capabilities.max_message;
    assert!(limit <= TESTABLE, "a limit of {limit} bytes is none");
    let mut body = b"no power of two: 31 bytes long.".repeat(limit / 31 + 1);
    body.truncate(limit);
    let message = case.message(body);
    case.publish(message.clone()).await;
    let delivery = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(delivery.message.id, message.id);
    // Not compared by `assert_eq`, which would print both.
    let same = delivery.message.body == message.body;
    assert!(same, "{} bytes came", delivery.message.body.len());
    case.ack(&[delivery]).await;
}

/// Proves B31, B50. Case S02.
async fn leases_at_both_limits_are_given_and_extended(case: BrokerCase) {
    let limits = case.broker.info().capabilities.lease;
    case.publish(case.message("held")).await;
    let delivery = case.one(case.consumer().await.as_mut()).await;
    let receipts = std::slice::from_ref(&delivery.receipt);
    let longest = limits
        .max_total
        .map_or(limits.max, |total| limits.max.min(total / 2));
    let before = case.env.monotonic();
    let lease = case.broker.extend(receipts, longest).await.remove(0);
    let lasts = lease.unwrap().until.since(before);
    assert!(
        lasts <= longest + case.env.monotonic().since(before) && lasts > longest / 2,
        "an extension by {longest:?} lasts {lasts:?}"
    );
    for lease in [limits.min, limits.max] {
        let mut spec = ConsumerSpec::new(case.queue.clone());
        spec.lease = lease;
        case.broker.consume(spec).await.unwrap();
    }
    // The shortest comes last: after it the machine may be too slow for anything.
    let lease = case.broker.extend(receipts, limits.min).await.remove(0);
    lease.unwrap();
}

/// Proves B23, B31, B46. Case R04.
async fn what_is_wrong_in_itself_is_refused_for_good_and_changes_nothing(case: BrokerCase) {
    let can = case.broker.info().capabilities.clone();
    case.publish(case.message("held")).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    let mut errors = Vec::new();
    let mut large = case.message("");
    large.body = vec![b'x'; can.max_message + 1].into();
    errors.push(case.answer(large).await.unwrap_err());
    for lease in [Duration::ZERO, can.lease.max + SECOND] {
        let mut spec = ConsumerSpec::new(case.queue.clone());
        spec.lease = lease;
        errors.push(case.broker.consume(spec).await.unwrap_err());
        let receipts = std::slice::from_ref(&delivery.receipt);
        let extended = case.broker.extend(receipts, lease).await.remove(0);
        errors.push(extended.unwrap_err());
    }
    let foreign = Receipt::new(&b"no receipt of this broker"[..]);
    for settlement in [
        Settlement::Ack,
        Settlement::Release {
            delay: Duration::ZERO,
        },
    ] {
        errors.push(case.try_settle(&foreign, settlement).await.unwrap_err());
    }
    let extended = case.broker.extend(&[foreign], LONG_LEASE).await.remove(0);
    errors.push(extended.unwrap_err());
    for error in errors {
        assert_eq!(error.status(), Status::Permanent, "{error:?}");
        assert!(!error.is_retryable(), "{error:?}");
    }
    assert_eq!(case.settle(&delivery, Settlement::Ack).await, Settled::Done);
    case.assert_drained(consumer.as_mut()).await;
}
