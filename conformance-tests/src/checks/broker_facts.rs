//! What a broker tells about itself, for the people who run it.

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::told::assert_told;

checks!(BrokerCase:
    the_facts_say_what_survives_and_what_to_change in Smoke,
    asking_for_facts_changes_nothing,
);

/// Proves B6, B90. Case R06.
async fn the_facts_say_what_survives_and_what_to_change(case: BrokerCase) {
    let facts = case.broker.facts().await.unwrap();
    assert_told(&facts, case.broker.info().capabilities.durability);
    if let Some(secret) = case.secret() {
        assert!(!format!("{facts:?}").contains(&secret), "a secret is told");
    }
}

/// Proves B90.
async fn asking_for_facts_changes_nothing(case: BrokerCase) {
    let id = case.publish(case.message("stays")).await;
    let client = case.second_client().await;
    client.facts().await.unwrap();
    case.broker.facts().await.unwrap();
    let mut consumer = case.consumer().await;
    let deliveries = case.take(consumer.as_mut(), 1).await;
    assert_eq!(ids(&deliveries), [id]);
    case.ack(&deliveries).await;
    case.assert_drained(consumer.as_mut()).await;
}
