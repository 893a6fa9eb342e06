//! Delivering later.

use std::time::Duration;

use bananas_core::{Delay, Settled, Settlement};

use crate::case::BrokerCase;
use crate::check::checks;

checks!(BrokerCase:
    a_time_in_the_past_is_now if Delay in Smoke,
    a_delayed_message_is_not_early if Delay in Smoke,
    delays_are_independent if Delay in Smoke,
    a_retry_with_a_delay_is_not_early if Delay in Smoke,
    a_replacement_is_not_delivered_before_its_own_time if Delay,
    a_release_with_a_delay_is_not_early if Delay,
    delayed_messages_use_no_credit if Delay,
);

const DELAY: Duration = Duration::from_millis(700);
const HOUR: Duration = Duration::from_secs(3_600);

/// A delay that no check outlives.
fn long_delay(case: &BrokerCase) -> Duration {
    match case.broker.info().capabilities.delay {
        Delay::Native { max: Some(max), .. } => HOUR.min(max),
        Delay::Native { max: None, .. } | Delay::Unsupported => HOUR,
    }
}

/// Proves B25. Case G01.
async fn a_time_in_the_past_is_now(case: BrokerCase) {
    for not_before in [case.env.now(), case.env.now() - HOUR] {
        let mut message = case.message("overdue");
        message.not_before = Some(not_before);
        let id = case.publish(message).await;
        let delivery = case.one(case.consumer().await.as_mut()).await;
        assert_eq!(delivery.message.id, Some(id));
    }
}

/// Proves B25. Case G02.
async fn a_delayed_message_is_not_early(case: BrokerCase) {
    let mut message = case.message("later");
    let not_before = case.env.now() + DELAY;
    message.not_before = Some(not_before);
    let id = case.publish(message).await;
    let delivery = case.one(case.consumer().await.as_mut()).await;
    assert!(case.env.now() >= not_before, "it was delivered too early");
    assert_eq!(delivery.message.id, Some(id));
}

/// Proves B25. Case G03.
async fn delays_are_independent(case: BrokerCase) {
    let mut late = case.message("late");
    late.not_before = Some(case.env.now() + long_delay(&case));
    let mut soon = case.message("soon");
    soon.not_before = Some(case.env.now() + DELAY);
    let published = case.publish_all(vec![late, soon]).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    assert_eq!(delivery.message.id, Some(published[1]));
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B41. Case G08.
async fn a_retry_with_a_delay_is_not_early(case: BrokerCase) {
    case.publish(case.message("tried again")).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    let retry = Settlement::Retry {
        delay: DELAY,
        message: Box::new(delivery.message.clone()),
    };
    let before = case.env.monotonic();
    assert_eq!(case.settle(&delivery, retry).await, Settled::Done);
    let again = case.one(consumer.as_mut()).await;
    assert!(
        case.env.monotonic().since(before) >= DELAY,
        "it was delivered too early"
    );
    assert_eq!(again.message.id, delivery.message.id);
}

/// Proves B25, B41.
async fn a_replacement_is_not_delivered_before_its_own_time(case: BrokerCase) {
    case.publish(case.message("tried again")).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    let mut message = Box::new(delivery.message.clone());
    let not_before = case.env.now() + DELAY;
    message.not_before = Some(not_before);
    let delay = Duration::ZERO;
    let settled = case
        .settle(&delivery, Settlement::Retry { delay, message })
        .await;
    assert_eq!(settled, Settled::Done);
    let again = case.one(consumer.as_mut()).await;
    assert!(case.env.now() >= not_before, "it was delivered too early");
    assert_eq!(again.message.id, delivery.message.id);
}

/// Proves B42.
async fn a_release_with_a_delay_is_not_early(case: BrokerCase) {
    case.publish(case.message("given back")).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    let before = case.env.monotonic();
    let settled = case
        .settle(&delivery, Settlement::Release { delay: DELAY })
        .await;
    assert_eq!(settled, Settled::Done);
    let again = case.one(consumer.as_mut()).await;
    assert!(
        case.env.monotonic().since(before) >= DELAY,
        "it was delivered too early"
    );
    assert_eq!(again.message.id, delivery.message.id);
}

/// Proves B75. Case G07.
async fn delayed_messages_use_no_credit(case: BrokerCase) {
    let mut delayed = case.messages(case.at_most(1_000));
    for message in &mut delayed {
        message.not_before = Some(case.env.now() + long_delay(&case));
    }
    case.publish_all(delayed).await;
    case.publish_all(case.messages(30)).await;
    let mut consumer = case.consumer_with(HOUR / 6, 10).await;
    for _ in 0..3 {
        let taken = case.take(consumer.as_mut(), 10).await;
        case.ack(&taken).await;
    }
}
