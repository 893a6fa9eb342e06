//! What the facts do with messages.

use std::time::Duration;

use bananas_broker_amqp::AmqpBroker;
use bananas_core::{
    Broker, Consumer, ConsumerSpec, Delivery, Publish, QueueName, QueueSpec, RawMessage, Result,
    Settle, Settled, Settlement,
};
use bytes::Bytes;

/// How long a delivery may take.
const WAIT: Duration = Duration::from_secs(20);

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// A message goes in and comes out again.
pub(crate) async fn works(broker: &AmqpBroker) {
    let queue = queue("mail");
    broker
        .ensure(&[QueueSpec::new(queue.clone())])
        .await
        .unwrap();
    publish(
        broker,
        &queue,
        RawMessage::without_id(Bytes::from_static(b"a letter")),
    )
    .await
    .unwrap();
    let mut consumer = consumer(broker, &queue).await;
    let delivery = next(&mut *consumer).await;
    assert_eq!(delivery.message.body, b"a letter".as_slice());
    settle(broker, delivery, Settlement::Ack).await;
}

pub(crate) async fn publish(
    broker: &AmqpBroker,
    queue: &QueueName,
    message: RawMessage,
) -> Result<()> {
    let queue = queue.clone();
    let mut published = broker.publish(vec![Publish { queue, message }]).await;
    published.pop().unwrap().map(drop)
}

pub(crate) async fn consumer(broker: &AmqpBroker, queue: &QueueName) -> Box<dyn Consumer> {
    let spec = ConsumerSpec::new(queue.clone());
    broker.consume(spec).await.unwrap()
}

pub(crate) async fn next(consumer: &mut dyn Consumer) -> Delivery {
    let mut deliveries = consumer.reserve(1, WAIT).await.unwrap();
    deliveries.pop().unwrap()
}

pub(crate) async fn settle(broker: &AmqpBroker, delivery: Delivery, settlement: Settlement) {
    let receipt = delivery.receipt;
    let mut settled = broker
        .settle(vec![Settle {
            receipt,
            settlement,
        }])
        .await;
    assert_eq!(settled.pop().unwrap().unwrap(), Settled::Done);
}
