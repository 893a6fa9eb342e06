//! Brokers that are looked after wrongly: queues made, counted, emptied and closed.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, Bucket, Count, Delivery, Depth, Fact, JobId, Publish, QueueName,
    QueueSpec, RawMessage, Receipt, Result, Settle, Settlement,
};

use super::broken_broker::{BrokerFault, Site};
use super::fault::Fault;
use super::taking::Taking;

/// The faults of this file.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_broker::<HidesItsClass>(
        "hides_its_durability_class",
        "says nothing about what survives",
        "broker::the_facts_say_what_survives_and_what_to_change",
    ),
    Fault::of_broker::<EnsureEmpties>(
        "empties_a_queue_that_is_ensured_again",
        "makes a queue anew when it is ensured again",
        "broker::ensure_is_idempotent_from_many_clients_at_once",
    ),
    Fault::of_broker::<CountsOneMore>(
        "counts_one_message_too_many",
        "counts one more ready message than there is",
        "broker::depth_counts_each_bucket_exactly",
    ),
    Fault::of_broker::<CountsMissingQueues>(
        "counts_a_queue_that_is_missing",
        "answers an empty queue where there is none",
        "broker::a_queue_that_does_not_exist_has_no_depth",
    ),
    Fault::of_broker::<ChangesItsIncarnation>(
        "changes_its_incarnation",
        "names another incarnation each time it is asked",
        "broker::the_incarnation_stays_until_the_queue_is_deleted",
    ),
    Fault::of_broker::<PeekConsumes>(
        "consumes_what_is_peeked_at",
        "takes the messages out of the queue to look at them",
        "broker::peek_changes_nothing",
    ),
    Fault::of_broker::<PurgesEverything>(
        "purges_the_dead_with_the_ready",
        "purges the dead queue, too, when the ready messages are purged",
        "broker::purge_empties_one_bucket_of_one_queue",
    ),
    Fault::of_broker::<PurgesInFlight>(
        "purges_what_is_in_flight",
        "purges what is delivered and not settled, too",
        "broker::a_purge_leaves_what_is_in_flight",
    ),
    Fault::of_broker::<RedrivesAll>(
        "redrives_more_than_was_named",
        "makes all dead messages ready when some are named",
        "broker::a_redrive_brings_each_dead_message_back_once",
    ),
    Fault::of_broker::<RedrivesCopies>(
        "redrives_a_copy",
        "publishes dead messages again and leaves them in the dead queue",
        "broker::a_redrive_brings_each_dead_message_back_once",
    ),
    Fault::of_broker::<NeverCloses>(
        "stays_open_after_the_close",
        "goes on as before when it is closed",
        "broker::publishing_after_the_close_is_closed",
    ),
];

#[derive(Debug, Default)]
struct EnsureEmpties;

#[async_trait]
impl BrokerFault for EnsureEmpties {
    async fn ensure(&self, good: &dyn Broker, queues: &[QueueSpec]) -> Result<()> {
        if let Some(admin) = good.admin() {
            for queue in queues {
                admin.delete(&queue.name).await?;
            }
        }
        good.ensure(queues).await
    }
}

#[derive(Debug, Default)]
struct CountsOneMore;

#[async_trait]
impl BrokerFault for CountsOneMore {
    async fn depth(&self, good: &dyn BrokerAdmin, queues: &[QueueName]) -> Result<Vec<Depth>> {
        let mut depths = good.depth(queues).await?;
        for depth in &mut depths {
            depth.ready = Count::Exact(depth.ready.value().unwrap_or(0) + 1);
        }
        Ok(depths)
    }
}

#[derive(Debug, Default)]
struct CountsMissingQueues;

#[async_trait]
impl BrokerFault for CountsMissingQueues {
    async fn depth(&self, good: &dyn BrokerAdmin, queues: &[QueueName]) -> Result<Vec<Depth>> {
        let mut depths = Vec::new();
        for queue in queues {
            let known = good.depth(std::slice::from_ref(queue)).await?;
            depths.push(known.into_iter().next().unwrap_or_else(|| Depth {
                queue: queue.clone(),
                ready: Count::Exact(0),
                in_flight: Count::Exact(0),
                delayed: Count::Exact(0),
                dead: Count::Exact(0),
                incarnation: None,
            }));
        }
        Ok(depths)
    }
}

#[derive(Debug, Default)]
struct ChangesItsIncarnation(Mutex<u64>);

#[async_trait]
impl BrokerFault for ChangesItsIncarnation {
    async fn depth(&self, good: &dyn BrokerAdmin, queues: &[QueueName]) -> Result<Vec<Depth>> {
        let mut depths = good.depth(queues).await?;
        let mut asked = self.0.lock().expect("nobody panics with it");
        for depth in &mut depths {
            *asked += 1;
            depth.incarnation = Some(asked.to_string());
        }
        Ok(depths)
    }
}

#[derive(Debug, Default)]
struct PeekConsumes;

#[async_trait]
impl BrokerFault for PeekConsumes {
    async fn peek(
        &self,
        good: &dyn BrokerAdmin,
        (queue, bucket): (&QueueName, Bucket),
        max: usize,
    ) -> Result<Vec<RawMessage>> {
        let seen = good.peek(queue, bucket, max).await?;
        good.purge(queue, bucket).await?;
        Ok(seen)
    }
}

#[derive(Debug, Default)]
struct PurgesEverything;

#[async_trait]
impl BrokerFault for PurgesEverything {
    async fn purge(&self, site: &Site, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        let purged = site.admin().purge(queue, bucket).await?;
        site.admin().purge(queue, Bucket::Dead).await?;
        Ok(purged)
    }
}

#[derive(Debug, Default)]
struct PurgesInFlight(Mutex<Vec<Receipt>>);

#[async_trait]
impl BrokerFault for PurgesInFlight {
    async fn reserve(
        &self,
        taking: &mut Taking,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let taken = taking.good.reserve(max, wait).await?;
        let mut out = self.0.lock().expect("nobody panics with it");
        out.extend(taken.iter().map(|delivery| delivery.receipt.clone()));
        drop(out);
        Ok(taken)
    }

    async fn purge(&self, site: &Site, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        let out = std::mem::take(&mut *self.0.lock().expect("nobody panics with it"));
        let ack = |receipt| Settle {
            receipt,
            settlement: Settlement::Ack,
        };
        drop(site.good.settle(out.into_iter().map(ack).collect()).await);
        site.admin().purge(queue, bucket).await
    }
}

#[derive(Debug, Default)]
struct RedrivesAll;

#[async_trait]
impl BrokerFault for RedrivesAll {
    async fn redrive(&self, site: &Site, queue: &QueueName, _: Option<&[JobId]>) -> Result<u64> {
        site.admin().redrive(queue, None).await
    }
}

#[derive(Debug, Default)]
struct RedrivesCopies;

#[async_trait]
impl BrokerFault for RedrivesCopies {
    async fn redrive(&self, site: &Site, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        let dead = site.admin().peek(queue, Bucket::Dead, usize::MAX).await?;
        let wanted = |message: &RawMessage| {
            ids.is_none_or(|ids| message.id.is_some_and(|id| ids.contains(&id)))
        };
        let copy = |message| Publish {
            queue: queue.clone(),
            message,
        };
        let copies: Vec<Publish> = dead.into_iter().filter(wanted).map(copy).collect();
        let redriven = u64::try_from(copies.len()).unwrap_or(u64::MAX);
        drop(site.good.publish(copies).await);
        Ok(redriven)
    }
}

#[derive(Debug, Default)]
struct NeverCloses;

#[async_trait]
impl BrokerFault for NeverCloses {
    async fn close(&self, _: &dyn Broker, _: Duration) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct HidesItsClass;

#[async_trait]
impl BrokerFault for HidesItsClass {
    async fn facts(&self, good: &dyn Broker) -> Result<Vec<Fact>> {
        let mut facts = good.facts().await?;
        facts.retain(|fact| fact.name != Fact::DURABILITY);
        Ok(facts)
    }
}
