//! What must hold of the table after every operation. For tests.

use std::collections::{BTreeMap, BTreeSet};

use bananas_core::JobState;

use super::table::Table;

impl Table {
    /// Every job is in exactly the one place where its standing says, and nothing else is in the indexes.
    pub(super) fn check(&self) {
        let mut waiting = 0_usize;
        let mut running = BTreeMap::<_, BTreeSet<_>>::new();
        let (mut due, mut ended, mut dead) = (0_usize, 0_usize, 0_usize);
        for (id, row) in &self.rows {
            let place = row.place();
            let queue = &self.index.queues[&row.record.queue];
            let key = (place.at, *id);
            match place.state {
                JobState::Ready => {
                    let (line, other) = match place.suspect {
                        true => (&queue.suspects, &queue.ready),
                        false => (&queue.ready, &queue.suspects),
                    };
                    assert!(line.iter().any(|job| job == *id));
                    assert!(!other.iter().any(|job| job == *id));
                    waiting += 1;
                }
                JobState::Scheduled | JobState::Retrying => {
                    assert!(queue.due.contains(&key) && self.index.due.contains(&key));
                    due += 1;
                }
                JobState::Running => drop(running.entry(place.owner).or_default().insert(*id)),
                JobState::Dead => {
                    assert!(self.index.dead.contains(&key));
                    dead += 1;
                }
                JobState::Succeeded | JobState::Cancelled | JobState::Expired => {
                    assert!(self.index.ended.contains(&key));
                    ended += 1;
                }
            }
        }
        let queues = || self.index.queues.values();
        assert_eq!(
            waiting,
            queues()
                .map(|q| q.ready.len() + q.suspects.len())
                .sum::<usize>()
        );
        assert_eq!(due, queues().map(|q| q.due.len()).sum::<usize>());
        assert_eq!(
            (due, ended, dead),
            (
                self.index.due.len(),
                self.index.ended.len(),
                self.index.dead.len()
            )
        );
        for (owner, jobs) in &running {
            let known: BTreeSet<_> = self.index.owners.running(owner.unwrap()).collect();
            assert_eq!(known, *jobs);
        }
        let listed: u64 = self
            .index
            .owners
            .rows(bananas_core::Tick::default())
            .iter()
            .map(|row| row.running)
            .sum();
        assert_eq!(
            listed,
            running.values().map(|jobs| jobs.len() as u64).sum::<u64>()
        );
    }
}
