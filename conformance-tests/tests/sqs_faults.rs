//! What the emulator of SQS never does and Amazon does: single messages of a request fail, requests are throttled,
//! messages come twice, receipts are stale. And what the service costs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stderr,
    reason = "what is not tested for want of a server is said aloud"
)]

use std::collections::HashSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_sqs::{SqsBroker, SqsConfig};
use bananas_core::{
    Broker, BrokerAdmin, Bucket, Consumer, ConsumerSpec, Delivery, Env, ErrorKind, FactLevel,
    JobId, Priority, Publish, QueueName, QueueSpec, RawMessage, Settle, Settled, Settlement,
    Status, TokioEnv,
};
use bytes::Bytes;
use conformance_tests::fault::{Proxy, ServerProcess};
use serde_json::Value;
use sqs_proxy::{Fault, SqsProxy};
use tempfile::TempDir;

mod sqs_proxy;
mod sqs_server;

const URL: &str = "BANANAS_TEST_SQS_URL";

const WAIT: Duration = Duration::from_secs(30);
const NOW: Duration = Duration::ZERO;

/// A client that reaches the emulator through the proxy, and one queue.
struct Rig {
    env: Arc<dyn Env>,
    proxy: SqsProxy,
    broker: Arc<SqsBroker>,
    queue: QueueName,
    _private: Option<(ServerProcess, TempDir)>,
}

/// `None` where there is no emulator, which is said aloud, or fails where it must not be.
async fn rig() -> Option<Rig> {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let (server, private) = server(&env).await?;
    let proxy = SqsProxy::start(&env, server).await;
    let url = format!("sqs://KEY:SECRET@{}?region=us-east-1", proxy.address());
    let mut config = SqsConfig::from_url(&url).unwrap();
    config.namespace = format!("f{:016x}", env.random());
    let broker = SqsBroker::open(config, Arc::clone(&env)).await.unwrap();
    let queue = QueueName::new("messages").unwrap();
    broker
        .ensure(&[QueueSpec::new(queue.clone())])
        .await
        .unwrap();
    Some(Rig {
        env,
        proxy,
        broker,
        queue,
        _private: private,
    })
}

async fn server(env: &Arc<dyn Env>) -> Option<(SocketAddr, Option<(ServerProcess, TempDir)>)> {
    if let Ok(url) = std::env::var(URL) {
        let authority = url.trim_start_matches("http://").trim_end_matches('/');
        return Some((authority.to_socket_addrs().unwrap().next().unwrap(), None));
    }
    if sqs_server::program().is_none() {
        let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
        assert!(!required, "there is no moto_server in PATH");
        eprintln!("NOT TESTED: there is no moto_server in PATH, and {URL} names none");
        return None;
    }
    let folder = TempDir::new().unwrap();
    let process = sqs_server::start(env, folder.path()).await.unwrap();
    Some((process.address(), Some((process, folder))))
}

impl Rig {
    fn message(&self, body: impl Into<Bytes>) -> RawMessage {
        RawMessage::new(self.env.job_id(), body.into())
    }

    async fn publish(
        &self,
        messages: Vec<RawMessage>,
    ) -> Vec<bananas_core::Result<bananas_core::Published>> {
        let publish = |message| Publish {
            queue: self.queue.clone(),
            message,
        };
        let batch = messages.into_iter().map(publish).collect();
        self.broker.publish(batch).await
    }

    /// Publishes so many messages; their ids.
    async fn published(&self, count: usize) -> HashSet<JobId> {
        let messages: Vec<_> = (0..count).map(|_| self.message("body")).collect();
        let answers = self.publish(messages).await;
        answers
            .into_iter()
            .map(|answer| answer.unwrap().id.unwrap())
            .collect()
    }

    async fn consumer(&self) -> Box<dyn Consumer> {
        let mut spec = ConsumerSpec::new(self.queue.clone());
        spec.lease = Duration::from_secs(28);
        self.broker.consume(spec).await.unwrap()
    }

    async fn take(&self, consumer: &mut dyn Consumer, count: usize) -> Vec<Delivery> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let more = consumer.reserve(count - taken.len(), WAIT).await.unwrap();
            assert!(!more.is_empty(), "{} of {count} came", taken.len());
            taken.extend(more);
        }
        taken
    }

    async fn settle(
        &self,
        taken: &[Delivery],
        how: impl Fn(&Delivery) -> Settlement,
    ) -> Vec<bananas_core::Result<Settled>> {
        let settle = |delivery: &Delivery| Settle {
            receipt: delivery.receipt.clone(),
            settlement: how(delivery),
        };
        self.broker.settle(taken.iter().map(settle).collect()).await
    }

    async fn ack(&self, taken: &[Delivery]) {
        for settled in self.settle(taken, |_| Settlement::Ack).await {
            assert_eq!(settled.unwrap(), Settled::Done);
        }
    }

    /// Nothing but what is published now is left.
    async fn assert_drained(&self, consumer: &mut dyn Consumer) {
        let last = self.published(1).await;
        let taken = self.take(consumer, 1).await;
        assert_eq!(ids(&taken), last);
        self.ack(&taken).await;
    }
}

fn ids(deliveries: &[Delivery]) -> HashSet<JobId> {
    deliveries
        .iter()
        .filter_map(|delivery| delivery.message.id)
        .collect()
}

fn retry(delivery: &Delivery) -> Settlement {
    Settlement::Retry {
        delay: NOW,
        message: Box::new(delivery.message.clone()),
    }
}

const SERVER_FAULT: Fault = Fault::Entries {
    count: 2,
    code: "InternalError",
    ours: false,
};
const STALE: Fault = Fault::Entries {
    count: 1,
    code: "ReceiptHandleIsInvalid",
    ours: true,
};

#[tokio::test]
async fn messages_of_a_batch_that_failed_are_told_from_those_that_did_not() {
    let Some(rig) = rig().await else { return };
    rig.proxy.next("SendMessageBatch", SERVER_FAULT);
    let messages: Vec<_> = (0..10).map(|_| rig.message("one of ten")).collect();
    let answers = rig.publish(messages.clone()).await;
    let mut failed = Vec::new();
    for (message, answer) in messages.iter().zip(answers) {
        if let Err(e) = answer {
            assert_eq!(e.status(), Status::NotApplied, "{e}");
            failed.push(message.clone());
        }
    }
    assert_eq!(failed, messages[..2], "exactly those that failed");
    for answer in rig.publish(failed).await {
        answer.unwrap();
    }
    let mut consumer = rig.consumer().await;
    let taken = rig.take(consumer.as_mut(), 10).await;
    assert_eq!(ids(&taken).len(), 10, "each came once");
    rig.ack(&taken).await;
    rig.assert_drained(consumer.as_mut()).await;
}

#[tokio::test]
async fn a_message_that_is_refused_for_its_contents_is_refused_for_good() {
    let Some(rig) = rig().await else { return };
    let (count, code, ours) = (1, "InvalidMessageContents", true);
    let fault = Fault::Entries { count, code, ours };
    rig.proxy.next("SendMessageBatch", fault);
    let mut answers = rig
        .publish(vec![rig.message("no"), rig.message("yes")])
        .await;
    answers.remove(1).unwrap();
    let error = answers.remove(0).unwrap_err();
    let told = (error.kind(), error.status());
    assert_eq!(
        told,
        (ErrorKind::InvalidArgument, Status::Permanent),
        "{error}"
    );
}

#[tokio::test]
async fn settlements_that_failed_are_told_and_can_be_made_again() {
    let Some(rig) = rig().await else { return };
    rig.published(10).await;
    let mut consumer = rig.consumer().await;
    let taken = rig.take(consumer.as_mut(), 10).await;
    rig.proxy.next("DeleteMessageBatch", SERVER_FAULT);
    let answers = rig.settle(&taken, |_| Settlement::Ack).await;
    let mut failed = Vec::new();
    for (delivery, answer) in taken.iter().zip(answers) {
        match answer {
            Ok(settled) => assert_eq!(settled, Settled::Done),
            Err(e) => {
                assert!(e.is_retryable(), "{e}");
                failed.push(delivery.clone());
            }
        }
    }
    assert_eq!(failed.len(), 2);
    rig.ack(&failed).await;
    rig.assert_drained(consumer.as_mut()).await;
}

#[tokio::test]
async fn a_throttled_publish_is_not_applied_and_not_sent_again() {
    let Some(rig) = rig().await else { return };
    let (code, http) = ("ThrottlingException", 400);
    rig.proxy
        .next("SendMessageBatch", Fault::Refuse { code, http });
    let before = rig.proxy.seen("SendMessageBatch").len();
    let error = rig
        .publish(vec![rig.message("body")])
        .await
        .remove(0)
        .unwrap_err();
    let told = (error.kind(), error.status());
    assert_eq!(told, (ErrorKind::Throttled, Status::NotApplied), "{error}");
    assert_eq!(rig.proxy.seen("SendMessageBatch").len() - before, 1);
    rig.assert_drained(rig.consumer().await.as_mut()).await;
}

#[tokio::test]
async fn a_publish_that_breaks_inside_the_server_may_be_applied() {
    let Some(rig) = rig().await else { return };
    let (code, http) = ("InternalFailure", 500);
    rig.proxy
        .next("SendMessageBatch", Fault::Break { code, http });
    let message = rig.message("body");
    let id = message.id;
    let error = rig.publish(vec![message]).await.remove(0).unwrap_err();
    assert_eq!(error.status(), Status::MayBeApplied, "{error}");
    let mut consumer = rig.consumer().await;
    let taken = rig.take(consumer.as_mut(), 1).await;
    assert_eq!(taken[0].message.id, id);
    rig.ack(&taken).await;
}

#[tokio::test]
async fn a_consumer_goes_on_when_it_was_throttled() {
    let Some(rig) = rig().await else { return };
    let (code, http) = ("RequestThrottled", 403);
    for _ in 0..2 {
        rig.proxy
            .next("ReceiveMessage", Fault::Refuse { code, http });
    }
    let published = rig.published(1).await;
    let mut consumer = rig.consumer().await;
    assert_eq!(ids(&rig.take(consumer.as_mut(), 1).await), published);
}

#[tokio::test]
async fn a_message_that_comes_twice_is_two_deliveries_and_gone_with_one_ack() {
    let Some(rig) = rig().await else { return };
    rig.proxy.next("ReceiveMessage", Fault::Twice);
    let published = rig.published(1).await;
    let mut consumer = rig.consumer().await;
    let taken = rig.take(consumer.as_mut(), 2).await;
    assert_eq!(ids(&taken), published);
    assert_ne!(taken[0].receipt, taken[1].receipt);
    // One after the other: for the emulator they have one receipt, of which it takes one in a request.
    rig.ack(&taken[..1]).await;
    rig.ack(&taken[1..]).await;
    rig.assert_drained(consumer.as_mut()).await;
}

#[tokio::test]
async fn a_stale_receipt_is_a_lost_lease_for_its_message_alone() {
    let Some(rig) = rig().await else { return };
    rig.published(4).await;
    let mut consumer = rig.consumer().await;
    let taken = rig.take(consumer.as_mut(), 4).await;
    let receipts: Vec<_> = taken.iter().map(|one| one.receipt.clone()).collect();
    rig.proxy.next("ChangeMessageVisibilityBatch", STALE);
    let extended = rig.broker.extend(&receipts, Duration::from_secs(60)).await;
    let told: Vec<_> = extended
        .iter()
        .map(|one| one.as_ref().map(drop).map_err(|e| e.kind()))
        .collect();
    let conflict = Err(ErrorKind::Conflict);
    assert_eq!(told, [conflict, Ok(()), Ok(()), Ok(())]);
    rig.proxy.next("DeleteMessageBatch", STALE);
    let answers = rig.settle(&taken, |_| Settlement::Ack).await;
    let settled: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let (lost, done) = (Settled::LeaseLost, Settled::Done);
    assert_eq!(
        settled,
        [lost, lost, done, done],
        "the first was lost before"
    );
}

#[tokio::test]
async fn a_retry_whose_deletion_failed_sends_its_replacement_once() {
    let Some(rig) = rig().await else { return };
    let published = rig.published(1).await;
    let mut consumer = rig.consumer().await;
    let taken = rig.take(consumer.as_mut(), 1).await;
    rig.proxy.next("DeleteMessageBatch", SERVER_FAULT);
    let error = rig.settle(&taken, retry).await.remove(0).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let again = rig.settle(&taken, retry).await.remove(0).unwrap();
    assert_eq!(again, Settled::Done);
    let taken = rig.take(consumer.as_mut(), 1).await;
    assert_eq!(ids(&taken), published);
    rig.ack(&taken).await;
    rig.assert_drained(consumer.as_mut()).await;
}

/// Sends what no client of ours would, past the broker.
async fn plant(rig: &Rig, entry: Value) {
    let sent = rig.proxy.seen("SendMessageBatch");
    let seen = sent.last().unwrap();
    let body = serde_json::json!({"QueueUrl": seen.body["QueueUrl"], "Entries": [entry]});
    rig.proxy.send("SendMessageBatch", &body).await;
}

#[tokio::test]
async fn a_message_of_another_program_is_its_text_and_its_attributes() {
    let Some(rig) = rig().await else { return };
    let mut consumer = rig.consumer().await;
    rig.assert_drained(consumer.as_mut()).await;
    let attributes = serde_json::json!({
        "trace": {"DataType": "String", "StringValue": "abc"},
        "raw": {"DataType": "Binary", "BinaryValue": "AP8="},
    });
    let entry = serde_json::json!({
        "Id": "0", "MessageBody": "{\"task\": \"ü\"}", "MessageAttributes": attributes,
    });
    plant(&rig, entry).await;
    let taken = rig.take(consumer.as_mut(), 1).await;
    let message = &taken[0].message;
    assert_eq!(message.id, None);
    assert_eq!(message.body, "{\"task\": \"ü\"}");
    assert_eq!(message.property("trace").unwrap(), "abc");
    assert_eq!(&message.property("raw").unwrap()[..], b"\x00\xff");
    let reason = "it is no job".to_owned();
    let dead = |_: &Delivery| Settlement::DeadLetter {
        reason: reason.clone(),
        message: None,
    };
    let settled = rig.settle(&taken, dead).await.remove(0).unwrap();
    assert_eq!(settled, Settled::Done);
    let peeked = rig.broker.peek(&rig.queue, Bucket::Dead, 10).await.unwrap();
    assert_eq!((peeked.len(), &peeked[0].body), (1, &message.body));
    let redriven = rig.broker.redrive(&rig.queue, None).await.unwrap();
    assert_eq!(redriven, 1);
    let again = rig.take(consumer.as_mut(), 1).await;
    let mut properties = [&again[0].message, message].map(|one| one.properties.clone());
    properties
        .iter_mut()
        .for_each(|properties| properties.sort());
    assert_eq!(again[0].message.body, message.body);
    assert_eq!(properties[0], properties[1], "nothing is added or lost");
}

#[tokio::test]
async fn a_job_at_full_load_costs_at_most_a_third_of_a_request() {
    let Some(rig) = rig().await else { return };
    const MESSAGES: usize = 100;
    let mut consumer = rig.consumer().await;
    rig.assert_drained(consumer.as_mut()).await;
    let before = rig.broker.requests().total();
    let messages = (0..MESSAGES).map(|_| rig.message("body"));
    // Each is published by a call of its own, as by so many programs.
    let publishes = messages.map(|message| rig.publish(vec![message]));
    for answer in futures::future::join_all(publishes).await {
        assert!(answer.iter().all(Result::is_ok), "{answer:?}");
    }
    let mut done = 0;
    while done < MESSAGES {
        // A worker with three free slots at a time, that settles in batches.
        let mut batch = Vec::new();
        while batch.len() < 10.min(MESSAGES - done) {
            let more = consumer.reserve(3, WAIT).await.unwrap();
            batch.extend(more);
        }
        rig.ack(&batch).await;
        done += batch.len();
    }
    let cost = rig.broker.requests().total() - before;
    assert!(cost <= 35, "{MESSAGES} jobs cost {cost} requests");
}

#[tokio::test]
async fn an_idle_queue_costs_one_request_in_twenty_seconds() {
    let Some(rig) = rig().await else { return };
    let mut consumer = rig.consumer().await;
    rig.assert_drained(consumer.as_mut()).await;
    let before = rig.proxy.seen("ReceiveMessage").len();
    for _ in 0..12 {
        let wait = Duration::from_millis(250);
        assert!(consumer.reserve(10, wait).await.unwrap().is_empty());
    }
    let seen = rig.proxy.seen("ReceiveMessage");
    let waits: Vec<_> = seen[before..]
        .iter()
        .map(|seen| seen.body["WaitTimeSeconds"].as_i64().unwrap())
        .collect();
    assert!(
        waits.len() <= 2 && waits.last() == Some(&20),
        "requests waited {waits:?} seconds"
    );
}

#[tokio::test]
async fn a_dead_message_keeps_everything_and_comes_back_once() {
    let Some(rig) = rig().await else { return };
    let mut message = rig.message(&b"\x00\xffbody"[..]);
    message.priority = Priority::new(71).unwrap();
    message.key = Some("tenant-7".to_owned());
    message.properties = vec![("trace".to_owned(), Bytes::from_static(b"\xfe"))];
    rig.publish(vec![message.clone()]).await.remove(0).unwrap();
    let mut consumer = rig.consumer().await;
    let taken = rig.take(consumer.as_mut(), 1).await;
    let dead = |_: &Delivery| Settlement::DeadLetter {
        reason: "it is of no use".to_owned(),
        message: None,
    };
    let settled = rig.settle(&taken, dead).await.remove(0).unwrap();
    assert_eq!(settled, Settled::Done);
    let peek = || rig.broker.peek(&rig.queue, Bucket::Dead, 10);
    let peeked = peek().await.unwrap();
    let shown = message.clone().dead_because("it is of no use");
    assert_eq!(peeked, [shown]);
    assert_eq!(peek().await.unwrap(), peeked, "a look changes nothing");
    assert_eq!(rig.broker.redrive(&rig.queue, None).await.unwrap(), 1);
    let again = rig.take(consumer.as_mut(), 1).await;
    assert_eq!(again[0].message, message);
    rig.ack(&again).await;
    rig.assert_drained(consumer.as_mut()).await;
    assert_eq!(peek().await.unwrap(), []);
}

#[tokio::test]
async fn the_facts_name_queues_that_forget_or_refuse_and_what_may_not_be_asked() {
    let Some(rig) = rig().await else { return };
    let told = async |name: &str| {
        let facts = rig.broker.facts().await.unwrap();
        let fact = facts.into_iter().find(|fact| fact.name == name).unwrap();
        (fact.level, fact.value)
    };
    assert_eq!(told("retention").await.0, FactLevel::Info);
    assert_eq!(told("settings of queues").await.0, FactLevel::Info);
    let asked = rig.proxy.seen("GetQueueAttributes");
    let url = &asked.last().unwrap().body["QueueUrl"];
    let live = url.as_str().unwrap().trim_end_matches("_x");
    let attributes = serde_json::json!({"MessageRetentionPeriod": "3600", "DelaySeconds": "5"});
    let body = serde_json::json!({"QueueUrl": live, "Attributes": attributes});
    rig.proxy.send("SetQueueAttributes", &body).await;
    let short = "3600 s on messages".to_owned();
    assert_eq!(told("retention").await, (FactLevel::Warning, short));
    let (level, value) = told("settings of queues").await;
    assert_eq!(level, FactLevel::Danger);
    assert!(value.contains("messages: ") && value.contains("DelaySeconds = 5"));
    let (code, http) = ("AccessDenied", 403);
    rig.proxy.next("ListQueues", Fault::Refuse { code, http });
    let (level, value) = told("settings of queues").await;
    assert_eq!(level, FactLevel::Warning);
    assert!(value.starts_with("unknown"), "{value}");
}

#[tokio::test]
async fn a_key_is_the_group_that_the_server_is_fair_by() {
    let Some(rig) = rig().await else { return };
    let mut message = rig.message("of a tenant");
    message.key = Some("tenant-7".to_owned());
    rig.publish(vec![message]).await.remove(0).unwrap();
    let sent = rig.proxy.seen("SendMessageBatch");
    let group = &sent.last().unwrap().body["Entries"][0]["MessageGroupId"];
    assert_eq!(group, "tenant-7");
}

#[tokio::test]
async fn connections_that_go_silent_hold_up_neither_a_consumer_nor_an_ack() {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let Some((server, _private)) = server(&env).await else {
        return;
    };
    let line = Proxy::start(&env, server).unwrap();
    let open = async |address: SocketAddr| {
        let url = format!("sqs://KEY:SECRET@{address}?region=us-east-1");
        let mut config = SqsConfig::from_url(&url).unwrap();
        config.namespace = format!("silent{}", std::process::id());
        // Whoever waits for it waits in vain.
        config.timeout = 10 * WAIT;
        SqsBroker::open(config, Arc::clone(&env)).await.unwrap()
    };
    let (behind, beside) = (open(line.address()).await, open(server).await);
    let queue = QueueName::new("silent").unwrap();
    let ensured = behind.ensure(&[QueueSpec::new(queue.clone())]).await;
    ensured.unwrap();
    let publish = async || {
        let message = RawMessage::new(env.job_id(), Bytes::from("body"));
        let queue = queue.clone();
        let answers = beside.publish(vec![Publish { queue, message }]).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    };
    publish().await;
    let mut consumer = behind
        .consume(ConsumerSpec::new(queue.clone()))
        .await
        .unwrap();
    let first = consumer.reserve(1, WAIT).await.unwrap();
    // A request waits at the server, whose answer never comes.
    let nothing = consumer.reserve(1, Duration::from_millis(100)).await;
    assert_eq!(nothing.unwrap().len(), 0);
    line.strand();
    let settle = Settle {
        receipt: first.first().unwrap().receipt.clone(),
        settlement: Settlement::Ack,
    };
    let settled = env.within(WAIT, behind.settle(vec![settle])).await;
    assert_eq!(settled.unwrap().remove(0).unwrap(), Settled::Done);
    publish().await;
    let mut second = consumer.reserve(1, WAIT).await.unwrap();
    if second.is_empty() {
        // It was handed to the request that is lost, for half a minute.
        second = consumer.reserve(1, 2 * WAIT).await.unwrap();
    }
    assert_eq!(second.len(), 1);
}
