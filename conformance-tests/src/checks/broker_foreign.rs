//! What others put into a broker: queue names, properties, messages and settings that are not ours.

use std::collections::HashSet;
use std::fmt::Debug;
use std::time::Duration;

use bananas_core::{
    Bucket, ConsumerSpec, DEAD_REASON_PROPERTY, ErrorKind, JobId, QueueName, QueueSpec, Receipt,
    Settled, Settlement, Status,
};

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::patience::DEADLINE;

checks!(BrokerCase:
    queues_with_similar_names_are_different_queues,
    properties_with_names_of_a_server_have_no_effect,
    a_dead_message_shows_why_and_not_what_it_says_itself if Admin,
    a_message_of_another_program_does_not_stop_the_queue with Plant,
    a_queue_made_with_other_settings_is_a_conflict with Conflict,
    an_acked_message_leaves_nothing_behind with Messages,
    no_text_shows_a_password with Secret in Smoke,
);

fn dead(reason: &str) -> Settlement {
    Settlement::DeadLetter {
        reason: reason.to_owned(),
        message: None,
    }
}

/// Proves B12. Case A07.
async fn queues_with_similar_names_are_different_queues(mut case: BrokerCase) {
    let long = "q".repeat(127);
    let (one, other) = (format!("{long}1"), format!("{long}2"));
    let names = [
        "a.b", "a-b", "a_b", "a:b", "A.b", "A.B", "ab", "a.b.c", "a:b:c", "a.b:dead", "a.b.dead",
        "0", "-", ".", "_", ":", &one, &other,
    ];
    let mut published = Vec::new();
    for name in names {
        let queue = QueueName::new(name).unwrap();
        let specs = [QueueSpec::new(queue.clone())];
        match case.broker.ensure(&specs).await {
            Ok(()) => {
                case.queue = queue;
                published.push((case.queue.clone(), case.publish(case.message("here")).await));
            }
            Err(e) => assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{name}: {e}"),
        }
    }
    assert!(published.len() > 2, "hardly a name is good enough for it");
    for (queue, id) in published {
        case.queue = queue;
        let mut consumer = case.consumer().await;
        let delivery = case.one(consumer.as_mut()).await;
        assert_eq!(
            (&delivery.queue, delivery.message.id),
            (&case.queue, Some(id))
        );
        case.ack(&[delivery]).await;
        case.assert_drained(consumer.as_mut()).await;
    }
}

/// Proves B1, B9. Case R05.
async fn properties_with_names_of_a_server_have_no_effect(case: BrokerCase) {
    let mut consumer = case.consumer().await;
    for (name, value) in [
        ("Nats-Msg-Id", "the same"),
        ("Nats-Expected-Last-Msg-Id", "another"),
        ("Nats-Rollup", "all"),
        ("Nats-TTL", "1s"),
        ("Nats-Schedule", "@at 2999-01-01T00:00:00Z"),
        ("x-delay", "600000"),
        ("x-death", "50"),
        ("expiration", "1"),
        ("priority", "100"),
        ("delivery_count", "7"),
        ("AWSTraceHeader", "Root=1-5759e988-bd862e3fe1be46a994272793"),
        ("DelaySeconds", "600"),
        ("body", "another body"),
        ("id", "another id"),
    ] {
        let mut published = HashSet::new();
        let mut refused = 0;
        for _ in 0..2 {
            let mut message = case.message("with a name of a server");
            message.properties.push((name.to_owned(), value.into()));
            match case.answer(message).await {
                Ok(answer) => assert!(!answer.duplicate && published.insert(answer.id.unwrap())),
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{name}: {e}");
                    refused += 1;
                }
            }
        }
        assert!(refused == 0 || refused == 2, "{name} is refused sometimes");
        let taken = case.take(consumer.as_mut(), published.len()).await;
        for delivery in &taken {
            let came = delivery.message.property(name).map(|came| &came[..]);
            assert_eq!(came, Some(value.as_bytes()), "{name}");
            assert_eq!(&delivery.message.body[..], b"with a name of a server");
            assert!(delivery.count.known() <= 1, "{name}");
        }
        case.ack(&taken).await;
        let came: HashSet<JobId> = ids(&taken).into_iter().collect();
        assert_eq!(came, published, "{name}");
    }
    case.assert_drained(consumer.as_mut()).await;
}

/// Proves B9, B43. Cases H01, R05.
async fn a_dead_message_shows_why_and_not_what_it_says_itself(case: BrokerCase) {
    let mut message = case.message("bad");
    let lie = (DEAD_REASON_PROPERTY.to_owned(), "a lie".into());
    message.properties.push(lie);
    let id = case.publish(message).await;
    let delivery = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(delivery.message.id, Some(id));
    assert_eq!(
        case.settle(&delivery, dead("the truth")).await,
        Settled::Done
    );
    let peeked = case.admin().peek(&case.queue, Bucket::Dead, 10).await;
    let shown = peeked.unwrap().remove(0);
    let reasons = shown
        .properties
        .iter()
        .filter(|(n, _)| n == DEAD_REASON_PROPERTY);
    let reasons: Vec<&[u8]> = reasons.map(|(_, value)| &value[..]).collect();
    assert_eq!(reasons, [b"the truth"]);
}

/// Proves B1, B7, B43. Case H06.
async fn a_message_of_another_program_does_not_stop_the_queue(case: BrokerCase) {
    let probe = case.probe().unwrap();
    let garbage: Vec<u8> = (0..=255).rev().collect();
    let planted = probe.plant(&case.queue, garbage.clone().into()).await;
    planted.unwrap();
    let ours = case.publish(case.message("ours")).await;
    let mut consumer = case.consumer().await;
    let taken = case.take(consumer.as_mut(), 2).await;
    let (known, planted): (Vec<_>, Vec<_>) = taken
        .into_iter()
        .partition(|delivery| delivery.message.id == Some(ours));
    assert_eq!((known.len(), planted.len()), (1, 1));
    assert_eq!(planted[0].message.id, None);
    assert_eq!(&planted[0].message.body[..], garbage);
    let settled = case.settle(&planted[0], dead("it is no job")).await;
    assert_eq!(settled, Settled::Done);
    case.ack(&known).await;
    case.assert_drained(consumer.as_mut()).await;
    if let Some(admin) = case.broker.admin() {
        let dead = admin.peek(&case.queue, Bucket::Dead, 10).await.unwrap();
        assert_eq!(dead.len(), 1);
        assert_eq!((dead[0].id, &dead[0].body[..]), (None, &garbage[..]));
    }
}

/// Proves B11. Case Q05.
async fn a_queue_made_with_other_settings_is_a_conflict(case: BrokerCase) {
    let probe = case.probe().unwrap();
    let other = QueueName::new("messages.made.by.others").unwrap();
    probe.make_conflicting(&other).await.unwrap();
    let specs = [QueueSpec::new(other.clone())];
    for _ in 0..2 {
        let error = case.broker.ensure(&specs).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (ErrorKind::Conflict, Status::Permanent),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains(other.as_str()), "which queue? {text}");
    }
    let id = case.publish(case.message("still usable")).await;
    let delivery = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(delivery.message.id, Some(id));
    case.ack(&[delivery]).await;
}

/// Proves B40. Case D01.
async fn an_acked_message_leaves_nothing_behind(case: BrokerCase) {
    let probe = case.probe().unwrap();
    case.publish_all(case.messages(100)).await;
    assert_eq!(probe.messages(&case.queue).await.unwrap(), 100);
    let mut consumer = case.consumer().await;
    let taken = case.take(consumer.as_mut(), 100).await;
    case.ack(&taken).await;
    assert_eq!(probe.messages(&case.queue).await.unwrap(), 0);
}

/// Proves B6. Case R03.
async fn no_text_shows_a_password(case: BrokerCase) {
    let secret = case.secret().unwrap();
    let debug = |thing: &dyn Debug| format!("{thing:?} {thing:#?}");
    case.publish(case.message("body")).await;
    let mut consumer = case.consumer().await;
    let delivery = case.one(consumer.as_mut()).await;
    let info = case.broker.info();
    let mut texts = vec![
        info.url.clone(),
        debug(info),
        debug(&case.broker),
        debug(&consumer),
        debug(&delivery),
    ];
    texts.extend(case.broker.admin().map(|admin| debug(&admin)));
    let missing = ConsumerSpec::new(QueueName::new("never.ensured").unwrap());
    let mut wrong = ConsumerSpec::new(case.queue.clone());
    wrong.lease = Duration::ZERO;
    let foreign = Receipt::new(&b"no receipt of this broker"[..]);
    let mut errors = vec![
        case.broker.consume(missing).await.unwrap_err(),
        case.broker.consume(wrong).await.unwrap_err(),
        case.try_settle(&foreign, Settlement::Ack)
            .await
            .unwrap_err(),
    ];
    case.broker.close(DEADLINE).await.unwrap();
    errors.push(case.answer(case.message("late")).await.unwrap_err());
    for error in &errors {
        texts.extend([error.to_string(), debug(error)]);
    }
    for text in texts {
        assert!(!text.contains(&secret), "a text shows the password: {text}");
    }
}
