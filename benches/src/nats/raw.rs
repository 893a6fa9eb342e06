//! [`Raw`]: async-nats at its best: a window of publishes whose acknowledgements are awaited, pulls that are renewed
//! before they run dry, and a window of acknowledgements.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, ensure};
use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use async_nats::jetstream::{AckKind, Context, Message};
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, stream};

use crate::broker::{Plan, Side};

const SUBJECT: &str = "raw";

/// How long the server may take to deal with the last acknowledgements.
const WAIT: Duration = Duration::from_secs(60);

/// How it acknowledges.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Acks {
    /// Each is awaited, as ours are.
    Confirmed,
    /// None is: they are handed to the connection.
    Plain,
}

/// One work queue, by async-nats.
pub(super) struct Raw {
    client: Client,
    context: Context,
    consumer: PullConsumer,
    acks: Acks,
    body: Bytes,
    plan: Plan,
}

impl Raw {
    pub(super) async fn open(url: &str, acks: Acks, plan: Plan) -> Result<Self> {
        let client = async_nats::connect(url).await?;
        let context = ContextBuilder::new()
            .max_ack_inflight(2 * plan.window())
            .build(client.clone());
        let config = Config {
            name: SUBJECT.to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            retention: RetentionPolicy::WorkQueue,
            ..Config::default()
        };
        let stream = context.create_stream(config).await?;
        let config = pull::Config {
            durable_name: Some(SUBJECT.to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: -1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await?;
        Ok(Self {
            client,
            context,
            consumer,
            acks,
            body: Bytes::from(vec![b'x'; plan.body]),
            plan,
        })
    }

    async fn publish(&self) -> Result<()> {
        let published = self.context.publish(SUBJECT, self.body.clone()).await?;
        published.await?;
        Ok(())
    }

    async fn acknowledge(&self, message: Message) -> Result<()> {
        match self.acks {
            Acks::Plain => message.ack().await.map_err(Error::msg),
            // `double_ack` subscribes anew for each message; this takes the inbox of all requests.
            Acks::Confirmed => {
                let reply = message.message.reply.context("it is no delivery")?;
                self.client.request(reply, AckKind::Ack.into()).await?;
                Ok(())
            }
        }
    }
}

impl Side for Raw {
    async fn publish_singly(&mut self, jobs: usize) -> Result<()> {
        for _ in 0..jobs {
            self.publish().await?;
        }
        Ok(())
    }

    async fn publish_pipelined(&mut self, jobs: usize) -> Result<()> {
        let publishes = (0..jobs).map(|_| self.publish());
        let mut window = stream::iter(publishes).buffer_unordered(self.plan.window());
        while let Some(published) = window.next().await {
            published?;
        }
        Ok(())
    }

    async fn consume(&mut self, jobs: usize) -> Result<()> {
        let builder = self.consumer.stream();
        let mut messages = builder
            .max_messages_per_batch(self.plan.window())
            .messages()
            .await?;
        let mut acks = FuturesUnordered::new();
        let mut left = jobs;
        while left > 0 {
            tokio::select! {
                Some(acked) = acks.next(), if !acks.is_empty() => acked?,
                message = messages.next(), if acks.len() < self.plan.window() => {
                    let message = message.context("the consumer has ended")??;
                    acks.push(self.acknowledge(message));
                    left -= 1;
                }
            }
        }
        while let Some(acked) = acks.next().await {
            acked?;
        }
        // Those that nobody waited for are done when the server has dealt with them.
        self.client.flush().await?;
        let mut stream = self.context.get_stream(SUBJECT).await?;
        let start = Instant::now();
        while stream.info().await?.state.messages > 0 {
            ensure!(start.elapsed() < WAIT, "acknowledgements were lost");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}
