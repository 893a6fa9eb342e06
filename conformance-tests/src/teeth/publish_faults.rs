//! Brokers that publish wrongly.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, Consumer, ConsumerSpec, Delivery, ErrorKind, Publish, Published,
    QueueName, QueueSpec, RawMessage, Result,
};

use super::broken_broker::{BrokerFault, Site};
use super::fault::Fault;
use super::taking::Taking;
use super::whole_batch::fail_together;

/// The faults of this file.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_broker::<ConfirmsWhatItDidNotStore>(
        "confirms_a_publish_it_did_not_store",
        "answers `Ok` to every fifth message and forgets it",
        "broker::a_batch_is_delivered_once_each",
    ),
    Fault::of_broker::<PublishesTwice>(
        "publishes_every_seventh_message_twice",
        "stores every seventh message twice",
        "broker::a_batch_is_delivered_once_each",
    ),
    Fault::of_broker::<AcceptsForMissingQueues>(
        "accepts_for_a_missing_queue",
        "answers `Ok` to a message for a queue that does not exist",
        "broker::publishing_to_a_missing_queue_is_not_found",
    ),
    Fault::of_broker::<CutsLargeBodies>(
        "cuts_a_body_that_is_too_large",
        "cuts a body to the largest size and answers `Ok`",
        "broker::a_message_too_large_is_refused_alone_with_both_numbers",
    ),
    Fault::of_broker::<OneRefusedFailsAll>(
        "fails_a_batch_for_one_refused_message",
        "refuses the whole batch, of which it has stored the rest, when it refuses one message",
        "broker::a_message_too_large_is_refused_alone_with_both_numbers",
    ),
    Fault::of_broker::<AnswersBackwards>(
        "answers_a_batch_backwards",
        "answers in the opposite order of the batch",
        "broker::publishing_to_a_missing_queue_is_not_found",
    ),
    Fault::of_broker::<PublishesBackwards>(
        "publishes_a_batch_backwards",
        "stores the messages of a batch in the opposite order",
        "broker::a_batch_keeps_its_order",
    ),
    Fault::of_broker::<ReplacesBadText>(
        "replaces_bytes_that_are_no_text",
        "stores a replacement character for what is not UTF-8",
        "broker::every_byte_survives",
    ),
    Fault::of_broker::<LosesEmptyBodies>(
        "stores_an_empty_body_as_null",
        "stores `null` for a body without bytes",
        "broker::an_empty_body_survives",
    ),
    Fault::of_broker::<LowersPropertyNames>(
        "writes_property_names_in_lower_case",
        "stores the names of properties in lower case",
        "broker::strange_properties_survive",
    ),
    Fault::of_broker::<ForgetsPriorities>(
        "forgets_priorities",
        "stores each message with the default priority",
        "broker::higher_priorities_come_first_across_all_levels",
    ),
    Fault::of_broker::<FiresDelaysEarly>(
        "fires_delays_early",
        "delivers a delayed message after nine tenths of its delay",
        "broker::a_delayed_message_is_not_early",
    ),
    Fault::of_broker::<MixesUpQueueNames>(
        "mixes_up_queue_names",
        "takes the queues `a.b` and `a-b` for one",
        "broker::queues_with_similar_names_are_different_queues",
    ),
];

/// Publishes a batch with each message changed first.
async fn publish_changed(
    site: &Site,
    mut batch: Vec<Publish>,
    change: impl Fn(&mut RawMessage),
) -> Vec<Result<Published>> {
    for item in &mut batch {
        change(&mut item.message);
    }
    site.good.publish(batch).await
}

fn published(message: &RawMessage) -> Published {
    Published {
        id: message.id,
        duplicate: false,
    }
}

#[derive(Debug, Default)]
struct ConfirmsWhatItDidNotStore(AtomicU64);

#[async_trait]
impl BrokerFault for ConfirmsWhatItDidNotStore {
    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let mut answers = Vec::new();
        for item in batch {
            if self.0.fetch_add(1, Ordering::Relaxed) % 5 == 4 {
                answers.push(Ok(published(&item.message)));
            } else {
                answers.extend(site.good.publish(vec![item]).await);
            }
        }
        answers
    }
}

#[derive(Debug, Default)]
struct PublishesTwice(AtomicU64);

#[async_trait]
impl BrokerFault for PublishesTwice {
    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        for item in &batch {
            if self.0.fetch_add(1, Ordering::Relaxed) % 7 == 6 {
                drop(site.good.publish(vec![item.clone()]).await);
            }
        }
        site.good.publish(batch).await
    }
}

#[derive(Debug, Default)]
struct AcceptsForMissingQueues;

#[async_trait]
impl BrokerFault for AcceptsForMissingQueues {
    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let all: Vec<Published> = batch.iter().map(|item| published(&item.message)).collect();
        let answers = site.good.publish(batch).await.into_iter();
        let accept = |(answer, published): (Result<Published>, Published)| match answer {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(published),
            answer => answer,
        };
        answers.zip(all).map(accept).collect()
    }
}

#[derive(Debug, Default)]
struct CutsLargeBodies;

#[async_trait]
impl BrokerFault for CutsLargeBodies {
    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let limit = site.good.info().capabilities.max_message;
        publish_changed(site, batch, |message| message.body.truncate(limit)).await
    }
}

#[derive(Debug, Default)]
struct OneRefusedFailsAll;

#[async_trait]
impl BrokerFault for OneRefusedFailsAll {
    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        fail_together(site.good.publish(batch).await)
    }
}

#[derive(Debug, Default)]
struct AnswersBackwards;

#[async_trait]
impl BrokerFault for AnswersBackwards {
    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let mut answers = site.good.publish(batch).await;
        answers.reverse();
        answers
    }
}

#[derive(Debug, Default)]
struct PublishesBackwards;

#[async_trait]
impl BrokerFault for PublishesBackwards {
    async fn publish(&self, site: &Site, mut batch: Vec<Publish>) -> Vec<Result<Published>> {
        batch.reverse();
        let mut answers = site.good.publish(batch).await;
        answers.reverse();
        answers
    }
}

#[derive(Debug, Default)]
struct ReplacesBadText;

#[async_trait]
impl BrokerFault for ReplacesBadText {
    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let lossy = |message: &mut RawMessage| {
            let text = String::from_utf8_lossy(&message.body).into_owned();
            message.body = text.into();
        };
        publish_changed(site, batch, lossy).await
    }
}

#[derive(Debug, Default)]
struct LosesEmptyBodies;

#[async_trait]
impl BrokerFault for LosesEmptyBodies {
    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let null = |message: &mut RawMessage| {
            if message.body.is_empty() {
                message.body = "null".into();
            }
        };
        publish_changed(site, batch, null).await
    }
}

#[derive(Debug, Default)]
struct LowersPropertyNames;

#[async_trait]
impl BrokerFault for LowersPropertyNames {
    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let lower = |message: &mut RawMessage| {
            for (name, _) in &mut message.properties {
                name.make_ascii_lowercase();
            }
        };
        publish_changed(site, batch, lower).await
    }
}

#[derive(Debug, Default)]
struct ForgetsPriorities;

#[async_trait]
impl BrokerFault for ForgetsPriorities {
    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let forget = |message: &mut RawMessage| message.priority = bananas_core::Priority::DEFAULT;
        publish_changed(site, batch, forget).await
    }
}

#[derive(Debug, Default)]
struct FiresDelaysEarly;

#[async_trait]
impl BrokerFault for FiresDelaysEarly {
    async fn publish(&self, site: &Site, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let now = site.env.now();
        let early = |message: &mut RawMessage| {
            if let Some(at) = &mut message.not_before {
                *at = now + at.since(now) / 10 * 9;
            }
        };
        publish_changed(site, batch, early).await
    }
}

/// What is stored under a name is stored under another one; only who compares two names can notice.
#[derive(Debug, Default)]
struct MixesUpQueueNames;

fn mixed_up(queue: &QueueName) -> QueueName {
    QueueName::new(queue.as_str().replace('.', "-")).expect("a dash is allowed where a dot is")
}

#[async_trait]
impl BrokerFault for MixesUpQueueNames {
    async fn ensure(&self, good: &dyn Broker, queues: &[QueueSpec]) -> Result<()> {
        let spec = |spec: &QueueSpec| QueueSpec::new(mixed_up(&spec.name));
        let mixed: Vec<QueueSpec> = queues.iter().map(spec).collect();
        good.ensure(&mixed).await
    }

    async fn publish(&self, site: &Site, mut batch: Vec<Publish>) -> Vec<Result<Published>> {
        for item in &mut batch {
            item.queue = mixed_up(&item.queue);
        }
        site.good.publish(batch).await
    }

    async fn consume(
        &self,
        good: &dyn Broker,
        mut spec: ConsumerSpec,
    ) -> Result<Box<dyn Consumer>> {
        spec.queue = mixed_up(&spec.queue);
        good.consume(spec).await
    }

    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let mut taken = taking.good.reserve(max, wait).await?;
        for delivery in &mut taken {
            delivery.queue = taking.spec.queue.clone();
        }
        Ok(taken)
    }

    async fn delete(&self, good: &dyn BrokerAdmin, queue: &QueueName) -> Result<()> {
        good.delete(&mixed_up(queue)).await
    }
}
