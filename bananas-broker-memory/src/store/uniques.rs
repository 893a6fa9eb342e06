//! Unique keys: which job holds one, and until when.
//!
//! A key outlives its job's record: it lasts for its time, finished or not.

use std::collections::{BTreeSet, HashMap};

use bananas_core::{JobId, QueueName, Timestamp, Unique};

type Key = (QueueName, String);

/// The keys that are held.
#[derive(Debug, Default)]
pub(super) struct Uniques {
    holders: HashMap<Key, JobId>,
    ends: BTreeSet<(Timestamp, Key)>,
}

impl Uniques {
    /// Gives the key to `job`, or names the job that holds it.
    pub(super) fn hold(
        &mut self,
        queue: &QueueName,
        unique: Unique,
        job: JobId,
        now: Timestamp,
    ) -> Result<(), JobId> {
        self.release_ended(now);
        let key = (queue.clone(), unique.key);
        if let Some(holder) = self.holders.get(&key) {
            return Err(*holder);
        }
        let end = now + unique.lasts;
        if end > now {
            self.holders.insert(key.clone(), job);
            self.ends.insert((end, key));
        }
        Ok(())
    }

    fn release_ended(&mut self, now: Timestamp) {
        while self.ends.first().is_some_and(|(end, _)| *end <= now) {
            if let Some((_, key)) = self.ends.pop_first() {
                self.holders.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_key_is_held_for_its_time_on_its_queue() {
        let mut uniques = Uniques::default();
        let mut hold = |queue: &str, n: u8, second: i64| {
            let unique = Unique {
                key: "k".to_owned(),
                lasts: Duration::from_secs(10),
            };
            let id = JobId::from_slice(&[n; 16]).unwrap();
            let now = Timestamp::from_micros(second * 1_000_000);
            uniques.hold(&QueueName::new(queue).unwrap(), unique, id, now)
        };
        assert_eq!(hold("a", 1, 0), Ok(()));
        assert_eq!(hold("b", 2, 0), Ok(()));
        assert_eq!(hold("a", 3, 9), Err(JobId::from_slice(&[1; 16]).unwrap()));
        assert_eq!(hold("a", 4, 10), Ok(()));
    }
}
