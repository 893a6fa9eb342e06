//! Messages that wait for their time: long, many at once, by priority, and on clocks that jump.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{JobId, Priority, Settled, Settlement};

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::gate::LONG_DELAY;
use crate::jumping_env::JumpingEnv;
use crate::patience::{DEADLINE, Patience};

checks!(BrokerCase:
    a_delay_of_901_seconds_is_accepted if LongDelay,
    a_message_comes_after_901_seconds if LongDelay in Long,
    ten_thousand_messages_that_are_due_at_once_all_come if Delay,
    a_message_that_is_due_competes_at_its_priority if DelayAndPriorities,
    a_clock_that_jumps_makes_nothing_due if RemoteLongDelay with Clock,
);

const DELAY: Duration = Duration::from_millis(700);
const QUARTER_HOUR: Duration = Duration::from_secs(901);

/// In seconds.
const HOUR: i64 = 3_600;

/// Proves B25. Case G04.
async fn a_delay_of_901_seconds_is_accepted(case: BrokerCase) {
    let mut message = case.message("later");
    message.not_before = Some(case.env.now() + QUARTER_HOUR);
    case.publish(message).await;
    if case.broker.admin().is_some() {
        let delayed = case.depth().await.delayed.value();
        assert!(delayed.is_none_or(|count| count == 1), "{delayed:?}");
    }
    case.assert_drained(case.consumer().await.as_mut()).await;
}

/// Proves B25. Case G04.
async fn a_message_comes_after_901_seconds(case: BrokerCase) {
    let mut message = case.message("later");
    let not_before = case.env.now() + QUARTER_HOUR;
    message.not_before = Some(not_before);
    let id = case.publish(message).await;
    let mut consumer = case.consumer().await;
    let patience = Patience::new(&case.env);
    loop {
        let taken = consumer.reserve(1, Duration::from_secs(10)).await.unwrap();
        if !taken.is_empty() {
            assert_eq!(ids(&taken), [id]);
            assert!(case.env.now() >= not_before, "it was delivered too early");
            return case.ack(&taken).await;
        }
        assert!(patience.spent() < QUARTER_HOUR + DEADLINE, "it is overdue");
    }
}

/// Proves B25. Case G09.
async fn ten_thousand_messages_that_are_due_at_once_all_come(case: BrokerCase) {
    let not_before = case.env.now() + Duration::from_secs(4);
    let mut messages = case.messages(case.at_most(10_000));
    for message in &mut messages {
        message.not_before = Some(not_before);
    }
    let published: HashSet<JobId> = case.publish_all(messages).await.into_iter().collect();
    let mut consumer = case.consumer().await;
    let mut came = HashSet::new();
    let patience = Patience::new(&case.env);
    while came.len() < published.len() {
        let taken = consumer.reserve(1_000, Duration::from_millis(100)).await;
        let taken = taken.unwrap();
        let early = !taken.is_empty() && case.env.now() < not_before;
        assert!(!early, "it was delivered too early");
        case.ack(&taken).await;
        for id in ids(&taken) {
            assert!(came.insert(id), "message {id} came twice");
        }
        patience.check(&format!("{} of the messages came", came.len()));
    }
    assert_eq!(came, published);
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B25, B73. Case G11.
async fn a_message_that_is_due_competes_at_its_priority(case: BrokerCase) {
    let mut urgent = case.message("urgent");
    urgent.priority = Priority::MAX;
    urgent.not_before = Some(case.env.now() + DELAY);
    let urgent = case.publish(urgent).await;
    case.publish_all(case.messages(5)).await;
    let mut consumer = case.consumer().await;
    let patience = Patience::new(&case.env);
    let mut times = 0;
    // From the first time that it came it is ready again at once, and must be the first each time.
    while times < 5 {
        let next = case.one(consumer.as_mut()).await;
        match next.message.id == Some(urgent) {
            true => times += 1,
            false => assert_eq!(times, 0, "a message of lower priority came before it"),
        }
        let delay = Duration::ZERO;
        let settled = case.settle(&next, Settlement::Release { delay }).await;
        assert_eq!(settled, Settled::Done);
        patience.check("the message that is due came");
    }
}

/// Proves B25, B41, B42. Case G12.
async fn a_clock_that_jumps_makes_nothing_due(mut case: BrokerCase) {
    let env = JumpingEnv::around(&case.env);
    let jumping = Arc::<JumpingEnv>::clone(&env);
    case.broker = case.client_with(jumping).await;
    let mut consumer = case.consumer().await;
    let mut message = case.message("later");
    message.not_before = Some(case.env.now() + LONG_DELAY);
    case.publish(message).await;
    case.publish_all(case.messages(2)).await;
    let taken = case.take(consumer.as_mut(), 2).await;
    let delay = LONG_DELAY;
    let retry = Settlement::Retry {
        delay,
        message: Box::new(taken[0].message.clone()),
    };
    for (delivery, settlement) in taken.iter().zip([retry, Settlement::Release { delay }]) {
        assert_eq!(case.settle(delivery, settlement).await, Settled::Done);
    }
    for off in [HOUR, -HOUR] {
        env.be_off_by(off);
        case.assert_drained(consumer.as_mut()).await;
    }
}
