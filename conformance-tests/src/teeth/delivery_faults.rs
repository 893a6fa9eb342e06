//! Brokers that deliver wrongly.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, Consumer, ConsumerSpec, Delivery, DeliveryCount, ErrorKind, JobId, Priority, Publish,
    Published, QueueSpec, Result, Settlement,
};

use super::broken_broker::{BrokerFault, Site};
use super::fault::Fault;
use super::taking::Taking;

/// The faults of this file.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_broker::<HandsOutTwice>(
        "hands_a_delivery_out_twice",
        "hands every tenth delivery out a second time, under its valid lease",
        "broker::a_batch_is_delivered_once_each",
    ),
    Fault::of_broker::<SwallowsRedeliveries>(
        "swallows_redeliveries",
        "hands a message out once, and takes it for seen when it comes again",
        "broker::a_dropped_delivery_is_not_acked",
    ),
    Fault::of_broker::<GivesUp>(
        "gives_up_after_twenty_deliveries",
        "sets a message aside by itself when it was delivered twenty times",
        "broker::messages_given_back_a_hundred_times_are_not_lost",
    ),
    Fault::of_broker::<CountsFromOne>(
        "takes_every_delivery_for_the_first",
        "says of each delivery that it is the first",
        "broker::delivery_counts_grow_with_each_redelivery",
    ),
    Fault::of_broker::<ReversesPriorities>(
        "delivers_low_priorities_first",
        "takes the lowest priority for the most urgent",
        "broker::higher_priorities_come_first_across_all_levels",
    ),
    Fault::of_broker::<LetsOvertake>(
        "ignores_order",
        "lets every other message be overtaken by the one after it",
        "broker::messages_of_one_priority_come_first_in_first_out",
    ),
    Fault::of_broker::<LosesWhatADropTook>(
        "loses_what_a_dropped_reserve_took",
        "leases messages and then waits a moment before it returns them",
        "broker::a_dropped_reserve_loses_nothing",
    ),
    Fault::of_broker::<StopKeeps>(
        "keeps_at_stop_what_it_has_buffered",
        "takes messages ahead, and does not give them back when it is stopped",
        "broker::stop_gives_back_at_once_what_was_not_returned",
    ),
    Fault::of_broker::<StopIsIgnored>(
        "goes_on_after_stop",
        "takes messages after it was stopped",
        "broker::a_stopped_consumer_takes_nothing_more",
    ),
    Fault::of_broker::<IgnoresCredit>(
        "ignores_the_credit",
        "hands out more deliveries than the credit allows",
        "broker::never_more_deliveries_are_out_than_the_credit_allows",
    ),
    Fault::of_broker::<IgnoresMax>(
        "ignores_how_many_were_asked_for",
        "returns up to three more deliveries than it was asked for",
        "broker::reserve_never_answers_more_than_it_was_asked_for",
    ),
    Fault::of_broker::<ReturnsAtOnce>(
        "does_not_wait",
        "returns at once when there is no message",
        "broker::reserve_is_empty_after_its_wait_and_not_before",
    ),
    Fault::of_broker::<SleepsThroughPublishes>(
        "sleeps_through_a_publish",
        "looks for messages when its wait is over, and not before",
        "broker::reserve_wakes_on_a_publish_by_another_client",
    ),
    Fault::of_broker::<MakesMissingQueues>(
        "makes_a_queue_that_is_missing",
        "makes the queue it is to consume when there is none",
        "broker::consuming_a_missing_queue_is_not_found",
    ),
    Fault::of_broker::<HangsAfterClose>(
        "leaves_a_reserve_hanging_after_the_close",
        "leaves whoever waits for a message waiting when it is closed",
        "broker::a_close_ends_a_long_reserve",
    ),
];

#[derive(Debug, Default)]
struct HandsOutTwice(AtomicU64);

#[async_trait]
impl BrokerFault for HandsOutTwice {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let again = taking.held.len().min(max);
        if again > 0 {
            return Ok(taking.held.drain(..again).collect());
        }
        let taken = taking.good.reserve(max, wait).await?;
        for delivery in &taken {
            if self.0.fetch_add(1, Ordering::Relaxed) % 10 == 9 {
                taking.held.push_back(delivery.clone());
            }
        }
        Ok(taken)
    }
}

#[derive(Debug, Default)]
struct SwallowsRedeliveries;

#[async_trait]
impl BrokerFault for SwallowsRedeliveries {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let first = |delivery: &Delivery| delivery.count.known() <= 1;
        taking.reserve_where(max, wait, first).await
    }
}

#[derive(Debug, Default)]
struct GivesUp(Mutex<HashMap<JobId, u32>>);

impl GivesUp {
    fn is_enough(&self, delivery: &Delivery) -> bool {
        let mut seen = self.0.lock().expect("nobody panics with it");
        delivery.message.id.is_some_and(|id| {
            let seen = seen.entry(id).or_default();
            *seen += 1;
            *seen > 20
        })
    }
}

#[async_trait]
impl BrokerFault for GivesUp {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let mut enough = Vec::new();
        let keep = |delivery: &Delivery| {
            let given_up = self.is_enough(delivery);
            if given_up {
                enough.push(delivery.receipt.clone());
            }
            !given_up
        };
        let taken = taking.reserve_where(max, wait, keep).await;
        for receipt in enough {
            let reason = "delivered too often".to_owned();
            let message = None;
            let dead = Settlement::DeadLetter { reason, message };
            taking.settle(&receipt, dead).await;
        }
        taken
    }
}

#[derive(Debug, Default)]
struct CountsFromOne;

#[async_trait]
impl BrokerFault for CountsFromOne {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let taken = taking.good.reserve(max, wait).await?;
        let first = |delivery: Delivery| delivery.counted(DeliveryCount::Exact(1));
        Ok(taken.into_iter().map(first).collect())
    }
}

#[derive(Debug, Default)]
struct ReversesPriorities;

fn reversed(priority: Priority) -> Priority {
    Priority::new(Priority::MAX.get() - priority.get()).expect("it is between the two ends")
}

#[async_trait]
impl BrokerFault for ReversesPriorities {
    async fn publish(&self, site: &Site, mut batch: Vec<Publish>) -> Vec<Result<Published>> {
        for item in &mut batch {
            item.message.priority = reversed(item.message.priority);
        }
        site.good.publish(batch).await
    }

    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let mut taken = taking.good.reserve(max, wait).await?;
        for delivery in &mut taken {
            delivery.message.priority = reversed(delivery.message.priority);
        }
        Ok(taken)
    }
}

#[derive(Debug, Default)]
struct LetsOvertake(AtomicU64);

#[async_trait]
impl BrokerFault for LetsOvertake {
    async fn publish(&self, site: &Site, mut batch: Vec<Publish>) -> Vec<Result<Published>> {
        for item in &mut batch {
            let other = self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            if other && item.message.not_before.is_none() {
                item.message.not_before = Some(site.env.now() + Duration::from_millis(2));
            }
        }
        site.good.publish(batch).await
    }

    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let mut taken = taking.good.reserve(max, wait).await?;
        for delivery in &mut taken {
            delivery.message.not_before = None;
        }
        Ok(taken)
    }
}

#[derive(Debug, Default)]
struct LosesWhatADropTook;

#[async_trait]
impl BrokerFault for LosesWhatADropTook {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let taken = taking.good.reserve(max, wait).await?;
        taking.env.sleep(Duration::from_millis(1)).await;
        Ok(taken)
    }
}

#[derive(Debug, Default)]
struct StopKeeps;

#[async_trait]
impl BrokerFault for StopKeeps {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        if taking.held.is_empty() {
            taking.held.extend(taking.good.reserve(max, wait).await?);
            // As long as an answer is on its way from a server; a drop leaves it in the buffer.
            taking.env.sleep(Duration::from_millis(1)).await;
        }
        let given = taking.held.len().min(max);
        Ok(taking.held.drain(..given).collect())
    }
}

#[derive(Debug, Default)]
struct StopIsIgnored;

#[async_trait]
impl BrokerFault for StopIsIgnored {
    async fn stop(&self, _: &mut Taking) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct IgnoresCredit;

#[async_trait]
impl BrokerFault for IgnoresCredit {
    async fn consume(
        &self,
        good: &dyn Broker,
        mut spec: ConsumerSpec,
    ) -> Result<Box<dyn Consumer>> {
        spec.credit = u32::MAX;
        good.consume(spec).await
    }
}

#[derive(Debug, Default)]
struct IgnoresMax;

#[async_trait]
impl BrokerFault for IgnoresMax {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        taking.good.reserve(max + 3, wait).await
    }
}

#[derive(Debug, Default)]
struct ReturnsAtOnce;

#[async_trait]
impl BrokerFault for ReturnsAtOnce {
    async fn reserve(&self, taking: &mut Taking, max: usize, _: Duration) -> Result<Vec<Delivery>> {
        taking.good.reserve(max, Duration::ZERO).await
    }
}

#[derive(Debug, Default)]
struct SleepsThroughPublishes;

#[async_trait]
impl BrokerFault for SleepsThroughPublishes {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let taken = taking.good.reserve(max, Duration::ZERO).await?;
        if !taken.is_empty() {
            return Ok(taken);
        }
        taking.env.sleep(wait).await;
        taking.good.reserve(max, Duration::ZERO).await
    }
}

#[derive(Debug, Default)]
struct MakesMissingQueues;

#[async_trait]
impl BrokerFault for MakesMissingQueues {
    async fn consume(&self, good: &dyn Broker, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        good.ensure(&[QueueSpec::new(spec.queue.clone())]).await?;
        good.consume(spec).await
    }
}

#[derive(Debug, Default)]
struct HangsAfterClose;

#[async_trait]
impl BrokerFault for HangsAfterClose {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        match taking.good.reserve(max, wait).await {
            Err(e) if e.kind() == ErrorKind::Closed => pending().await,
            answer => answer,
        }
    }
}
