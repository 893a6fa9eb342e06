//! `PriorityLanes`: one queue to its users, some queues to the broker underneath.

use std::sync::Arc;
use std::time::Duration;

use bananas_broker_memory::MemoryEngine;
use bananas_core::wrapper::{LanePlan, Lanes, PriorityLanes};
use bananas_core::{
    Broker, BrokerAdmin, Bucket, Consumer, ConsumerSpec, Delivery, Env, ErrorKind, Priority,
    Publish, QueueName, QueueSpec, RawMessage, Settle, Settled, Settlement, TokioEnv,
};

const SOON: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

/// A queue in lanes, and the broker underneath.
struct Case {
    env: Arc<dyn Env>,
    inner: Arc<dyn Broker>,
    broker: PriorityLanes,
}

fn name(text: &str) -> QueueName {
    QueueName::new(text).unwrap()
}

fn mail() -> QueueName {
    name("mail")
}

impl Case {
    async fn open(lanes: Lanes) -> Self {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let inner = MemoryEngine::new(Arc::clone(&env)).broker();
        let plan = LanePlan::new().others(lanes);
        let broker = PriorityLanes::new(Arc::clone(&inner), plan, Arc::clone(&env));
        broker.ensure(&[QueueSpec::new(mail())]).await.unwrap();
        Self { env, inner, broker }
    }

    async fn strict() -> Self {
        Self::open(Lanes::strict(3).unwrap()).await
    }

    fn message(&self, priority: u8) -> RawMessage {
        let mut message = RawMessage::new(self.env.job_id(), "body".into());
        message.priority = Priority::new(priority).unwrap();
        message
    }

    async fn publish(&self, priority: u8) {
        let publish = Publish {
            queue: mail(),
            message: self.message(priority),
        };
        self.broker.publish(vec![publish]).await.remove(0).unwrap();
    }

    async fn consumer(&self, credit: u32, lease: Duration) -> Box<dyn Consumer> {
        let mut spec = ConsumerSpec::new(mail());
        spec.credit = credit;
        spec.lease = lease;
        self.broker.consume(spec).await.unwrap()
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Settled {
        let settle = Settle {
            receipt: delivery.receipt.clone(),
            settlement,
        };
        self.broker.settle(vec![settle]).await.remove(0).unwrap()
    }

    /// How many messages are ready in a queue of the broker underneath.
    async fn ready(&self, lane: &str) -> Option<u64> {
        let depths = self.inner.admin().unwrap().depth(&[name(lane)]).await;
        depths.unwrap().first()?.ready.value()
    }

    fn admin(&self) -> &dyn BrokerAdmin {
        self.broker.admin().unwrap()
    }
}

fn retry(message: RawMessage) -> Settlement {
    Settlement::Retry {
        delay: Duration::ZERO,
        message: Box::new(message),
    }
}

#[tokio::test]
async fn each_priority_waits_in_its_lane() {
    let case = Case::strict().await;
    for priority in [0, 33, 34, 50, 67, 68, 100] {
        case.publish(priority).await;
    }
    assert_eq!(case.ready("mail:low1").await, Some(2));
    assert_eq!(case.ready("mail").await, Some(3));
    assert_eq!(case.ready("mail:high1").await, Some(2));
}

#[tokio::test]
async fn a_retry_with_another_priority_changes_lanes_and_comes_once() {
    let case = Case::strict().await;
    case.publish(50).await;
    let mut consumer = case.consumer(10, LONG).await;
    let delivery = consumer.reserve(10, LONG).await.unwrap().remove(0);
    let mut replacement = delivery.message.clone();
    replacement.priority = Priority::MAX;
    assert_eq!(
        case.settle(&delivery, retry(replacement.clone())).await,
        Settled::Done
    );
    assert_eq!(case.ready("mail:high1").await, Some(1));
    let again = case.settle(&delivery, retry(replacement.clone())).await;
    assert_ne!(again, Settled::Done);
    let taken = consumer.reserve(10, LONG).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].message, replacement);
    case.settle(&taken[0], Settlement::Ack).await;
    assert!(consumer.reserve(10, SOON).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_retry_after_the_lease_was_lost_publishes_nothing_into_the_other_lane() {
    let case = Case::strict().await;
    case.publish(50).await;
    let mut hasty = case.consumer(10, Duration::from_millis(10)).await;
    let late = hasty.reserve(10, LONG).await.unwrap().remove(0);
    let mut patient = case.consumer(10, LONG).await;
    let held = patient.reserve(10, LONG).await.unwrap().remove(0);
    let mut replacement = late.message.clone();
    replacement.priority = Priority::MAX;
    assert_eq!(
        case.settle(&late, retry(replacement)).await,
        Settled::LeaseLost
    );
    assert_eq!(case.ready("mail:high1").await, Some(0));
    assert_eq!(case.settle(&held, Settlement::Ack).await, Settled::Done);
}

#[tokio::test]
async fn lanes_by_weight_starve_none_and_strict_lanes_come_in_their_order() {
    for (lanes, last) in [
        (
            Lanes::weighted(vec![1, 3]).unwrap(),
            vec![100, 100, 50, 100],
        ),
        (Lanes::strict(2).unwrap(), vec![100; 4]),
    ] {
        let case = Case::open(lanes).await;
        for _ in 0..20 {
            case.publish(50).await;
            case.publish(100).await;
        }
        let mut consumer = case.consumer(100, LONG).await;
        let mut one_by_one = Vec::new();
        for _ in 0..4 {
            let taken = consumer.reserve(1, LONG).await.unwrap();
            one_by_one.push(taken[0].message.priority.get());
        }
        assert_eq!(one_by_one, last);
        let low_first = |delivery: &&Delivery| delivery.message.priority.get() == 50;
        let twelve = consumer.reserve(12, LONG).await.unwrap();
        let low = twelve.iter().filter(low_first).count();
        assert_eq!(low, if last.contains(&50) { 3 } else { 0 });
        let rest = consumer.reserve(100, LONG).await.unwrap();
        assert_eq!(
            rest.len(),
            24,
            "what one lane does not use is for the other"
        );
    }
}

#[tokio::test]
async fn one_credit_is_shared_by_all_lanes_and_a_settlement_in_any_frees_it() {
    let case = Case::strict().await;
    for priority in [0, 50, 100] {
        case.publish(priority).await;
    }
    let mut consumer = case.consumer(2, LONG).await;
    let taken = consumer.reserve(10, LONG).await.unwrap();
    assert_eq!(taken.len(), 2);
    assert!(consumer.reserve(10, SOON).await.unwrap().is_empty());
    let (third, _) = futures::join!(consumer.reserve(10, LONG), async {
        case.env.sleep(SOON).await;
        case.settle(&taken[1], Settlement::Ack).await
    });
    assert_eq!(third.unwrap()[0].message.priority, Priority::MIN);
}

#[tokio::test]
async fn a_lapsed_lease_gives_its_credit_back() {
    let case = Case::strict().await;
    case.publish(100).await;
    let mut consumer = case.consumer(1, Duration::from_millis(20)).await;
    consumer.reserve(1, LONG).await.unwrap().remove(0);
    let again = consumer.reserve(1, LONG).await.unwrap();
    assert_eq!(again.len(), 1);
}

#[tokio::test]
async fn a_waiting_reserve_wakes_for_every_lane() {
    let case = Case::strict().await;
    let mut consumer = case.consumer(10, LONG).await;
    for priority in [0, 50, 100] {
        let (taken, ()) = futures::join!(consumer.reserve(10, LONG), async {
            case.env.sleep(SOON).await;
            case.publish(priority).await;
        });
        let taken = taken.unwrap();
        assert_eq!(taken[0].message.priority.get(), priority);
        assert_eq!(taken[0].queue, mail());
    }
}

#[tokio::test]
async fn a_close_ends_the_wait_for_credit() {
    let case = Case::strict().await;
    case.publish(50).await;
    let mut consumer = case.consumer(1, LONG).await;
    consumer.reserve(1, LONG).await.unwrap().remove(0);
    let (waited, closed) = futures::join!(consumer.reserve(1, LONG * 2), async {
        case.env.sleep(SOON).await;
        case.broker.close(LONG).await
    });
    closed.unwrap();
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn lanes_are_shown_nowhere_and_taken_by_no_queue() {
    let case = Case::strict().await;
    assert_eq!(case.admin().queues().await.unwrap(), [mail()]);
    let lane = name("mail:high1");
    assert!(
        case.admin()
            .depth(std::slice::from_ref(&lane))
            .await
            .unwrap()
            .is_empty()
    );
    let refused = case.broker.ensure(&[QueueSpec::new(lane.clone())]).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let publish = Publish {
        queue: lane,
        message: case.message(50),
    };
    let refused = case.broker.publish(vec![publish]).await.remove(0);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let mut unknown = Publish {
        queue: name("unknown"),
        message: case.message(100),
    };
    for priority in [Priority::MIN, Priority::MAX] {
        unknown.message.priority = priority;
        let missing = case.broker.publish(vec![unknown.clone()]).await.remove(0);
        let error = missing.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.queue(), Some(&name("unknown")));
    }
}

#[tokio::test]
async fn counts_and_purges_are_of_all_lanes() {
    let case = Case::strict().await;
    for priority in [0, 50, 100] {
        case.publish(priority).await;
    }
    let depth = case.admin().depth(&[mail()]).await.unwrap().remove(0);
    assert_eq!((depth.queue, depth.ready.value()), (mail(), Some(3)));
    let seen = case.admin().peek(&mail(), Bucket::Ready, 2).await.unwrap();
    let seen: Vec<u8> = seen.iter().map(|it| it.priority.get()).collect();
    assert_eq!(seen, [100, 50], "in the order in which they come");
    assert_eq!(case.admin().purge(&mail(), Bucket::Ready).await.unwrap(), 3);
    case.admin().delete(&mail()).await.unwrap();
    assert_eq!(case.ready("mail:low1").await, None);
    assert_eq!(case.ready("mail").await, None);
}

#[tokio::test]
async fn a_lane_that_was_lost_makes_another_incarnation_of_its_queue() {
    let case = Case::strict().await;
    let incarnation = async || {
        let depth = case.admin().depth(&[mail()]).await.unwrap().remove(0);
        depth.incarnation
    };
    let before = incarnation().await;
    let inner = case.inner.admin().unwrap();
    inner.delete(&name("mail:high1")).await.unwrap();
    assert_ne!(incarnation().await, before);
    case.broker.ensure(&[QueueSpec::new(mail())]).await.unwrap();
    assert_ne!(incarnation().await, before);
    assert_eq!(incarnation().await, incarnation().await);
}

#[tokio::test]
async fn what_was_published_before_there_were_lanes_is_delivered() {
    let case = Case::strict().await;
    let message = case.message(100);
    let publish = Publish {
        queue: mail(),
        message: message.clone(),
    };
    case.inner.publish(vec![publish]).await.remove(0).unwrap();
    let taken = case.consumer(10, LONG).await.reserve(10, LONG).await;
    assert_eq!(taken.unwrap()[0].message, message);
}
