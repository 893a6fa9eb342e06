//! Batches of all sizes: split inside where the server wants it, answered item by item in their order.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{Consumer, JobId, Ordering, RawMessage};

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::patience::{DEADLINE, Patience};

checks!(BrokerCase:
    batches_beyond_the_largest_request_are_split_and_keep_their_order in Smoke,
    large_messages_in_one_batch_arrive,
    reserve_never_answers_more_than_it_was_asked_for in Smoke,
    reserve_returns_early_with_less_than_it_was_asked_for,
    five_thousand_deliveries_are_settled_in_one_call,
    many_and_long_properties_arrive_or_are_refused,
);

/// The largest batch that is worth the time to test.
const TESTABLE: usize = 11_000;

const KIB: usize = 1_024;

/// Takes so many messages in large batches, and acknowledges each batch in one call.
async fn drain(case: &BrokerCase, consumer: &mut dyn Consumer, messages: usize) -> Vec<RawMessage> {
    let mut came = Vec::with_capacity(messages);
    while came.len() < messages {
        let some = (messages - came.len()).min(1_000);
        let taken = case.take(consumer, some).await;
        case.ack(&taken).await;
        case.assert_settled(&taken).await;
        came.extend(taken.into_iter().map(|delivery| delivery.message));
    }
    came
}

/// Proves B21. Cases I01, S02.
async fn batches_beyond_the_largest_request_are_split_and_keep_their_order(case: BrokerCase) {
    let can = case.broker.info().capabilities.clone();
    let mut consumer = case.consumer().await;
    let sizes = [0, 1, can.max_batch, can.max_batch + 1, can.max_batch * 10];
    for size in sizes.into_iter().filter(|size| *size <= TESTABLE) {
        // Checks that the answers are in the order of the batch.
        let published = case.publish_all(case.messages(size)).await;
        let came = drain(&case, consumer.as_mut(), size).await;
        let came: Vec<JobId> = came.iter().filter_map(|message| message.id).collect();
        match can.ordering {
            Ordering::Queue => assert!(came == published, "{size} messages lost their order"),
            Ordering::None | Ordering::Key => assert_eq!(
                came.into_iter().collect::<HashSet<_>>(),
                published.into_iter().collect::<HashSet<_>>()
            ),
        }
    }
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B1, B21. Case I02.
async fn large_messages_in_one_batch_arrive(case: BrokerCase) {
    let limit = case.broker.info().capabilities.max_message;
    let mut consumer = case.consumer().await;
    for (count, size) in [(10, 200 * KIB), (40, 30 * KIB)] {
        let body = |n: usize| vec![u8::try_from(n).unwrap(); size.min(limit)];
        let messages: Vec<_> = (0..count).map(|n| case.message(body(n))).collect();
        case.publish_all(messages.clone()).await;
        let came = drain(&case, consumer.as_mut(), count).await;
        for message in messages {
            let same = came.iter().filter(|other| **other == message).count();
            assert_eq!(same, 1, "message {:?} did not come as it was", message.id);
        }
    }
}

/// Proves B70. Case I03.
async fn reserve_never_answers_more_than_it_was_asked_for(case: BrokerCase) {
    case.publish_all(case.messages(60)).await;
    let mut consumer = case.consumer().await;
    let patience = Patience::new(&case.env);
    let mut came = 0;
    for max in [1, 3, 7, 1, 20].into_iter().cycle() {
        let taken = consumer.reserve(max, Duration::from_millis(50)).await;
        let taken = taken.unwrap();
        assert!(taken.len() <= max, "{} came instead of {max}", taken.len());
        case.ack(&taken).await;
        came += taken.len();
        if came == 60 {
            break;
        }
        patience.check("all 60 messages came");
    }
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B70. Case I04.
async fn reserve_returns_early_with_less_than_it_was_asked_for(case: BrokerCase) {
    let mut consumer = case.consumer().await;
    for _ in 0..3 {
        let published = case.publish_all(case.messages(3)).await;
        let patience = Patience::new(&case.env);
        let mut came = Vec::new();
        while came.len() < 3 {
            let taken = consumer.reserve(100, DEADLINE * 2).await.unwrap();
            patience.check("reserve returns with what there is");
            case.ack(&taken).await;
            came.extend(ids(&taken));
        }
        came.sort_unstable();
        let mut published = published;
        published.sort_unstable();
        assert_eq!(came, published);
    }
}

/// Proves B40, B44. Case I05.
async fn five_thousand_deliveries_are_settled_in_one_call(case: BrokerCase) {
    let many = case.at_most(5_000);
    case.publish_all(case.messages(many)).await;
    let mut consumer = case.consumer().await;
    let taken = case.take(consumer.as_mut(), many).await;
    case.ack(&taken).await;
    case.assert_settled(&taken).await;
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B1, B27. Case J02.
async fn many_and_long_properties_arrive_or_are_refused(case: BrokerCase) {
    let mut consumer = case.consumer().await;
    for (count, size) in [(50, 10), (64, KIB), (1, 64 * KIB)] {
        let mut message = case.message("with properties");
        for n in 0..count {
            let property = (format!("name-{n:02}"), "v".repeat(size).into());
            message.properties.push(property);
        }
        match case.answer(message.clone()).await {
            Ok(_) => {
                let mut delivery = case.one(consumer.as_mut()).await;
                delivery.message.properties.sort();
                assert_eq!(delivery.message, message, "none is dropped or cut");
                case.ack(&[delivery]).await;
            }
            Err(e) => assert_eq!(e.kind(), bananas_core::ErrorKind::InvalidArgument, "{e}"),
        }
        case.assert_drained(consumer.as_mut()).await;
    }
}
