//! A broker on an empty namespace.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Broker, BrokerAdmin, Consumer, ConsumerSpec, Delivery, Depth, Env, JobId, Publish, Published,
    QueueName, QueueSpec, RawMessage, Receipt, Result, Settle, Settled, Settlement,
};
use bytes::Bytes;

use super::namespace;
use crate::child::{Child, Part};
use crate::fault::{Network, Proxy, ServerProcess};
use crate::hand_worker::{LONG_LEASE, SHORT_LEASE};
use crate::harness::BrokerHarness;
use crate::patience::Patience;
use crate::probe::{Probe, Probing};
use crate::role::Role;
use crate::tally::wait_out;

/// How long one look for messages waits.
const LOOK: Duration = Duration::from_millis(50);

/// How long one call waits for what is to come: longer than a short lease, so that it does not end just when such a
/// lease does. Some servers mistake a redelivery for a new delivery then (NATS before 2.10).
const WAIT: Duration = Duration::from_secs(5);

/// A broker on an empty namespace, with one queue.
pub(crate) struct BrokerCase {
    harness: Arc<dyn BrokerHarness>,
    namespace: String,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) queue: QueueName,
    pub(crate) broker: Arc<dyn Broker>,
}

impl BrokerCase {
    pub(crate) async fn open(harness: Arc<dyn BrokerHarness>, check: &str) -> Self {
        let namespace = namespace(check, &harness.env());
        Self::join(harness, namespace).await
    }

    /// A client of a namespace that others use, too.
    pub(crate) async fn join(harness: Arc<dyn BrokerHarness>, namespace: String) -> Self {
        let env = harness.env();
        let broker = harness.open(&namespace).await.unwrap();
        let case = Self {
            harness,
            namespace,
            env,
            queue: QueueName::new("messages").unwrap(),
            broker,
        };
        case.ensure(&case.queue).await;
        case
    }

    /// So many, or as many as the backend has time for.
    pub(crate) fn at_most(&self, messages: usize) -> usize {
        messages.min(self.harness.timing().most_messages)
    }

    pub(crate) async fn second_client(&self) -> Arc<dyn Broker> {
        self.harness.open(&self.namespace).await.unwrap()
    }

    /// The same, through another client.
    pub(crate) fn on(&self, broker: Arc<dyn Broker>) -> Self {
        Self {
            harness: Arc::clone(&self.harness),
            namespace: self.namespace.clone(),
            env: Arc::clone(&self.env),
            queue: self.queue.clone(),
            broker,
        }
    }

    /// The way behind the broker's back, if there is one.
    /// The server's network.
    pub(crate) fn network(&self) -> Arc<dyn Network> {
        self.harness.network().expect("gated by Network")
    }

    /// A second client of the namespace that reaches the server through a proxy.
    pub(crate) async fn behind_proxy(&self) -> (Proxy, Self) {
        let network = self.network();
        let proxy = Proxy::start(&self.env, network.address()).unwrap();
        let broker = network.open_at(proxy.address(), &self.namespace).await;
        let cut = self.on(broker.unwrap());
        cut.ensure(&cut.queue).await;
        (proxy, cut)
    }

    /// A client of a server that is started for this check alone.
    pub(crate) async fn own_server(&self) -> (ServerProcess, Self) {
        let network = self.network();
        let server = network.start_server().await.unwrap();
        let broker = network.open_at(server.address(), &self.namespace).await;
        let own = self.on(broker.unwrap());
        own.ensure(&own.queue).await;
        (server, own)
    }

    /// A consumer on a line that may be bad.
    pub(crate) async fn consumer_or_error(&self) -> Result<Box<dyn Consumer>> {
        self.broker
            .consume(ConsumerSpec::new(self.queue.clone()))
            .await
    }

    /// A consumer, as soon as the line is good enough.
    pub(crate) async fn consumer_through_faults(&self) -> Box<dyn Consumer> {
        let patience = Patience::new(&self.env);
        loop {
            match self.consumer_or_error().await {
                Ok(consumer) => return consumer,
                Err(e) => wait_out(self, &e).await,
            }
            patience.check("a consumer can be opened");
        }
    }

    /// A process that plays a role in this namespace.
    pub(crate) fn child(&self, role: Role, number: usize) -> Child {
        let part = Part {
            backend: self.harness.name().to_owned(),
            side: "broker".to_owned(),
            namespace: self.namespace.clone(),
            role: format!("{role:?}"),
            number,
        };
        let variables = self.harness.child().expect("gated by Child");
        Child::start(&self.env, &part, variables)
    }

    /// A client with a clock of its own.
    pub(crate) async fn client_with(&self, env: Arc<dyn Env>) -> Arc<dyn Broker> {
        let opened = self.harness.open_with(&self.namespace, env).await;
        opened.unwrap().expect("gated by Clock")
    }

    pub(crate) fn probe(&self) -> Option<Arc<dyn Probe>> {
        self.harness.probe(&self.namespace)
    }

    /// What clients hold on the server now, where a probe can tell.
    pub(crate) async fn clients_on_server(&self) -> Option<u64> {
        let counts = |probe: &Arc<dyn Probe>| probe.offers().contains(&Probing::Clients);
        let probe = self.probe().filter(counts)?;
        Some(probe.clients().await.unwrap())
    }

    pub(crate) fn secret(&self) -> Option<String> {
        self.harness.secret()
    }

    pub(crate) async fn ensure(&self, queue: &QueueName) {
        let specs = [QueueSpec::new(queue.clone())];
        self.broker.ensure(&specs).await.unwrap();
    }

    pub(crate) fn message(&self, body: impl Into<Bytes>) -> RawMessage {
        RawMessage::new(self.env.job_id(), body.into())
    }

    pub(crate) fn messages(&self, count: usize) -> Vec<RawMessage> {
        let body = |n: usize| format!("message {n}");
        (0..count).map(|n| self.message(body(n))).collect()
    }

    pub(crate) fn to_queue(&self, message: RawMessage) -> Publish {
        Publish {
            queue: self.queue.clone(),
            message,
        }
    }

    pub(crate) async fn publish(&self, message: RawMessage) -> JobId {
        self.publish_all(vec![message]).await[0]
    }

    /// Publishes in one batch and checks that all were accepted.
    pub(crate) async fn publish_all(&self, messages: Vec<RawMessage>) -> Vec<JobId> {
        let ids: Vec<JobId> = messages.iter().filter_map(|message| message.id).collect();
        let batch = messages.into_iter().map(|message| self.to_queue(message));
        let answers = self.broker.publish(batch.collect()).await;
        assert_eq!(answers.len(), ids.len(), "one answer for each message");
        for (id, answer) in ids.iter().zip(answers) {
            assert_eq!(answer.unwrap().id, Some(*id));
        }
        ids
    }

    /// Publishes one message and answers what the broker says of it.
    pub(crate) async fn answer(&self, message: RawMessage) -> Result<Published> {
        let mut answers = self.broker.publish(vec![self.to_queue(message)]).await;
        assert_eq!(answers.len(), 1, "one answer for one message");
        answers.remove(0)
    }

    /// A consumer whose leases no check outlives.
    pub(crate) async fn consumer(&self) -> Box<dyn Consumer> {
        self.consumer_with(LONG_LEASE, 10_000).await
    }

    /// A consumer whose leases end soon.
    pub(crate) async fn hasty_consumer(&self) -> Box<dyn Consumer> {
        self.consumer_with(SHORT_LEASE, 10_000).await
    }

    pub(crate) async fn consumer_with(&self, lease: Duration, credit: u32) -> Box<dyn Consumer> {
        let limits = self.broker.info().capabilities.lease;
        let mut spec = ConsumerSpec::new(self.queue.clone());
        spec.lease = lease.clamp(limits.min, limits.max);
        spec.credit = credit;
        self.broker.consume(spec).await.unwrap()
    }

    /// Reserves until so many messages have come, and takes no more.
    pub(crate) async fn take(&self, consumer: &mut dyn Consumer, messages: usize) -> Vec<Delivery> {
        let patience = Patience::new(&self.env);
        let mut taken = Vec::new();
        while taken.len() < messages {
            let more = consumer
                .reserve(messages - taken.len(), WAIT)
                .await
                .unwrap();
            taken.extend(more);
            patience.check(&format!("{} of {messages} messages came", taken.len()));
        }
        taken
    }

    pub(crate) async fn one(&self, consumer: &mut dyn Consumer) -> Delivery {
        self.take(consumer, 1).await.remove(0)
    }

    pub(crate) async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Settled {
        self.try_settle(&delivery.receipt, settlement)
            .await
            .unwrap()
    }

    /// Settles one delivery and answers what the broker says of it.
    pub(crate) async fn try_settle(
        &self,
        receipt: &Receipt,
        settlement: Settlement,
    ) -> Result<Settled> {
        let batch = vec![Settle {
            receipt: receipt.clone(),
            settlement,
        }];
        let mut answers = self.broker.settle(batch).await;
        assert_eq!(answers.len(), 1, "one answer for one delivery");
        answers.remove(0)
    }

    /// Acknowledges deliveries and checks that each acknowledgement counted.
    pub(crate) async fn ack(&self, deliveries: &[Delivery]) {
        let settle = |delivery: &Delivery| Settle {
            receipt: delivery.receipt.clone(),
            settlement: Settlement::Ack,
        };
        let batch = deliveries.iter().map(settle).collect();
        for settled in self.broker.settle(batch).await {
            assert_eq!(settled.unwrap(), Settled::Done);
        }
    }

    /// Checks that settlements that were `Done` were made, which nothing else shows while the lease lasts.
    pub(crate) async fn assert_settled(&self, deliveries: &[Delivery]) {
        let again = |delivery: &Delivery| Settle {
            receipt: delivery.receipt.clone(),
            settlement: Settlement::Ack,
        };
        let batch = deliveries.iter().map(again).collect();
        for settled in self.broker.settle(batch).await {
            assert_ne!(settled.unwrap(), Settled::Done, "it was not settled before");
        }
    }

    /// Checks that nothing is ready: the next message published comes, and comes alone.
    pub(crate) async fn assert_drained(&self, consumer: &mut dyn Consumer) {
        let last = self.publish(self.message("last")).await;
        let patience = Patience::new(&self.env);
        loop {
            let taken = consumer.reserve(10, LOOK).await.unwrap();
            for delivery in &taken {
                let id = delivery.message.id;
                assert_eq!(id, Some(last), "a message came that must not");
            }
            if !taken.is_empty() {
                return self.ack(&taken).await;
            }
            patience.check("the last message of the queue came");
        }
    }

    pub(crate) fn admin(&self) -> &dyn BrokerAdmin {
        self.broker.admin().expect("gated by Admin")
    }

    pub(crate) async fn depth(&self) -> Depth {
        let queues = std::slice::from_ref(&self.queue);
        self.admin().depth(queues).await.unwrap().remove(0)
    }
}

/// The ids of deliveries, in order.
pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<JobId> {
    deliveries
        .iter()
        .filter_map(|delivery| delivery.message.id)
        .collect()
}
