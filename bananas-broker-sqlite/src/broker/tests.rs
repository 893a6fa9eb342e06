//! The clauses of the broker, on one file opened by several engines.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Broker, BrokerAdmin, Bucket, Consumer, ConsumerSpec, Count, DEAD_REASON_PROPERTY, Delivery,
    DeliveryCount, Env, ErrorKind, JobId, Priority, Publish, QueueName, QueueSpec, RawMessage,
    Receipt, Settle, Settled, Settlement,
};
use bytes::Bytes;
use futures::future;

use crate::testing::{PATIENCE, Place, mail, soon};

const LEASE: Duration = Duration::from_secs(15);

struct Bench {
    place: Place,
    broker: Arc<dyn Broker>,
}

impl Bench {
    async fn new() -> Self {
        let place = Place::new();
        let broker = place.open().await.broker();
        broker.ensure(&[QueueSpec::new(mail())]).await.unwrap();
        broker.ensure(&[QueueSpec::new(mail())]).await.unwrap();
        Self { place, broker }
    }

    fn message(&self, body: &'static str) -> RawMessage {
        let env: &dyn Env = &*self.place.env;
        RawMessage::new(env.job_id(), Bytes::from(body))
    }

    async fn publish(&self, message: RawMessage) -> JobId {
        let id = message.id.unwrap();
        let publish = Publish {
            queue: mail(),
            message,
        };
        let published = self.broker.publish(vec![publish]).await.remove(0).unwrap();
        assert_eq!((published.id, published.duplicate), (Some(id), false));
        id
    }

    async fn consumer(&self, credit: u32) -> Box<dyn Consumer> {
        let mut spec = ConsumerSpec::new(mail());
        spec.credit = credit;
        self.broker.consume(spec).await.unwrap()
    }

    async fn settle(&self, receipt: &Receipt, settlement: Settlement) -> Settled {
        let settle = Settle {
            receipt: receipt.clone(),
            settlement,
        };
        self.broker.settle(vec![settle]).await.remove(0).unwrap()
    }

    fn admin(&self) -> &dyn BrokerAdmin {
        self.broker.admin().unwrap()
    }

    async fn depth(&self) -> [Count; 4] {
        let depth = self.admin().depth(&[mail()]).await.unwrap().remove(0);
        [depth.ready, depth.in_flight, depth.delayed, depth.dead]
    }
}

async fn now(consumer: &mut Box<dyn Consumer>, max: usize) -> Vec<Delivery> {
    consumer.reserve(max, Duration::ZERO).await.unwrap()
}

fn exactly(numbers: [u64; 4]) -> [Count; 4] {
    numbers.map(Count::Exact)
}

#[tokio::test]
async fn a_message_comes_back_as_it_was_published() {
    let bench = Bench::new().await;
    let mut message = bench.message("");
    message.body = (0..=255_u8).collect::<Vec<_>>().into();
    message.properties = vec![
        ("n".to_owned(), Bytes::from_static(&[0, 255])),
        ("t".to_owned(), Bytes::from_static(b"text")),
    ];
    message.priority = Priority::MAX;
    message.key = Some("k".to_owned());
    bench.publish(message.clone()).await;
    let mut foreign = message.clone();
    foreign.id = None;
    let publish = Publish {
        queue: mail(),
        message: foreign.clone(),
    };
    bench.broker.publish(vec![publish]).await.remove(0).unwrap();
    let mut consumer = bench.consumer(9).await;
    let got = now(&mut consumer, 9).await;
    assert_eq!(got[0].message, message);
    assert_eq!(got[1].message, foreign);
    assert_eq!(got[0].count, DeliveryCount::Exact(1));
    assert_ne!(got[0].receipt, got[1].receipt);
}

#[tokio::test]
async fn unknown_queues_and_large_bodies_are_refused_alone() {
    let bench = Bench::new().await;
    let nowhere = QueueName::new("nowhere").unwrap();
    let mut large = bench.message("");
    large.body = vec![0; crate::engine::MAX_VALUE + 1].into();
    let to = |queue: &QueueName, message| Publish {
        queue: queue.clone(),
        message,
    };
    let batch = vec![
        to(&nowhere, bench.message("a")),
        to(&mail(), large),
        to(&mail(), bench.message("b")),
    ];
    let answers = bench.broker.publish(batch).await;
    assert_eq!(answers[0].as_ref().unwrap_err().kind(), ErrorKind::NotFound);
    let too_large = answers[1].as_ref().unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::TooLarge);
    assert!(too_large.to_string().contains("67108865"), "{too_large}");
    assert!(answers[2].is_ok());
    let error = bench
        .broker
        .consume(ConsumerSpec::new(nowhere))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let mut spec = ConsumerSpec::new(mail());
    spec.lease = Duration::from_secs(3600 * 24 * 365);
    let error = bench.broker.consume(spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn higher_priorities_come_first_and_delays_hold() {
    let bench = Bench::new().await;
    let mut low = bench.message("low");
    low.priority = Priority::MIN;
    let mut later = bench.message("later");
    later.not_before = Some(bench.place.env.now() + Duration::from_secs(5));
    later.priority = Priority::MAX;
    for message in [low, later, bench.message("default")] {
        bench.publish(message).await;
    }
    assert_eq!(bench.depth().await, exactly([2, 0, 1, 0]));
    let mut consumer = bench.consumer(9).await;
    let bodies: Vec<Bytes> = now(&mut consumer, 9)
        .await
        .into_iter()
        .map(|d| d.message.body)
        .collect();
    assert_eq!(bodies, ["default", "low"]);
    assert!(now(&mut consumer, 9).await.is_empty());
    bench.place.advance(Duration::from_secs(5));
    assert_eq!(now(&mut consumer, 9).await[0].message.body, "later");
}

#[tokio::test]
async fn each_settlement_does_what_it_says_and_only_once() {
    let bench = Bench::new().await;
    for body in ["ack", "retry", "release", "dead"] {
        bench.publish(bench.message(body)).await;
    }
    let mut consumer = bench.consumer(9).await;
    let got = now(&mut consumer, 9).await;
    let settlements = [
        Settlement::Ack,
        Settlement::Retry {
            delay: Duration::from_secs(1),
            message: Box::new(bench.message("again")),
        },
        Settlement::Release {
            delay: Duration::from_secs(1),
        },
        Settlement::DeadLetter {
            reason: "no".to_owned(),
            message: None,
        },
    ];
    for (delivery, settlement) in got.iter().zip(settlements) {
        let done = bench.settle(&delivery.receipt, settlement).await;
        assert_eq!(done, Settled::Done);
        let twice = bench.settle(&delivery.receipt, Settlement::Ack).await;
        assert_eq!(twice, Settled::Already);
    }
    assert_eq!(bench.depth().await, exactly([0, 0, 2, 1]));
    bench.place.advance(Duration::from_secs(1));
    let again = now(&mut consumer, 9).await;
    let seen: HashSet<(Bytes, u32)> = again
        .iter()
        .map(|d| (d.message.body.clone(), d.count.known()))
        .collect();
    let expected = HashSet::from([(Bytes::from("again"), 1), (Bytes::from("release"), 2)]);
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_lapsed_lease_goes_to_another_and_the_old_receipt_is_void() {
    let bench = Bench::new().await;
    bench.publish(bench.message("x")).await;
    let (mut one, mut two) = (bench.consumer(9).await, bench.consumer(9).await);
    let first = now(&mut one, 9).await.remove(0);
    bench.place.advance(LEASE - Duration::from_millis(1));
    assert!(
        now(&mut two, 9).await.is_empty(),
        "not before the end of the lease"
    );
    bench
        .place
        .env
        .set_wall_clock(bench.place.env.now() + Duration::from_secs(3600));
    assert!(
        now(&mut two, 9).await.is_empty(),
        "the wall clock does not count"
    );
    bench.place.advance(Duration::from_millis(1));
    assert_eq!(bench.depth().await, exactly([1, 0, 0, 0]));
    let second = now(&mut two, 9).await.remove(0);
    assert_eq!(second.count, DeliveryCount::Exact(2));
    assert_eq!(
        bench.settle(&first.receipt, Settlement::Ack).await,
        Settled::LeaseLost
    );
    let extended = bench
        .broker
        .extend(&[first.receipt, second.receipt.clone()], LEASE)
        .await;
    assert_eq!(
        extended[0].as_ref().unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert!(extended[1].is_ok());
    assert_eq!(
        bench.settle(&second.receipt, Settlement::Ack).await,
        Settled::Done
    );
}

#[tokio::test]
async fn an_extended_lease_lasts_and_one_of_another_boot_does_not() {
    let bench = Bench::new().await;
    bench.publish(bench.message("x")).await;
    let mut one = bench.consumer(9).await;
    let delivery = now(&mut one, 9).await.remove(0);
    for _ in 0..4 {
        bench.place.advance(Duration::from_secs(10));
        let extended = bench
            .broker
            .extend(std::slice::from_ref(&delivery.receipt), LEASE)
            .await;
        assert_eq!(
            extended[0].as_ref().unwrap().until,
            bench.place.env.monotonic() + LEASE
        );
    }
    assert!(now(&mut bench.consumer(9).await, 9).await.is_empty());
    bench.place.boot.reboot();
    assert_eq!(now(&mut bench.consumer(9).await, 9).await.len(), 1);
}

#[tokio::test]
async fn the_credit_bounds_what_is_in_our_hands() {
    let bench = Bench::new().await;
    for _ in 0..5 {
        bench.publish(bench.message("x")).await;
    }
    let mut consumer = bench.consumer(2).await;
    let got = now(&mut consumer, 9).await;
    assert_eq!(got.len(), 2);
    assert!(now(&mut consumer, 9).await.is_empty());
    bench.settle(&got[0].receipt, Settlement::Ack).await;
    assert_eq!(now(&mut consumer, 9).await.len(), 1);
}

#[tokio::test]
async fn a_waiting_consumer_wakes_when_another_engine_publishes() {
    let bench = Bench::new().await;
    let there = bench.place.open().await.broker();
    let mut consumer = bench.consumer(9).await;
    let publish = Publish {
        queue: mail(),
        message: bench.message("x"),
    };
    let (reserved, published) = soon(future::join(
        consumer.reserve(9, PATIENCE),
        there.publish(vec![publish]),
    ))
    .await;
    assert!(published[0].is_ok());
    assert_eq!(reserved.unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_dropped_reserve_has_taken_comes_next_or_goes_back() {
    let bench = Bench::new().await;
    bench.publish(bench.message("x")).await;
    let mut consumer = bench.consumer(9).await;
    {
        let mut future = consumer.reserve(9, PATIENCE);
        // The first answer is that of the look, the second that of the writer.
        for _ in 0..2 {
            let polled = futures::poll!(&mut future);
            assert!(polled.is_pending());
            tokio::task::yield_now().await;
        }
    }
    let mut next = consumer.reserve(9, PATIENCE).await.unwrap();
    assert_eq!(next.remove(0).count, DeliveryCount::Exact(1));
    consumer.stop().await.unwrap();
    consumer.stop().await.unwrap();
    assert!(now(&mut consumer, 9).await.is_empty());
}

#[tokio::test]
async fn receipts_of_other_brokers_are_refused() {
    let (bench, other) = (Bench::new().await, Bench::new().await);
    other.place.env.random();
    other.publish(other.message("x")).await;
    let foreign = Settle {
        receipt: Receipt::new("amqp"),
        settlement: Settlement::Ack,
    };
    let error = bench
        .broker
        .settle(vec![foreign])
        .await
        .remove(0)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn people_peek_purge_redrive_and_delete() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for body in ["a", "b", "c"] {
        ids.push(bench.publish(bench.message(body)).await);
    }
    let mut consumer = bench.consumer(9).await;
    for delivery in now(&mut consumer, 9).await {
        let dead = Settlement::DeadLetter {
            reason: "no".to_owned(),
            message: None,
        };
        bench.settle(&delivery.receipt, dead).await;
    }
    let admin = bench.admin();
    let dead = admin.peek(&mail(), Bucket::Dead, 2).await.unwrap();
    assert_eq!(
        dead.iter().map(|m| m.id.unwrap()).collect::<Vec<_>>(),
        ids[..2]
    );
    assert_eq!(dead[0].property(DEAD_REASON_PROPERTY).unwrap(), "no");
    assert_eq!(admin.redrive(&mail(), Some(&ids[..1])).await.unwrap(), 1);
    assert_eq!(admin.redrive(&mail(), None).await.unwrap(), 2);
    assert_eq!(
        now(&mut consumer, 1).await[0].count,
        DeliveryCount::Exact(1)
    );
    assert_eq!(admin.purge(&mail(), Bucket::Ready).await.unwrap(), 2);
    assert_eq!(admin.queues().await.unwrap(), [mail()]);
    let incarnation = admin.depth(&[mail()]).await.unwrap().remove(0).incarnation;
    admin.delete(&mail()).await.unwrap();
    assert_eq!(admin.depth(&[mail()]).await.unwrap(), []);
    bench
        .broker
        .ensure(&[QueueSpec::new(mail())])
        .await
        .unwrap();
    let depth = admin.depth(&[mail()]).await.unwrap().remove(0);
    assert_ne!(
        depth.incarnation, incarnation,
        "its data were lost, and one can see it"
    );
    assert_eq!(bench.depth().await, exactly([0; 4]));
}

#[tokio::test]
async fn a_closed_broker_says_so() {
    let bench = Bench::new().await;
    bench.broker.close(PATIENCE).await.unwrap();
    bench.broker.close(PATIENCE).await.unwrap();
    let publish = Publish {
        queue: mail(),
        message: bench.message("x"),
    };
    let error = bench
        .broker
        .publish(vec![publish])
        .await
        .remove(0)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn no_statement_of_the_daily_path_scans_the_messages() {
    let bench = Bench::new().await;
    let file = rusqlite::Connection::open(bench.place.config().path).unwrap();
    let groups: [&[&str]; 4] = [
        &super::admin::STATEMENTS,
        &super::reserve::STATEMENTS,
        &super::settle::STATEMENTS,
        &super::queues::STATEMENTS,
    ];
    for sql in groups.into_iter().flatten() {
        let mut plan = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = plan.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(3).unwrap();
            let is_small = ["SCAN queues", "SCAN (subquery", "CONSTANT"]
                .iter()
                .any(|small| step.contains(small));
            assert!(is_small || !step.contains("SCAN"), "{sql}\n{step}");
        }
    }
}
