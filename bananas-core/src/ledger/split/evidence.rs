//! Evidence that a broker lost its data. Age is none.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::{Count, Depth, Publication, QueueName, Tick};

/// What was seen of the broker's queues so far.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    queues: BTreeMap<QueueName, Seen>,
    /// The batch of what has been published again so far, while there is more.
    publication: Option<Publication>,
}

#[derive(Debug, Default)]
struct Seen {
    incarnation: Option<String>,
    empty_since: Option<Tick>,
    /// How many of its jobs are still to be published again. The loss is seen once, so it is remembered until
    /// it is made good; and no more than were waiting then, whatever others publish beside us.
    to_publish: u64,
}

impl Evidence {
    /// Watches a queue.
    pub(super) fn watch(&mut self, queue: &QueueName) {
        self.queues.entry(queue.clone()).or_default();
    }

    /// The watched queues.
    pub(super) fn queues(&self) -> Vec<QueueName> {
        self.queues.keys().cloned().collect()
    }

    /// Looks at the broker's counts beside the store's: the queues whose data are lost.
    ///
    /// A queue is lost when its incarnation changed or went away, or when two looks, `apart` from each other
    /// or more, find it empty while the store counts ready jobs on it.
    pub(super) fn look(
        &mut self,
        now: Tick,
        depths: &[Depth],
        ready: &HashMap<QueueName, u64>,
        apart: Duration,
    ) -> Vec<QueueName> {
        let mut lost = Vec::new();
        for (name, seen) in &mut self.queues {
            let depth = depths.iter().find(|depth| depth.queue == *name);
            let incarnation = depth.and_then(|depth| depth.incarnation.clone());
            let reborn = seen.incarnation.is_some() && seen.incarnation != incarnation;
            if incarnation.is_some() || reborn {
                seen.incarnation = incarnation;
            }
            let waiting = ready.get(name).copied().unwrap_or(0);
            let is_lost = if reborn {
                true
            } else if waiting > 0 && depth.is_some_and(is_empty) {
                now.since(*seen.empty_since.get_or_insert(now)) >= apart
            } else {
                seen.empty_since = None;
                false
            };
            if is_lost {
                seen.empty_since = None;
                seen.to_publish = waiting;
                lost.push(name.clone());
            }
        }
        lost
    }

    /// The queues with jobs that are still to be published again.
    pub(super) fn lost(&self) -> Vec<QueueName> {
        let lost = self.queues.iter().filter(|(_, seen)| seen.to_publish > 0);
        lost.map(|(name, _)| name.clone()).collect()
    }

    /// So many jobs of these queues are published.
    pub(super) fn count_down(&mut self, published: &HashMap<QueueName, u64>) {
        for (name, jobs) in published {
            if let Some(seen) = self.queues.get_mut(name) {
                seen.to_publish = seen.to_publish.saturating_sub(*jobs);
            }
        }
    }

    /// Nothing of these queues is left to be published.
    pub(super) fn is_published(&mut self, queues: &[QueueName]) {
        for name in queues {
            if let Some(seen) = self.queues.get_mut(name) {
                seen.to_publish = 0;
            }
        }
    }

    pub(super) fn keep_publication(&mut self, publication: Publication) {
        self.publication = Some(publication);
    }

    pub(super) fn take_publication(&mut self) -> Option<Publication> {
        self.publication.take()
    }
}

/// Surely nothing ready and nothing in flight.
fn is_empty(depth: &Depth) -> bool {
    let zero = |count: Count| count.value() == Some(0);
    zero(depth.ready) && zero(depth.in_flight) && zero(depth.delayed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(ready: u64, incarnation: &str) -> Depth {
        Depth {
            queue: QueueName::default_queue(),
            ready: Count::Exact(ready),
            in_flight: Count::Exact(0),
            delayed: Count::Exact(0),
            dead: Count::Exact(0),
            incarnation: Some(incarnation.to_owned()),
        }
    }

    fn look(evidence: &mut Evidence, second: u64, depth: Depth, ready: u64) -> usize {
        let ready = HashMap::from([(QueueName::default_queue(), ready)]);
        let now = Tick::from_micros(second * 1_000_000);
        evidence
            .look(now, &[depth], &ready, Duration::from_secs(30))
            .len()
    }

    fn watching() -> Evidence {
        let mut evidence = Evidence::default();
        evidence.watch(&QueueName::default_queue());
        evidence
    }

    #[test]
    fn a_long_backlog_is_no_evidence() {
        let mut evidence = watching();
        for second in 0..10_000 {
            assert_eq!(
                look(&mut evidence, second, depth(1_000_000, "a"), 1_000_000),
                0
            );
        }
    }

    #[test]
    fn a_queue_found_empty_twice_while_jobs_are_ready_is_lost() {
        let mut evidence = watching();
        assert_eq!(look(&mut evidence, 0, depth(0, "a"), 5), 0);
        assert_eq!(look(&mut evidence, 29, depth(0, "a"), 5), 0);
        assert_eq!(look(&mut evidence, 30, depth(0, "a"), 5), 1);
        assert_eq!(
            look(&mut evidence, 31, depth(0, "a"), 5),
            0,
            "published again, it is watched anew"
        );
    }

    #[test]
    fn one_look_at_a_message_in_between_starts_the_wait_again() {
        let mut evidence = watching();
        assert_eq!(look(&mut evidence, 0, depth(0, "a"), 5), 0);
        assert_eq!(look(&mut evidence, 20, depth(1, "a"), 5), 0);
        assert_eq!(look(&mut evidence, 40, depth(0, "a"), 5), 0);
    }

    #[test]
    fn another_incarnation_is_evidence_at_once() {
        let mut evidence = watching();
        assert_eq!(look(&mut evidence, 0, depth(3, "a"), 5), 0);
        assert_eq!(look(&mut evidence, 1, depth(0, "b"), 5), 1);
        assert_eq!(look(&mut evidence, 2, depth(5, "b"), 5), 0);
    }
}
