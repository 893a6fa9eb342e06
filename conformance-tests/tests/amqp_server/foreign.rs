//! Queues that another application has made, here one that uses the client library alone.

use std::time::Duration;

use bananas_core::{Broker, ErrorKind, QueueSpec, RawMessage, Settlement};
use bytes::Bytes;
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use crate::message::{consumer, next, publish, queue, settle};
use crate::server::Server;

const FOREIGN: &str = "amqp://guest:guest@127.0.0.1:PORT/%2f?topology=foreign";

/// How that application has made its queue, with settings that we would not choose.
async fn declare(server: &Server) -> (Connection, Channel) {
    let url = server.url("amqp://guest:guest@127.0.0.1:PORT/%2f");
    let connection = Connection::connect(&url, ConnectionProperties::default());
    let connection = connection.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1_000));
    let options = QueueDeclareOptions::default();
    let declared = channel.queue_declare("orders".into(), options, arguments);
    declared.await.unwrap();
    (connection, channel)
}

async fn send(channel: &Channel, body: &[u8]) {
    let mut headers = FieldTable::default();
    headers.insert("lang".into(), AMQPValue::LongString("py".into()));
    headers.insert("retries".into(), AMQPValue::LongInt(3));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_correlation_id("order-7".into())
        .with_headers(headers);
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish("".into(), "orders".into(), options, body, properties);
    sent.await.unwrap().await.unwrap();
}

fn property(message: &RawMessage, name: &str) -> Option<Bytes> {
    message.property(name).cloned()
}

fn has_what_was_sent(message: &RawMessage, body: &str) {
    assert_eq!(message.body, body.as_bytes());
    for (name, value) in [
        ("lang", "py"),
        ("retries", "3"),
        ("amqp.content_type", "application/json"),
        ("amqp.correlation_id", "order-7"),
    ] {
        let found = property(message, name);
        assert_eq!(found.as_deref(), Some(value.as_bytes()), "{name}");
    }
}

pub(crate) async fn a_queue_of_another_application_is_consumed_as_it_is(server: &Server) {
    let (_connection, channel) = declare(server).await;
    let (broker, orders) = (server.open(FOREIGN).await.unwrap(), queue("orders"));
    broker
        .ensure(&[QueueSpec::new(orders.clone())])
        .await
        .unwrap();
    send(&channel, b"{\"order\":7}").await;
    let mut consumer = consumer(&broker, &orders).await;
    let first = next(&mut *consumer).await;
    has_what_was_sent(&first.message, "{\"order\":7}");
    // It comes again as it was, by the chain that delays.
    let delay = Duration::from_secs(1);
    let message = Box::new(first.message.clone());
    settle(&broker, first, Settlement::Retry { delay, message }).await;
    let second = next(&mut *consumer).await;
    has_what_was_sent(&second.message, "{\"order\":7}");
    settle(&broker, second, Settlement::Ack).await;
    consumer.stop().await.unwrap();
    // And the other application reads what we publish, without knowing us.
    let mut answer = RawMessage::without_id(Bytes::from_static(b"{}"));
    answer.properties = vec![
        ("lang".to_owned(), Bytes::from_static(b"rs")),
        (
            "amqp.correlation_id".to_owned(),
            Bytes::from_static(b"order-7"),
        ),
    ];
    publish(&broker, &orders, answer).await.unwrap();
    let options = BasicGetOptions { no_ack: true };
    let got = channel.basic_get("orders".into(), options).await.unwrap();
    let got = got.unwrap().delivery;
    assert_eq!(got.data, b"{}");
    let correlation = got.properties.correlation_id().as_ref();
    assert_eq!(correlation.map(|it| it.as_str()), Some("order-7"));
    let headers = got.properties.headers().as_ref().unwrap();
    let lang = headers.inner().get("lang");
    assert_eq!(lang, Some(&AMQPValue::LongString("rs".into())));
}

pub(crate) async fn a_foreign_queue_that_is_not_there_is_not_made(server: &Server) {
    let broker = server.open(FOREIGN).await.unwrap();
    for _ in 0..2 {
        let ensured = broker.ensure(&[QueueSpec::new(queue("absent"))]).await;
        let refused = ensured.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused:?}");
    }
}
