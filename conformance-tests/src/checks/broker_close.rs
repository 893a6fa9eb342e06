//! The end of a client: what it had under way, and what it leaves behind.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Broker, Bucket, ConsumerSpec, Error, ErrorKind, Fencing, JobId, Publish, QueueSpec, Settle,
    Settled, Settlement, Status,
};
use futures::future::join_all;

use crate::case::{BrokerCase, ids};
use crate::check::checks;
use crate::hand_worker::LONG_LEASE;
use crate::patience::{DEADLINE, Patience};

checks!(BrokerCase:
    a_close_ends_every_publish_under_way_and_tells_what_became_of_it,
    a_close_ends_a_long_reserve,
    every_call_after_the_close_ends_as_closed,
    messages_outlive_their_clients if Lasting,
);

/// Proves B24, B60. Case B06.
async fn a_close_ends_every_publish_under_way_and_tells_what_became_of_it(mut case: BrokerCase) {
    for round in 0..6 {
        let closing = case.second_client().await;
        let batches: Vec<Vec<Publish>> = (0..case.at_most(1_200) / 30)
            .map(|_| case.messages(5))
            .map(|some| some.into_iter().map(|one| case.to_queue(one)).collect())
            .collect();
        let id = |publish: &Publish| publish.message.id;
        let published: Vec<JobId> = batches.iter().flatten().filter_map(id).collect();
        let publishes = batches.into_iter().map(|batch| closing.publish(batch));
        let close = async {
            // At once in every other round, while nothing can have come to its end.
            if round % 2 == 1 {
                let moment = Duration::from_micros(case.env.random() % 10_000);
                case.env.sleep(moment).await;
            }
            closing.close(DEADLINE).await
        };
        let (answers, closed) = futures::join!(join_all(publishes), close);
        closed.unwrap();
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        assert_eq!(answers.len(), published.len(), "each has its answer");
        let (mut sure, mut perhaps) = (HashSet::new(), HashSet::new());
        for (id, answer) in published.into_iter().zip(answers) {
            match answer {
                Ok(answer) => assert!(sure.insert(answer.id.unwrap())),
                Err(e) if e.status() == Status::MayBeApplied => assert!(perhaps.insert(id)),
                Err(e) => assert_eq!(e.kind(), ErrorKind::Closed, "{e}"),
            }
        }
        assert_came(&mut case, sure, &perhaps).await;
    }
}

/// Checks that all that was confirmed comes, and nothing that was refused.
async fn assert_came(case: &mut BrokerCase, sure: HashSet<JobId>, perhaps: &HashSet<JobId>) {
    let mut consumer = case.consumer().await;
    let taken = case.take(consumer.as_mut(), sure.len()).await;
    case.ack(&taken).await;
    let mut came: HashSet<JobId> = ids(&taken).into_iter().collect();
    let last = case.publish(case.message("last")).await;
    while !(came.contains(&last) && came.is_superset(&sure)) {
        let more = case.one(consumer.as_mut()).await;
        came.extend(more.message.id);
        case.ack(&[more]).await;
    }
    for id in came {
        let expected = sure.contains(&id) || perhaps.contains(&id) || id == last;
        assert!(expected, "message {id} came although it was refused");
    }
    // What is perhaps there still must not disturb the next round.
    case.queue = bananas_core::QueueName::new(format!("messages.{last}")).unwrap();
    case.ensure(&case.queue).await;
}

/// Proves B2, B60. Case P03.
async fn a_close_ends_a_long_reserve(case: BrokerCase) {
    let mut consumer = case.consumer().await;
    let patience = Patience::new(&case.env);
    let close = async {
        case.env.sleep(Duration::from_millis(100)).await;
        case.broker.close(DEADLINE).await
    };
    let (reserved, closed) = futures::join!(consumer.reserve(10, DEADLINE * 3), close);
    closed.unwrap();
    match reserved {
        Ok(taken) => assert!(taken.is_empty(), "a message came that nobody published"),
        Err(e) => assert_eq!(e.kind(), ErrorKind::Closed, "{e}"),
    }
    patience.check("the reserve ends with its client");
}

/// The errors of every call that a broker has, but for those of its admin side.
async fn errors_of_all_calls(case: &BrokerCase, broker: &Arc<dyn Broker>) -> Vec<Error> {
    let mut spec = ConsumerSpec::new(case.queue.clone());
    spec.lease = spec.lease.max(broker.info().capabilities.lease.min);
    let publish = vec![case.to_queue(case.message("too late"))];
    vec![
        broker
            .ensure(&[QueueSpec::new(case.queue.clone())])
            .await
            .unwrap_err(),
        broker.publish(publish).await.remove(0).unwrap_err(),
        broker.consume(spec).await.unwrap_err(),
    ]
}

/// Proves B2, B60.
async fn every_call_after_the_close_ends_as_closed(mut case: BrokerCase) {
    let open = case.second_client().await;
    case.publish(case.message("held")).await;
    let mut consumer = case.consumer().await;
    let held = case.one(consumer.as_mut()).await;
    let closed = std::mem::replace(&mut case.broker, open);
    closed.close(DEADLINE).await.unwrap();
    let patience = Patience::new(&case.env);
    let mut errors = errors_of_all_calls(&case, &closed).await;
    errors.push(consumer.reserve(1, DEADLINE * 3).await.unwrap_err());
    let settle = vec![Settle {
        receipt: held.receipt.clone(),
        settlement: Settlement::Ack,
    }];
    errors.push(closed.settle(settle).await.remove(0).unwrap_err());
    let extended = closed.extend(&[held.receipt], LONG_LEASE).await.remove(0);
    errors.push(extended.unwrap_err());
    if let Some(admin) = closed.admin() {
        let queue = case.queue.clone();
        errors.push(admin.queues().await.unwrap_err());
        let depth = admin.depth(std::slice::from_ref(&queue)).await;
        errors.push(depth.unwrap_err());
        errors.push(admin.peek(&queue, Bucket::Ready, 1).await.unwrap_err());
        errors.push(admin.purge(&queue, Bucket::Ready).await.unwrap_err());
        errors.push(admin.redrive(&queue, None).await.unwrap_err());
        errors.push(admin.delete(&queue).await.unwrap_err());
    }
    // It has nothing to give back any more, or cannot.
    if let Err(e) = consumer.stop().await {
        errors.push(e);
    }
    patience.check("calls of a closed client end");
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
    }
    let id = case.publish(case.message("by an open client")).await;
    let mut consumer = case.consumer().await;
    let mut came = case.one(consumer.as_mut()).await;
    let fencing = case.broker.info().capabilities.fencing;
    if fencing == Fencing::Connection && came.message.id == held.message.id {
        // The lease ended with the connection.
        came = case.one(consumer.as_mut()).await;
    }
    assert_eq!(came.message.id, Some(id));
}

/// Proves B20. Case A13.
async fn messages_outlive_their_clients(mut case: BrokerCase) {
    let mut published = case.publish_all(case.messages(6)).await;
    let mut consumer = case.consumer().await;
    let taken = case.take(consumer.as_mut(), 3).await;
    case.ack(&taken[..1]).await;
    let delay = Duration::ZERO;
    let settled = case.settle(&taken[1], Settlement::Release { delay }).await;
    assert_eq!(settled, Settled::Done);
    let dead = Settlement::DeadLetter {
        reason: "it is bad".to_owned(),
        message: None,
    };
    assert_eq!(case.settle(&taken[2], dead).await, Settled::Done);
    let gone = [&taken[0], &taken[2]].map(|delivery| delivery.message.id.unwrap());
    published.retain(|id| !gone.contains(id));
    drop(consumer);
    case.broker.close(DEADLINE).await.unwrap();
    case.broker = case.second_client().await;
    let mut consumer = case.consumer().await;
    let again = case.take(consumer.as_mut(), 4).await;
    let came: HashSet<JobId> = ids(&again).into_iter().collect();
    assert_eq!(came, published.into_iter().collect());
    case.ack(&again).await;
    case.assert_drained(consumer.as_mut()).await;
    if let Some(admin) = case.broker.admin() {
        let dead = admin.peek(&case.queue, Bucket::Dead, 10).await.unwrap();
        let dead: Vec<_> = dead.iter().map(|message| message.id).collect();
        assert_eq!(dead, [taken[2].message.id]);
    }
}
