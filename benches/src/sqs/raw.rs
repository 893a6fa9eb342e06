//! [`Raw`]: the library of AWS at its best: ten messages to a request, and several requests under way.

use anyhow::{Context, Result, ensure};
use aws_config::BehaviorVersion;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{Credentials, Region};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, SendMessageBatchRequestEntry};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use futures::{StreamExt, stream};

use crate::broker::{Plan, Side};

/// The most messages of one request.
const BATCH: usize = 10;

/// How many requests are under way at once.
const UNDER_WAY: usize = 8;

/// One queue, by the library of AWS.
pub(super) struct Raw {
    client: Client,
    queue: String,
    body: String,
}

impl Raw {
    pub(super) async fn open(endpoint: &str, plan: Plan) -> Result<Self> {
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let loaded = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new("KEY", "SECRET", None, None, "benches"))
            .load()
            .await;
        let client = Client::new(&loaded);
        let name = format!("raw-{}", std::process::id());
        let made = client.create_queue().queue_name(name).send().await?;
        Ok(Self {
            client,
            queue: made.queue_url.context("the queue has no URL")?,
            body: "x".repeat(plan.body),
        })
    }

    async fn send(&self, jobs: usize) -> Result<()> {
        let entry = |n: usize| {
            let entry = SendMessageBatchRequestEntry::builder().id(n.to_string());
            Ok(entry.message_body(&self.body).build()?)
        };
        let entries = (0..jobs).map(entry).collect::<Result<Vec<_>>>()?;
        let request = self.client.send_message_batch().queue_url(&self.queue);
        let answer = request.set_entries(Some(entries)).send().await?;
        ensure!(answer.failed.is_empty(), "{:?}", answer.failed);
        Ok(())
    }

    /// Receives up to ten messages and deletes them; how many there were.
    async fn receive(&self) -> Result<usize> {
        let request = self.client.receive_message().queue_url(&self.queue);
        let request = request.max_number_of_messages(10);
        let messages = request.send().await?.messages.unwrap_or_default();
        if messages.is_empty() {
            return Ok(0);
        }
        let entry = |(n, message): (usize, &Message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(n.to_string());
            let handle = message.receipt_handle.clone();
            Ok(entry.set_receipt_handle(handle).build()?)
        };
        let entries = messages.iter().enumerate().map(entry);
        let entries = entries.collect::<Result<Vec<_>>>()?;
        let request = self.client.delete_message_batch().queue_url(&self.queue);
        let answer = request.set_entries(Some(entries)).send().await?;
        ensure!(answer.failed.is_empty(), "{:?}", answer.failed);
        Ok(messages.len())
    }
}

impl Side for Raw {
    async fn publish_singly(&mut self, jobs: usize) -> Result<()> {
        for _ in 0..jobs {
            let request = self.client.send_message().queue_url(&self.queue);
            request.message_body(&self.body).send().await?;
        }
        Ok(())
    }

    async fn publish_pipelined(&mut self, jobs: usize) -> Result<()> {
        let sizes = (0..jobs).step_by(BATCH).map(|done| BATCH.min(jobs - done));
        let requests = stream::iter(sizes.map(|size| self.send(size)));
        let mut requests = requests.buffer_unordered(UNDER_WAY);
        while let Some(sent) = requests.next().await {
            sent?;
        }
        Ok(())
    }

    async fn consume(&mut self, jobs: usize) -> Result<()> {
        let mut requests = stream::repeat(())
            .map(|()| self.receive())
            .buffer_unordered(UNDER_WAY);
        let mut left = jobs;
        while left > 0 {
            let received = requests.next().await.context("a stream without an end")??;
            left = left.saturating_sub(received);
        }
        Ok(())
    }
}
