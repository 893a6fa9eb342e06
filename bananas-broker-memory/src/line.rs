//! Who is next: higher priority first, and first in, first out within one.
//!
//! Broker and store both keep their ready work in lines. A line is exact: what leaves it from the middle is
//! gone at once, and what comes back can have its old place.

use std::collections::BTreeMap;

use bananas_core::Priority;

/// A place in a line; the smallest is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(u64);

impl Rank {
    /// The ticket counts arrivals; 2^56 of them are enough for 7,000 years at 300,000 a second.
    pub(crate) fn new(priority: Priority, ticket: u64) -> Self {
        let urgency = u64::from(Priority::MAX.get().saturating_sub(priority.get()));
        Self((urgency << 56) | ticket)
    }
}

/// What waits, by rank.
#[derive(Debug)]
pub(crate) struct Line<T>(BTreeMap<Rank, T>);

impl<T: Copy> Line<T> {
    pub(crate) fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn insert(&mut self, rank: Rank, item: T) {
        self.0.insert(rank, item);
    }

    pub(crate) fn remove(&mut self, rank: Rank) {
        self.0.remove(&rank);
    }

    pub(crate) fn first(&self) -> Option<(Rank, T)> {
        self.0.first_key_value().map(|(rank, item)| (*rank, *item))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        self.0.values().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(priority: u8, ticket: u64) -> Rank {
        Rank::new(Priority::new(priority).unwrap(), ticket)
    }

    #[test]
    fn all_101_levels_are_told_apart_and_each_is_first_in_first_out() {
        let mut line = Line::new();
        for ticket in 0..202_u64 {
            let priority = u8::try_from(ticket % 101).unwrap();
            line.insert(rank(priority, ticket), (priority, ticket));
        }
        let order: Vec<_> = line.iter().collect();
        let expected: Vec<_> = (0..=100_u8)
            .rev()
            .flat_map(|p| [(p, u64::from(p)), (p, u64::from(p) + 101)])
            .collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn who_comes_back_with_his_old_rank_has_his_old_place() {
        let mut line = Line::new();
        line.insert(rank(50, 1), 'a');
        line.insert(rank(50, 2), 'b');
        line.remove(rank(50, 1));
        assert_eq!(line.first(), Some((rank(50, 2), 'b')));
        line.insert(rank(50, 1), 'a');
        assert_eq!((line.first(), line.len()), (Some((rank(50, 1), 'a')), 2));
    }
}
