//! Brokers that settle wrongly.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Delivery, ErrorKind, JobId, Priority, Publish, Receipt, Result, Settle, Settled, Settlement,
};

use super::broken_broker::{BrokerFault, Site};
use super::fault::Fault;
use super::taking::Taking;
use super::whole_batch::fail_together;

/// The faults of this file.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_broker::<DropsEveryThirdAck>(
        "drops_every_third_ack",
        "answers `Done` to every third ack and forgets it",
        "broker::an_acked_message_is_never_delivered_again",
    ),
    Fault::of_broker::<AcksByMessage>(
        "accepts_a_stale_ack",
        "acks the message of a delivery whose lease was lost, under its new holder",
        "broker::a_stale_ack_does_not_disturb_the_new_holder",
    ),
    Fault::of_broker::<RetriesTwice>(
        "applies_a_second_retry",
        "publishes the replacement of a retry even where the delivery was settled or lost before",
        "broker::a_stale_retry_makes_no_third_delivery",
    ),
    Fault::of_broker::<ShrugsAtForeignReceipts>(
        "accepts_a_foreign_receipt",
        "answers `Done` to a receipt that it never gave out",
        "broker::a_foreign_receipt_is_refused_alone",
    ),
    Fault::of_broker::<OneFailureFailsAll>(
        "fails_a_batch_for_one_foreign_receipt",
        "answers an error for the whole batch when one receipt is not its own",
        "broker::a_foreign_receipt_is_refused_alone",
    ),
    Fault::of_broker::<KeepsTheOldMessage>(
        "retries_the_old_message",
        "delivers the message itself again and not its replacement",
        "broker::a_retry_delivers_its_replacement",
    ),
    Fault::of_broker::<LosesPropertiesOnRetry>(
        "loses_the_properties_on_retry",
        "delivers a retry without its properties, the attempt among them",
        "broker::a_retry_delivers_its_replacement",
    ),
    Fault::of_broker::<LosesPriorityOnRetry>(
        "loses_the_priority_on_retry",
        "delivers a retry with the default priority",
        "broker::a_retry_keeps_its_priority",
    ),
    Fault::of_broker::<RetriesAtOnce>(
        "retries_without_the_delay",
        "delivers a retry at once, whatever its delay",
        "broker::a_retry_with_a_delay_is_not_early",
    ),
    Fault::of_broker::<IgnoresNotBeforeOnRetry>(
        "ignores_not_before_on_retry",
        "delivers a replacement before the time that it names itself",
        "broker::a_replacement_is_not_delivered_before_its_own_time",
    ),
    Fault::of_broker::<LosesReleases>(
        "loses_a_released_message",
        "acks what is released",
        "broker::a_release_is_delivered_again_at_once",
    ),
    Fault::of_broker::<ReleasesAtOnce>(
        "releases_without_the_delay",
        "delivers a released message at once, whatever its delay",
        "broker::a_release_with_a_delay_is_not_early",
    ),
    Fault::of_broker::<ForgetsTheReason>(
        "forgets_why_a_message_is_dead",
        "sets a message aside without the reason",
        "broker::a_dead_message_keeps_everything",
    ),
    Fault::of_broker::<DeliversTheDead>(
        "delivers_dead_messages",
        "gives back what is to be set aside",
        "broker::a_dead_message_is_not_delivered_again",
    ),
];

/// Settles a batch with each settlement changed first.
async fn settle_changed(
    site: &Site,
    mut batch: Vec<Settle>,
    change: impl Fn(&mut Settlement),
) -> Vec<Result<Settled>> {
    for item in &mut batch {
        change(&mut item.settlement);
    }
    site.good.settle(batch).await
}

#[derive(Debug, Default)]
struct DropsEveryThirdAck(AtomicU64);

#[async_trait]
impl BrokerFault for DropsEveryThirdAck {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let mut answers = Vec::new();
        for item in batch {
            let ack = matches!(item.settlement, Settlement::Ack);
            if ack && self.0.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
                answers.push(Ok(Settled::Done));
            } else {
                answers.extend(site.good.settle(vec![item]).await);
            }
        }
        answers
    }
}

/// Knows the receipts of a message, and takes the newest for any of them.
#[derive(Debug, Default)]
struct AcksByMessage {
    messages: Mutex<HashMap<Receipt, JobId>>,
    newest: Mutex<HashMap<JobId, Receipt>>,
}

impl AcksByMessage {
    fn saw(&self, delivery: &Delivery) {
        if let Some(id) = delivery.message.id {
            let receipt = &delivery.receipt;
            let mut messages = self.messages.lock().expect("nobody panics with it");
            messages.insert(receipt.clone(), id);
            let mut newest = self.newest.lock().expect("nobody panics with it");
            newest.insert(id, receipt.clone());
        }
    }

    fn newest(&self, receipt: &Receipt) -> Option<Receipt> {
        let messages = self.messages.lock().expect("nobody panics with it");
        let id = messages.get(receipt)?;
        let newest = self.newest.lock().expect("nobody panics with it");
        newest.get(id).cloned()
    }
}

#[async_trait]
impl BrokerFault for AcksByMessage {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let taken = taking.good.reserve(max, wait).await?;
        for delivery in &taken {
            self.saw(delivery);
        }
        Ok(taken)
    }

    async fn settle(&self, site: &Site, mut batch: Vec<Settle>) -> Vec<Result<Settled>> {
        for item in &mut batch {
            if matches!(item.settlement, Settlement::Ack)
                && let Some(newest) = self.newest(&item.receipt)
            {
                item.receipt = newest;
            }
        }
        site.good.settle(batch).await
    }
}

#[derive(Debug, Default)]
struct RetriesTwice(Mutex<HashMap<Receipt, bananas_core::QueueName>>);

#[async_trait]
impl BrokerFault for RetriesTwice {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let taken = taking.good.reserve(max, wait).await?;
        let mut queues = self.0.lock().expect("nobody panics with it");
        for delivery in &taken {
            queues.insert(delivery.receipt.clone(), delivery.queue.clone());
        }
        drop(queues);
        Ok(taken)
    }

    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let mut answers = Vec::new();
        for item in batch {
            let answer = site.good.settle(vec![item.clone()]).await.remove(0);
            let late = matches!(answer, Ok(Settled::Already | Settled::LeaseLost));
            let queues = || self.0.lock().expect("nobody panics with it");
            let queue = queues().get(&item.receipt).cloned();
            if late
                && let Settlement::Retry { message, .. } = item.settlement
                && let Some(queue) = queue
            {
                let message = *message;
                drop(site.good.publish(vec![Publish { queue, message }]).await);
            }
            answers.push(answer);
        }
        answers
    }
}

#[derive(Debug, Default)]
struct ShrugsAtForeignReceipts;

#[async_trait]
impl BrokerFault for ShrugsAtForeignReceipts {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let shrug = |answer: Result<Settled>| match answer {
            Err(e) if e.kind() == ErrorKind::InvalidArgument => Ok(Settled::Done),
            answer => answer,
        };
        let answers = site.good.settle(batch).await;
        answers.into_iter().map(shrug).collect()
    }
}

#[derive(Debug, Default)]
struct OneFailureFailsAll;

#[async_trait]
impl BrokerFault for OneFailureFailsAll {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        fail_together(site.good.settle(batch).await)
    }
}

#[derive(Debug, Default)]
struct KeepsTheOldMessage;

#[async_trait]
impl BrokerFault for KeepsTheOldMessage {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let keep = |settlement: &mut Settlement| {
            if let Settlement::Retry { delay, .. } = settlement {
                *settlement = Settlement::Release { delay: *delay };
            }
        };
        settle_changed(site, batch, keep).await
    }
}

#[derive(Debug, Default)]
struct LosesPropertiesOnRetry;

#[async_trait]
impl BrokerFault for LosesPropertiesOnRetry {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let lose = |settlement: &mut Settlement| {
            if let Settlement::Retry { message, .. } = settlement {
                message.properties.clear();
            }
        };
        settle_changed(site, batch, lose).await
    }
}

#[derive(Debug, Default)]
struct LosesPriorityOnRetry;

#[async_trait]
impl BrokerFault for LosesPriorityOnRetry {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let lose = |settlement: &mut Settlement| {
            if let Settlement::Retry { message, .. } = settlement {
                message.priority = Priority::DEFAULT;
            }
        };
        settle_changed(site, batch, lose).await
    }
}

#[derive(Debug, Default)]
struct RetriesAtOnce;

#[async_trait]
impl BrokerFault for RetriesAtOnce {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let hurry = |settlement: &mut Settlement| {
            if let Settlement::Retry { delay, .. } = settlement {
                *delay = Duration::ZERO;
            }
        };
        settle_changed(site, batch, hurry).await
    }
}

#[derive(Debug, Default)]
struct IgnoresNotBeforeOnRetry;

#[async_trait]
impl BrokerFault for IgnoresNotBeforeOnRetry {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let hurry = |settlement: &mut Settlement| {
            if let Settlement::Retry { message, .. } = settlement {
                message.not_before = None;
            }
        };
        settle_changed(site, batch, hurry).await
    }
}

#[derive(Debug, Default)]
struct LosesReleases;

#[async_trait]
impl BrokerFault for LosesReleases {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let lose = |settlement: &mut Settlement| {
            if let Settlement::Release { .. } = settlement {
                *settlement = Settlement::Ack;
            }
        };
        settle_changed(site, batch, lose).await
    }
}

#[derive(Debug, Default)]
struct ReleasesAtOnce;

#[async_trait]
impl BrokerFault for ReleasesAtOnce {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let hurry = |settlement: &mut Settlement| {
            if let Settlement::Release { delay } = settlement {
                *delay = Duration::ZERO;
            }
        };
        settle_changed(site, batch, hurry).await
    }
}

#[derive(Debug, Default)]
struct ForgetsTheReason;

#[async_trait]
impl BrokerFault for ForgetsTheReason {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let forget = |settlement: &mut Settlement| {
            if let Settlement::DeadLetter { reason, .. } = settlement {
                reason.clear();
            }
        };
        settle_changed(site, batch, forget).await
    }
}

#[derive(Debug, Default)]
struct DeliversTheDead;

#[async_trait]
impl BrokerFault for DeliversTheDead {
    async fn settle(&self, site: &Site, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let revive = |settlement: &mut Settlement| {
            if let Settlement::DeadLetter { .. } = settlement {
                let delay = Duration::ZERO;
                *settlement = Settlement::Release { delay };
            }
        };
        settle_changed(site, batch, revive).await
    }
}
