//! A way to the queues of a namespace behind the broker's back, by a client of the protocol alone.

use std::net::SocketAddr;

use async_trait::async_trait;
use bananas_core::{Error, ErrorKind, QueueName, Result};
use bytes::Bytes;
use conformance_tests::{Probe, Probing};
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

/// Where the server is and who we are there.
#[derive(Clone)]
pub(crate) struct AmqpProbe {
    pub(crate) address: SocketAddr,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) namespace: String,
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "the probe failed").because(error)
}

impl AmqpProbe {
    async fn channel(&self) -> Result<(Connection, Channel)> {
        let Self {
            address,
            username,
            password,
            ..
        } = self;
        let url = format!("amqp://{username}:{password}@{address}/%2f");
        let connected = Connection::connect(&url, ConnectionProperties::default()).await;
        let connection = connected.map_err(broken)?;
        let channel = connection.create_channel().await.map_err(broken)?;
        Ok((connection, channel))
    }

    fn name(&self, queue: &QueueName) -> String {
        format!("{}:{queue}", self.namespace)
    }
}

#[async_trait]
impl Probe for AmqpProbe {
    fn offers(&self) -> &'static [Probing] {
        &[Probing::Messages, Probing::Plant, Probing::Conflict]
    }

    /// What is ready: the protocol does not count what is out.
    async fn messages(&self, queue: &QueueName) -> Result<u64> {
        let (_connection, channel) = self.channel().await?;
        let mut passive = QueueDeclareOptions::durable();
        passive.passive = true;
        let name = self.name(queue).as_str().into();
        let declared = channel.queue_declare(name, passive, FieldTable::default());
        Ok(declared.await.map_err(broken)?.message_count().into())
    }

    async fn plant(&self, queue: &QueueName, body: Bytes) -> Result<()> {
        let (_connection, channel) = self.channel().await?;
        channel
            .confirm_select(lapin::options::ConfirmSelectOptions::default())
            .await
            .map_err(broken)?;
        let published = channel
            .basic_publish(
                "".into(),
                self.name(queue).as_str().into(),
                BasicPublishOptions::default(),
                &body,
                BasicProperties::default(),
            )
            .await;
        published.map_err(broken)?.await.map_err(broken)?;
        Ok(())
    }

    async fn make_conflicting(&self, queue: &QueueName) -> Result<()> {
        let (_connection, channel) = self.channel().await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(7));
        let name = self.name(queue).as_str().into();
        let declared = channel.queue_declare(name, QueueDeclareOptions::durable(), arguments);
        declared.await.map(drop).map_err(broken)
    }
}
