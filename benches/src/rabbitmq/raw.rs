//! [`Raw`]: lapin at its best: a window of unconfirmed publishes, prefetch, and acknowledgements of many at once, with
//! a connection for each direction. Messages are persistent and mandatory, as ours are.

use std::io;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Error, Result, ensure};
use async_rs::{Runtime, Tokio, TokioRuntime};
use bananas_broker_amqp::QueueType;
use futures::{StreamExt, stream};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::tcp::AsyncTcpStream;
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm,
};

use crate::broker::{Plan, Side};

const QUEUE: &str = "raw";

/// One queue, by lapin.
pub(super) struct Raw {
    publishing: Channel,
    consuming: Channel,
    body: Vec<u8>,
    plan: Plan,
    _connections: [Connection; 2],
}

impl Raw {
    pub(super) async fn open(url: &str, kind: QueueType, plan: Plan) -> Result<Self> {
        let connections = [connect(url).await?, connect(url).await?];
        let publishing = connections[0].create_channel().await?;
        publishing
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let consuming = connections[1].create_channel().await?;
        let mut arguments = FieldTable::default();
        let kind = match kind {
            QueueType::Quorum => "quorum",
            QueueType::Classic => {
                // As ours have: levels cost the server time.
                arguments.insert("x-max-priority".into(), AMQPValue::LongInt(10));
                "classic"
            }
        };
        let kind = AMQPValue::LongString(kind.into());
        arguments.insert("x-queue-type".into(), kind);
        consuming
            .queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments)
            .await?;
        let prefetch = u16::try_from(plan.window())?;
        consuming
            .basic_qos(prefetch, BasicQosOptions::default())
            .await?;
        Ok(Self {
            publishing,
            consuming,
            body: vec![b'x'; plan.body],
            plan,
            _connections: connections,
        })
    }

    async fn publish(&self) -> Result<PublisherConfirm> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default().with_delivery_mode(2);
        let published =
            self.publishing
                .basic_publish("".into(), QUEUE.into(), options, &self.body, properties);
        Ok(published.await?)
    }
}

/// A connection whose small packets leave at once, which lapin alone does not ask for: one by one it would be five
/// times slower.
async fn connect(url: &str) -> Result<Connection> {
    let uri = AMQPUri::from_str(url).map_err(Error::msg)?;
    let address = (uri.authority.host.clone(), uri.authority.port);
    let runtime = TokioRuntime::tokio_current();
    let stream = AsyncTcpStream::connect(&runtime, runtime.to_socket_addrs(address)).await?;
    if let AsyncTcpStream::Plain(plain) = &stream {
        plain.get_ref().set_nodelay(true)?;
    }
    let stream = Mutex::new(Some(stream));
    let handed = async move |_: AMQPUri, _: Runtime<Tokio>| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected).into())
    };
    let properties = ConnectionProperties::default();
    Ok(Connection::connector(uri, runtime, handed, properties).await?)
}

async fn confirmed(confirm: PublisherConfirm) -> Result<()> {
    let is_taken = matches!(confirm.await?, Confirmation::Ack(None));
    ensure!(is_taken, "a message was not taken");
    Ok(())
}

impl Side for Raw {
    async fn publish_singly(&mut self, jobs: usize) -> Result<()> {
        for _ in 0..jobs {
            confirmed(self.publish().await?).await?;
        }
        Ok(())
    }

    /// A message is sent when its future is first polled, so the window is always full.
    async fn publish_pipelined(&mut self, jobs: usize) -> Result<()> {
        let raw = &*self;
        let publishes = (0..jobs).map(|_| async { confirmed(raw.publish().await?).await });
        let mut window = stream::iter(publishes).buffer_unordered(raw.plan.window());
        while let Some(published) = window.next().await {
            published?;
        }
        Ok(())
    }

    async fn consume(&mut self, jobs: usize) -> Result<()> {
        let (channel, options) = (&self.consuming, BasicConsumeOptions::default());
        let consumed =
            channel.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default());
        let mut deliveries = consumed.await?;
        for n in 1..=jobs {
            let delivery = deliveries
                .next()
                .await
                .context("the consumer has ended")??;
            if n.is_multiple_of(self.plan.batch) || n == jobs {
                let multiple = BasicAckOptions { multiple: true };
                channel.basic_ack(delivery.delivery_tag, multiple).await?;
            }
        }
        // Its answer comes after the server has dealt with the acknowledgements.
        let tag = deliveries.tag();
        Ok(channel
            .basic_cancel(tag, BasicCancelOptions::default())
            .await?)
    }
}
