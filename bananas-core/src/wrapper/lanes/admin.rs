//! Looking after queues that are lanes underneath.

use async_trait::async_trait;

use super::{PriorityLanes, Shared};
use crate::{
    BrokerAdmin, Bucket, Count, Depth, Error, ErrorKind, JobId, QueueName, RawMessage, Result,
};

impl Shared {
    fn inner_admin(&self) -> Result<&dyn BrokerAdmin> {
        let none = || Error::new(ErrorKind::Unsupported, "the broker has no admin side");
        self.inner.admin().ok_or_else(none)
    }

    /// The lanes of a queue that may be asked for, from the most urgent to the least.
    fn admin_lanes(&self, queue: &QueueName) -> Result<Vec<QueueName>> {
        self.plan.check(queue)?;
        let mut lanes = self.plan.lanes(queue);
        lanes.reverse();
        Ok(lanes)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BrokerAdmin for PriorityLanes {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        let plan = &self.shared.plan;
        let queues = queues.iter().filter(|queue| plan.queue_of(queue).is_none());
        let queues: Vec<(&QueueName, Vec<QueueName>)> =
            queues.map(|queue| (queue, plan.lanes(queue))).collect();
        let lanes: Vec<QueueName> = queues.iter().flat_map(|(_, lanes)| lanes.clone()).collect();
        let depths = self.shared.inner_admin()?.depth(&lanes).await;
        let depths = depths.map_err(|e| plan.of_queue(e))?;
        let of_lane = |lane: &QueueName| depths.iter().find(|depth| depth.queue == *lane);
        let of_queue = |(queue, lanes): (&QueueName, Vec<QueueName>)| {
            let depths: Vec<Option<&Depth>> = lanes.iter().map(of_lane).collect();
            sum(queue, &depths)
        };
        Ok(queues.into_iter().filter_map(of_queue).collect())
    }

    async fn peek(&self, queue: &QueueName, bucket: Bucket, max: usize) -> Result<Vec<RawMessage>> {
        let mut seen = Vec::new();
        for lane in self.shared.admin_lanes(queue)? {
            let left = max.saturating_sub(seen.len());
            let peeked = self.shared.inner_admin()?.peek(&lane, bucket, left).await;
            seen.extend(peeked.map_err(|e| e.of_queue(queue))?);
        }
        Ok(seen)
    }

    async fn purge(&self, queue: &QueueName, bucket: Bucket) -> Result<u64> {
        let mut removed = 0;
        for lane in self.shared.admin_lanes(queue)? {
            let purged = self.shared.inner_admin()?.purge(&lane, bucket).await;
            removed += purged.map_err(|e| e.of_queue(queue))?;
        }
        Ok(removed)
    }

    async fn redrive(&self, queue: &QueueName, ids: Option<&[JobId]>) -> Result<u64> {
        let mut moved = 0;
        for lane in self.shared.admin_lanes(queue)? {
            let redriven = self.shared.inner_admin()?.redrive(&lane, ids).await;
            moved += redriven.map_err(|e| e.of_queue(queue))?;
        }
        Ok(moved)
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        let mut queues = self.shared.inner_admin()?.queues().await?;
        queues.retain(|queue| self.shared.plan.queue_of(queue).is_none());
        Ok(queues)
    }

    async fn delete(&self, queue: &QueueName) -> Result<()> {
        let mut lanes = self.shared.admin_lanes(queue)?;
        // The queue itself first: without it the rest is no queue any more.
        lanes.sort_by_key(|lane| lane != queue);
        for lane in lanes {
            match self.shared.inner_admin()?.delete(&lane).await {
                // What an interrupted call deleted is not missed.
                Err(e) if e.kind() == ErrorKind::NotFound && lane != *queue => {}
                deleted => deleted.map_err(|e| e.of_queue(queue))?,
            }
        }
        Ok(())
    }
}

/// What a queue holds whose lanes hold so much; `None` if there are no lanes.
fn sum(queue: &QueueName, lanes: &[Option<&Depth>]) -> Option<Depth> {
    let there: Vec<&Depth> = lanes.iter().copied().flatten().collect();
    if there.is_empty() {
        return None;
    }
    let count = |of: fn(&Depth) -> Count| there.iter().copied().map(of).reduce(add);
    let count = |of| count(of).unwrap_or(Count::Unknown);
    Some(Depth {
        queue: queue.clone(),
        ready: count(|depth| depth.ready),
        in_flight: count(|depth| depth.in_flight),
        delayed: count(|depth| depth.delayed),
        dead: count(|depth| depth.dead),
        incarnation: incarnation(lanes),
    })
}

fn add(one: Count, other: Count) -> Count {
    match (one, other) {
        (Count::Exact(one), Count::Exact(other)) => Count::Exact(one + other),
        (Count::Unknown, _) | (_, Count::Unknown) => Count::Unknown,
        (Count::Exact(one) | Count::About(one), Count::Exact(other) | Count::About(other)) => {
            Count::About(one + other)
        }
    }
}

/// Another one as soon as that of one lane is another.
fn incarnation(lanes: &[Option<&Depth>]) -> Option<String> {
    let of = |depth: Option<&Depth>| depth?.incarnation.clone();
    let all: Vec<String> = lanes
        .iter()
        .map(|lane| of(*lane).unwrap_or_default())
        .collect();
    match all.as_slice() {
        [one] => Some(one.clone()).filter(|it| !it.is_empty()),
        all if all.iter().all(String::is_empty) => None,
        all => Some(all.join(",")),
    }
}
