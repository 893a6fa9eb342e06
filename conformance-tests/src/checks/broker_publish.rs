//! Publishing: what is accepted, what is refused, and how that is said.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{ConsumerSpec, ErrorKind, Publish, QueueName, Status};

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::impatience::impatiently;
use crate::patience::DEADLINE;

checks!(BrokerCase:
    publishing_to_a_missing_queue_is_not_found in Smoke,
    consuming_a_missing_queue_is_not_found,
    a_message_too_large_is_refused_alone_with_both_numbers,
    a_dropped_publish_was_made_once_or_not_at_all,
    a_lease_outside_the_limits_is_refused_and_not_clamped,
    publishing_after_the_close_is_closed in Smoke,
    closing_twice_is_fine_and_leaves_other_clients_open,
);

/// The largest limit that is worth the memory to test.
const TESTABLE: usize = 80 * 1024 * 1024;

/// Proves B21, B22. Case B02.
async fn publishing_to_a_missing_queue_is_not_found(case: BrokerCase) {
    let missing = Publish {
        queue: QueueName::new("never.ensured").unwrap(),
        message: case.message("lost?"),
    };
    let known = case.message("found");
    let id = known.id;
    let mut answers = case
        .broker
        .publish(vec![missing, case.to_queue(known)])
        .await;
    assert_eq!(
        answers.remove(1).unwrap().id,
        id,
        "its neighbour is accepted"
    );
    let error = answers.remove(0).unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::NotFound, Status::Permanent)
    );
    assert_eq!(
        case.one(case.consumer().await.as_mut()).await.message.id,
        id
    );
}

/// Proves B30.
async fn consuming_a_missing_queue_is_not_found(case: BrokerCase) {
    let missing = QueueName::new("never.ensured").unwrap();
    let error = case
        .broker
        .consume(ConsumerSpec::new(missing))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// Proves B21, B23. Cases B03, J01, S02.
async fn a_message_too_large_is_refused_alone_with_both_numbers(case: BrokerCase) {
    let limit = case.broker.info().capabilities.max_message;
    assert!(limit <= TESTABLE, "a limit of {limit} bytes is none");
    let mut messages = case.messages(3);
    messages[1].body = vec![b'x'; limit + 1].into();
    let batch = messages
        .iter()
        .map(|message| case.to_queue(message.clone()))
        .collect();
    let mut answers = case.broker.publish(batch).await;
    let error = answers.remove(1).unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::TooLarge, Status::Permanent)
    );
    let text = error.to_string();
    let numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty());
    assert!(numbers.count() >= 2, "{text}");
    for answer in answers {
        answer.unwrap();
    }
    let taken = case.take(case.consumer().await.as_mut(), 2).await;
    let expected = [&messages[0], &messages[2]].map(|message| message.id.unwrap());
    assert_eq!(
        ids(&taken).into_iter().collect::<HashSet<_>>(),
        HashSet::from(expected)
    );
}

/// Proves B26. Case O02.
async fn a_dropped_publish_was_made_once_or_not_at_all(case: BrokerCase) {
    let mut confirmed = HashSet::new();
    for _ in 0..(case.at_most(600) / 3) {
        let messages = case.messages(3);
        let batch = messages
            .iter()
            .map(|message| case.to_queue(message.clone()))
            .collect();
        let publish = case.broker.publish(batch);
        if let Some(answers) = impatiently(&case.env, publish).await {
            confirmed.extend(
                answers
                    .into_iter()
                    .map(|answer| answer.unwrap().id.unwrap()),
            );
        }
    }
    let last = case.publish(case.message("last")).await;
    confirmed.insert(last);
    let mut consumer = case.consumer().await;
    let mut came = HashSet::new();
    while !came.is_superset(&confirmed) {
        let delivery = case.one(consumer.as_mut()).await;
        assert!(
            came.insert(delivery.message.id.unwrap()),
            "a message came twice"
        );
        case.ack(&[delivery]).await;
    }
}

/// Proves B31. Cases E08, S02.
async fn a_lease_outside_the_limits_is_refused_and_not_clamped(case: BrokerCase) {
    let limits = case.broker.info().capabilities.lease;
    let mut spec = ConsumerSpec::new(case.queue.clone());
    let tick = Duration::from_micros(1);
    for outside in [
        Duration::ZERO,
        limits.min.saturating_sub(tick),
        limits.max + tick,
    ] {
        spec.lease = outside;
        let error = case.broker.consume(spec.clone()).await.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::InvalidArgument,
            "{outside:?}: {error}"
        );
    }
    for inside in [limits.min, limits.max] {
        spec.lease = inside;
        case.broker.consume(spec.clone()).await.unwrap();
    }
}

/// Proves B60. Case B07.
async fn publishing_after_the_close_is_closed(case: BrokerCase) {
    case.broker.close(DEADLINE).await.unwrap();
    let batch = vec![case.to_queue(case.message("too late"))];
    let error = case.broker.publish(batch).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let spec = ConsumerSpec::new(case.queue.clone());
    let error = case.broker.consume(spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

/// Proves B60. Case P04.
async fn closing_twice_is_fine_and_leaves_other_clients_open(mut case: BrokerCase) {
    let other = case.second_client().await;
    let closing = std::mem::replace(&mut case.broker, other);
    let batch = vec![case.to_queue(case.message("sent before"))];
    let answer = closing.publish(batch).await.remove(0).unwrap();
    for _ in 0..2 {
        closing.close(DEADLINE).await.unwrap();
    }
    let delivery = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(delivery.message.id, answer.id);
}
