//! Taking messages of one queue from all of its lanes.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;

use super::Shared;
use super::receipt::LaneReceipt;
use super::turns::Turns;
use crate::{
    BoxFuture, Consumer, ConsumerSpec, Delivery, Error, ErrorKind, QueueName, Result, Settlement,
};

/// Takes messages of one queue, from the most urgent lane first.
pub(super) struct LaneConsumer {
    shared: Arc<Shared>,
    spec: ConsumerSpec,
    /// From the most urgent to the least.
    lanes: Vec<Lane>,
    turns: Option<Turns>,
    number: u64,
    /// Taken, and not yet returned: kept here so that a dropped future loses none.
    taken: Vec<Delivery>,
}

struct Lane {
    name: QueueName,
    consumer: Box<dyn Consumer>,
}

impl LaneConsumer {
    pub(super) async fn open(shared: Arc<Shared>, spec: ConsumerSpec) -> Result<Self> {
        let mut lanes = Vec::new();
        for name in shared.plan.lanes(&spec.queue).into_iter().rev() {
            let mut lane = spec.clone();
            lane.queue = name.clone();
            let consumer = shared.inner.consume(lane).await;
            let consumer = consumer.map_err(|e| e.of_queue(&spec.queue))?;
            lanes.push(Lane { name, consumer });
        }
        let plan = shared.plan.lanes_of(&spec.queue);
        let turns = plan.and_then(|lanes| lanes.weights()).map(|weights| {
            let urgent_first: Vec<u32> = weights.iter().rev().copied().collect();
            Turns::new(&urgent_first)
        });
        Ok(Self {
            number: shared.hands.enter(spec.credit),
            shared,
            spec,
            lanes,
            turns,
            taken: Vec::new(),
        })
    }

    /// Takes what is ready, at most `max`.
    async fn look(&mut self, max: usize) -> Result<()> {
        if let Some(turns) = &mut self.turns {
            let shares = turns.share(max);
            for (lane, share) in shares.into_iter().enumerate() {
                if share > 0 {
                    self.reserve_from(lane, share).await?;
                }
            }
        }
        for lane in 0..self.lanes.len() {
            let left = max.saturating_sub(self.taken.len());
            if left > 0 {
                self.reserve_from(lane, left).await?;
            }
        }
        Ok(())
    }

    async fn reserve_from(&mut self, lane: usize, max: usize) -> Result<()> {
        let reserved = match self.lanes.get_mut(lane) {
            Some(lane) => lane.consumer.reserve(max, Duration::ZERO).await,
            None => return Ok(()),
        };
        self.keep(lane, reserved)
    }

    /// Waits for a message in any lane, or for the end of the wait.
    async fn wait(&mut self, max: usize, wait: Duration) -> Result<()> {
        let (lane, reserved) = {
            let lanes = self.lanes.iter_mut();
            let mut waiting: Vec<Option<Reserving<'_>>> = lanes
                .map(|lane| Some(lane.consumer.reserve(max, wait)))
                .collect();
            poll_fn(|cx| {
                for (lane, slot) in waiting.iter_mut().enumerate() {
                    let Some(future) = slot else { continue };
                    match future.as_mut().poll(cx) {
                        Poll::Ready(Ok(none)) if none.is_empty() => *slot = None,
                        Poll::Ready(reserved) => return Poll::Ready((lane, reserved)),
                        Poll::Pending => {}
                    }
                }
                match waiting.iter().all(Option::is_none) {
                    true => Poll::Ready((0, Ok(Vec::new()))),
                    false => Poll::Pending,
                }
            })
            .await
        };
        self.keep(lane, reserved)
    }

    /// Makes deliveries of a lane deliveries of the queue.
    fn keep(&mut self, lane: usize, reserved: Result<Vec<Delivery>>) -> Result<()> {
        let reserved = reserved.map_err(|e| e.of_queue(&self.spec.queue))?;
        let Some(lane) = self.lanes.get(lane) else {
            return Ok(());
        };
        for mut delivery in reserved {
            let receipt = LaneReceipt {
                consumer: self.number,
                lease: self.spec.lease,
                queue: self.spec.queue.clone(),
                lane: lane.name.clone(),
                inner: delivery.receipt,
            };
            self.shared.hands.taken(&receipt, delivery.lease.until);
            delivery.receipt = receipt.receipt();
            delivery.queue = self.spec.queue.clone();
            self.taken.push(delivery);
        }
        Ok(())
    }

    /// What was taken, as far as it is still ours.
    fn hand_out(&mut self, max: usize) -> Vec<Delivery> {
        let now = self.shared.env.monotonic();
        self.taken.retain(|delivery| delivery.lease.until > now);
        let rest = self.taken.split_off(max.min(self.taken.len()));
        std::mem::replace(&mut self.taken, rest)
    }

    fn closed(&self) -> Error {
        Error::new(ErrorKind::Closed, "the broker is closed").on(&self.spec.queue)
    }
}

type Reserving<'a> = BoxFuture<'a, Result<Vec<Delivery>>>;

/// Gives back what was taken and never returned.
async fn give_back(shared: &Shared, taken: Vec<Delivery>) -> Result<()> {
    let release = |delivery: Delivery| {
        let delay = Duration::ZERO;
        let receipt = LaneReceipt::read(&delivery.receipt)?;
        Ok((receipt, Settlement::Release { delay }))
    };
    let batch = taken.into_iter().map(release).collect::<Result<Vec<_>>>()?;
    for settled in shared.settle_inner(batch).await {
        settled?;
    }
    Ok(())
}

impl fmt::Debug for LaneConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneConsumer")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Consumer for LaneConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let env = Arc::clone(&self.shared.env);
        let until = env.monotonic() + wait;
        loop {
            if self.shared.hands.is_closed() {
                return Err(self.closed());
            }
            // What a dropped call took comes first.
            let kept = self.hand_out(max);
            if !kept.is_empty() {
                return Ok(kept);
            }
            let free = self.shared.hands.free(self.number, env.monotonic());
            let looked = self.look(max.min(free)).await;
            let taken = self.hand_out(max);
            if !taken.is_empty() {
                // An error beside them is there with the next call, too.
                return Ok(taken);
            }
            looked?;
            let left = until.since(env.monotonic());
            if left.is_zero() || max == 0 {
                return Ok(Vec::new());
            }
            if free == 0 {
                self.shared.hands.freed(self.number, until, &env).await;
                continue;
            }
            self.wait(max.min(free), left).await?;
            let taken = self.hand_out(max);
            if !taken.is_empty() || env.monotonic() >= until {
                return Ok(taken);
            }
        }
    }

    async fn stop(&mut self) -> Result<()> {
        let mut stopped = Ok(());
        for lane in &mut self.lanes {
            let of_lane = lane.consumer.stop().await;
            stopped = stopped.and(of_lane.map_err(|e| e.of_queue(&self.spec.queue)));
        }
        let taken = std::mem::take(&mut self.taken);
        stopped.and(give_back(&self.shared, taken).await)
    }
}

impl Drop for LaneConsumer {
    fn drop(&mut self) {
        self.shared.hands.leave(self.number);
        let taken = std::mem::take(&mut self.taken);
        if taken.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let give_back = async move {
            if let Err(e) = give_back(&shared, taken).await {
                tracing::warn!(error = %e, "deliveries could not be given back; they come again when their leases end");
            }
        };
        let env = &self.shared.env;
        env.spawn_isolated("give back", Box::pin(give_back));
    }
}
