//! Batches that the server takes in one call: items of one queue, not too many and not too large.

use bananas_core::QueueName;

use crate::engine::BATCH;

/// About how many bytes one call carries, unless a single item is larger.
const BYTES: usize = 4 * 1024 * 1024;

/// Items of one queue, with their places among all.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    pub(crate) queue: QueueName,
    pub(crate) items: Vec<(usize, T)>,
    bytes: usize,
}

/// Batches in the making.
#[derive(Debug)]
pub(crate) struct Batches<T>(Vec<Batch<T>>);

impl<T> Batches<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an item behind all others of its queue.
    pub(crate) fn add(&mut self, queue: &QueueName, (place, item): (usize, T), bytes: usize) {
        let last = self.0.iter_mut().rev().find(|batch| batch.queue == *queue);
        match last {
            Some(batch) if batch.items.len() < BATCH && batch.bytes + bytes <= BYTES => {
                batch.items.push((place, item));
                batch.bytes += bytes;
            }
            _ => self.0.push(Batch {
                queue: queue.clone(),
                items: vec![(place, item)],
                bytes,
            }),
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Batch<T>> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_of_one_queue_and_bounded() {
        let (mail, other) = ("mail".parse().unwrap(), "other".parse().unwrap());
        let mut batches = Batches::new();
        for place in 0..=BATCH {
            batches.add(&mail, (place, ()), 1);
            batches.add(&other, (place, ()), BYTES / 2);
        }
        let sizes = |queue: &QueueName, batches: &[Batch<()>]| {
            let mine = batches.iter().filter(|batch| batch.queue == *queue);
            mine.map(|batch| batch.items.len()).collect::<Vec<_>>()
        };
        let batches = batches.into_vec();
        assert_eq!(sizes(&mail, &batches), [BATCH, 1]);
        assert!(sizes(&other, &batches).iter().all(|items| *items <= 2));
    }
}
