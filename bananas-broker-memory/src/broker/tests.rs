//! The broker's clauses, one by one, under a clock that the tests move.

use std::time::Duration;

use bananas_core::{
    BrokerAdmin, Bucket, Consumer, ConsumerSpec, DEAD_REASON_PROPERTY, Delivery, DeliveryCount,
    Env, ErrorKind, JobId, Priority, Publish, QueueSpec, RawMessage, Receipt, Settle, Settled,
    Settlement,
};
use bytes::Bytes;

use crate::rig::{LEASE, NOW, Rig, id, queue, soon};

const MINUTE: Duration = Duration::from_secs(60);

fn message(n: u64) -> RawMessage {
    RawMessage::new(id(n), Bytes::from(n.to_string()))
}

async fn rig() -> Rig {
    let rig = Rig::new();
    rig.broker.ensure(&[QueueSpec::new(queue())]).await.unwrap();
    rig
}

async fn publish(rig: &Rig, messages: impl IntoIterator<Item = RawMessage>) {
    let publish = |message| Publish {
        queue: queue(),
        message,
    };
    let batch = messages.into_iter().map(publish).collect();
    for answer in rig.broker.publish(batch).await {
        answer.unwrap();
    }
}

async fn consumer(rig: &Rig) -> Box<dyn Consumer> {
    let mut spec = ConsumerSpec::new(queue());
    spec.lease = LEASE;
    rig.broker.consume(spec).await.unwrap()
}

async fn reserve(consumer: &mut Box<dyn Consumer>) -> Vec<Delivery> {
    consumer.reserve(100, NOW).await.unwrap()
}

async fn settle(rig: &Rig, delivery: &Delivery, settlement: Settlement) -> Settled {
    let receipt = delivery.receipt.clone();
    let batch = vec![Settle {
        receipt,
        settlement,
    }];
    rig.broker.settle(batch).await.remove(0).unwrap()
}

fn ids(deliveries: &[Delivery]) -> Vec<JobId> {
    deliveries.iter().filter_map(|d| d.message.id).collect()
}

fn admin(rig: &Rig) -> &dyn BrokerAdmin {
    rig.broker.admin().unwrap()
}

/// Ready, in flight, delayed, dead.
async fn depth(rig: &Rig) -> [u64; 4] {
    let depth = admin(rig).depth(&[queue()]).await.unwrap().remove(0);
    [depth.ready, depth.in_flight, depth.delayed, depth.dead].map(|n| n.value().unwrap())
}

#[tokio::test]
async fn messages_come_byte_for_byte_by_priority_and_in_order() {
    let rig = rig().await;
    let mut urgent = message(3);
    urgent.priority = Priority::MAX;
    urgent.properties = vec![("x".to_owned(), Bytes::from_static(b"\xff\0"))];
    publish(&rig, [message(1), message(2), urgent.clone()]).await;
    let deliveries = reserve(&mut consumer(&rig).await).await;
    assert_eq!(ids(&deliveries), [id(3), id(1), id(2)]);
    assert_eq!(deliveries[0].message, urgent);
    assert_eq!(deliveries[0].count, DeliveryCount::Exact(1));
}

#[tokio::test]
async fn an_unknown_queue_is_not_found_and_takes_no_other_message_with_it() {
    let rig = rig().await;
    let batch = ["nowhere", "mail"].map(|name| Publish {
        queue: name.parse().unwrap(),
        message: message(1),
    });
    let answers = rig.broker.publish(batch.to_vec()).await;
    assert_eq!(answers[0].as_ref().unwrap_err().kind(), ErrorKind::NotFound);
    assert!(answers[1].is_ok());
    let spec = ConsumerSpec::new("nowhere".parse().unwrap());
    let error = rig.broker.consume(spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let mut spec = ConsumerSpec::new(queue());
    spec.lease = Duration::from_millis(1);
    let error = rig.broker.consume(spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn delays_are_exact_and_a_waiting_consumer_is_woken_by_them() {
    let rig = rig().await;
    let mut later = message(1);
    later.not_before = Some(rig.now() + Duration::from_secs(10));
    publish(&rig, [later]).await;
    let mut consumer = consumer(&rig).await;
    rig.env.advance(Duration::from_micros(9_999_999));
    assert_eq!(ids(&reserve(&mut consumer).await), []);
    assert_eq!(depth(&rig).await, [0, 0, 1, 0]);
    let (deliveries, ()) = soon(async {
        tokio::join!(consumer.reserve(1, MINUTE), async {
            tokio::task::yield_now().await;
            rig.env.advance(Duration::from_micros(1));
        })
    })
    .await;
    assert_eq!(ids(&deliveries.unwrap()), [id(1)]);
}

#[tokio::test]
async fn a_lapsed_lease_makes_the_message_ready_and_voids_the_old_receipt() {
    let rig = rig().await;
    publish(&rig, [message(1)]).await;
    let (mut first, mut second) = (consumer(&rig).await, consumer(&rig).await);
    let lost = reserve(&mut first).await.remove(0);
    rig.pass(14);
    assert_eq!(ids(&reserve(&mut second).await), []);
    let (deliveries, ()) = soon(async {
        tokio::join!(second.reserve(1, MINUTE), async {
            tokio::task::yield_now().await;
            rig.pass(1);
        })
    })
    .await;
    let held = deliveries.unwrap().remove(0);
    assert_eq!(held.count, DeliveryCount::Exact(2));
    assert_eq!(
        settle(&rig, &lost, Settlement::Ack).await,
        Settled::LeaseLost
    );
    let extended = rig
        .broker
        .extend(&[lost.receipt, held.receipt.clone()], MINUTE)
        .await;
    assert_eq!(
        extended[0].as_ref().unwrap_err().kind(),
        ErrorKind::Conflict
    );
    let until = rig.env.monotonic() + MINUTE;
    assert_eq!(extended[1].as_ref().unwrap().until, until);
    rig.pass(59);
    assert_eq!(ids(&reserve(&mut first).await), []);
    assert_eq!(settle(&rig, &held, Settlement::Ack).await, Settled::Done);
    assert_eq!(settle(&rig, &held, Settlement::Ack).await, Settled::Already);
    assert_eq!(depth(&rig).await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_late_settlement_is_refused_even_before_anybody_else_has_the_message() {
    let rig = rig().await;
    publish(&rig, [message(1)]).await;
    let late = reserve(&mut consumer(&rig).await).await.remove(0);
    rig.pass(15);
    assert_eq!(
        settle(&rig, &late, Settlement::Ack).await,
        Settled::LeaseLost
    );
    assert_eq!(depth(&rig).await, [1, 0, 0, 0]);
}

#[tokio::test]
async fn a_release_comes_back_in_its_old_place_and_a_retry_as_its_replacement() {
    let rig = rig().await;
    publish(&rig, [message(1), message(2), message(3)]).await;
    let mut consumer = consumer(&rig).await;
    let deliveries = consumer.reserve(2, NOW).await.unwrap();
    settle(&rig, &deliveries[0], Settlement::Release { delay: NOW }).await;
    let retry = Settlement::Retry {
        delay: MINUTE,
        message: Box::new(message(20)),
    };
    settle(&rig, &deliveries[1], retry).await;
    let deliveries = reserve(&mut consumer).await;
    assert_eq!(ids(&deliveries), [id(1), id(3)]);
    assert_eq!(deliveries[0].count, DeliveryCount::Exact(2));
    rig.env.set_wall_clock(rig.now() + 10 * MINUTE);
    assert_eq!(
        ids(&reserve(&mut consumer).await),
        [],
        "a delay is no wall-clock time"
    );
    rig.pass(60);
    let retried = consumer.reserve(1, NOW).await.unwrap();
    assert_eq!(retried[0].message, message(1), "its lease has lapsed");
    let retried = consumer.reserve(9, NOW).await.unwrap();
    assert_eq!(retried.last().unwrap().message, message(20));
    assert_eq!(retried.last().unwrap().count, DeliveryCount::Exact(1));
}

#[tokio::test]
async fn dead_messages_are_shown_with_their_reason_and_come_back_once() {
    let rig = rig().await;
    publish(&rig, [message(1), message(2)]).await;
    let mut consumer = consumer(&rig).await;
    for delivery in reserve(&mut consumer).await {
        let dead = Settlement::DeadLetter {
            reason: "not a job".to_owned(),
            message: None,
        };
        assert_eq!(settle(&rig, &delivery, dead).await, Settled::Done);
    }
    assert_eq!(depth(&rig).await, [0, 0, 0, 2]);
    let shown = admin(&rig).peek(&queue(), Bucket::Dead, 1).await.unwrap();
    let reason = shown[0].property(DEAD_REASON_PROPERTY).unwrap();
    assert_eq!((shown.len(), &reason[..]), (1, &b"not a job"[..]));
    let some = [id(2), id(9)];
    assert_eq!(admin(&rig).redrive(&queue(), Some(&some)).await.unwrap(), 1);
    let deliveries = reserve(&mut consumer).await;
    assert_eq!(deliveries[0].message, message(2));
    assert_eq!(deliveries[0].count, DeliveryCount::Exact(1));
    assert_eq!(admin(&rig).purge(&queue(), Bucket::Dead).await.unwrap(), 1);
    assert_eq!(depth(&rig).await, [0, 1, 0, 0]);
}

#[tokio::test]
async fn never_are_more_deliveries_in_a_consumers_hands_than_its_credit() {
    let rig = rig().await;
    publish(&rig, (1..=5).map(message)).await;
    let mut spec = ConsumerSpec::new(queue());
    spec.credit = 2;
    let mut consumer = rig.broker.consume(spec).await.unwrap();
    let held = reserve(&mut consumer).await;
    assert_eq!(ids(&held), [id(1), id(2)]);
    assert_eq!(ids(&reserve(&mut consumer).await), []);
    let (deliveries, settled) = soon(async {
        tokio::join!(
            consumer.reserve(9, MINUTE),
            settle(&rig, &held[0], Settlement::Ack)
        )
    })
    .await;
    assert_eq!(
        (ids(&deliveries.unwrap()), settled),
        (vec![id(3)], Settled::Done)
    );
    drop(consumer);
    assert_eq!(settle(&rig, &held[1], Settlement::Ack).await, Settled::Done);
}

#[tokio::test]
async fn a_receipt_of_another_broker_is_refused_alone() {
    let rig = rig().await;
    publish(&rig, [message(1)]).await;
    let delivery = reserve(&mut consumer(&rig).await).await.remove(0);
    let receipts = [Receipt::new("alien"), delivery.receipt];
    let batch = receipts.map(|receipt| Settle {
        receipt,
        settlement: Settlement::Ack,
    });
    let answers = rig.broker.settle(batch.to_vec()).await;
    assert_eq!(
        answers[0].as_ref().unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
    assert_eq!(*answers[1].as_ref().unwrap(), Settled::Done);
}

#[tokio::test]
async fn a_close_ends_pending_calls_and_refuses_later_ones_but_keeps_the_messages() {
    let rig = rig().await;
    let mut waiting = consumer(&rig).await;
    let (reserved, closed) =
        soon(async { tokio::join!(waiting.reserve(1, MINUTE), rig.broker.close(MINUTE)) }).await;
    closed.unwrap();
    assert_eq!(reserved.unwrap_err().kind(), ErrorKind::Closed);
    let error = rig.broker.ensure(&[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    rig.broker.close(MINUTE).await.unwrap();
    let other = rig.engine.broker();
    assert_eq!(other.admin().unwrap().queues().await.unwrap(), [queue()]);
}

#[tokio::test]
async fn a_deleted_queue_is_gone_for_its_consumers_and_a_new_one_is_another_incarnation() {
    let rig = rig().await;
    publish(&rig, [message(1)]).await;
    let mut waiting = consumer(&rig).await;
    let held = reserve(&mut waiting).await.remove(0);
    let incarnation = || async { admin(&rig).depth(&[queue()]).await.unwrap() };
    let before = incarnation().await.remove(0).incarnation;
    let queue = queue();
    let (reserved, deleted) =
        soon(async { tokio::join!(waiting.reserve(1, MINUTE), admin(&rig).delete(&queue)) }).await;
    deleted.unwrap();
    assert_eq!(reserved.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(incarnation().await, []);
    assert_eq!(settle(&rig, &held, Settlement::Ack).await, Settled::Already);
    rig.broker.ensure(&[QueueSpec::new(queue)]).await.unwrap();
    assert_ne!(incarnation().await.remove(0).incarnation, before);
}

#[tokio::test]
async fn what_was_deleted_with_its_queue_uses_no_credit() {
    let rig = rig().await;
    publish(&rig, [message(1)]).await;
    let mut spec = ConsumerSpec::new(queue());
    spec.credit = 1;
    let mut consumer = rig.broker.consume(spec).await.unwrap();
    assert_eq!(reserve(&mut consumer).await.len(), 1);
    admin(&rig).delete(&queue()).await.unwrap();
    rig.broker.ensure(&[QueueSpec::new(queue())]).await.unwrap();
    publish(&rig, [message(2)]).await;
    assert_eq!(ids(&reserve(&mut consumer).await), [id(2)]);
}
