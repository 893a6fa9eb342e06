//! Stopping a consumer.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::JobId;

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::impatience::impatiently;
use crate::patience::DEADLINE;

checks!(BrokerCase:
    stop_gives_back_at_once_what_was_not_returned in Smoke,
    what_was_reserved_can_be_settled_after_stop in Smoke,
    a_stopped_consumer_takes_nothing_more,
);

/// Proves B74, B76. Case P01.
async fn stop_gives_back_at_once_what_was_not_returned(case: BrokerCase) {
    let mut published: HashSet<JobId> = HashSet::new();
    let mut came: Vec<JobId> = Vec::new();
    let mut other = case.consumer().await;
    for _ in 0..20 {
        let mut stopping = case.consumer().await;
        published.extend(case.publish_all(case.messages(5)).await);
        let reserve = stopping.reserve(10, DEADLINE);
        if let Some(taken) = impatiently(&case.env, reserve).await {
            came.extend(ids(&taken.unwrap()));
        }
        stopping.stop().await.unwrap();
        stopping.stop().await.unwrap();
        // The leases would last far beyond the patience of `take`.
        let rest = case
            .take(other.as_mut(), published.len() - came.len())
            .await;
        came.extend(ids(&rest));
    }
    assert_eq!(came.into_iter().collect::<HashSet<_>>(), published);
}

/// Proves B76. Case P02.
async fn what_was_reserved_can_be_settled_after_stop(case: BrokerCase) {
    case.publish_all(case.messages(3)).await;
    let mut consumer = case.consumer().await;
    let taken = case.take(consumer.as_mut(), 3).await;
    consumer.stop().await.unwrap();
    case.ack(&taken).await;
    case.assert_drained(case.consumer().await.as_mut()).await;
}

/// Proves B76.
async fn a_stopped_consumer_takes_nothing_more(case: BrokerCase) {
    let mut stopped = case.consumer().await;
    stopped.stop().await.unwrap();
    let id = case.publish(case.message("for others")).await;
    if let Ok(taken) = stopped.reserve(10, Duration::from_millis(100)).await {
        assert!(taken.is_empty(), "a stopped consumer took a message");
    }
    let delivery = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(delivery.message.id, Some(id));
}
